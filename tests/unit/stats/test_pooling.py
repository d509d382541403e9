"""Pooled recovery of a suite.

The worked example (three tasks, R = .97) is arithmetic that a calculator repeats: means of u = y1 - .97 y0 are .020,
-.008, .023 and their variances .054575, .067765, .060313. The simulated error rate is bounded at the claimed .054 plus
3.3 standard errors: a right implementation fails with probability < .0005.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from quant.stats.moments import PairedMoments
from quant.stats.pooling import Definition, PooledResult, TaskScores, pool
from quant.stats.strata import Strata

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def scores(n: int, base_correct: int, worse: int, better: int) -> Pair:
    """Return 0/1 scores with these counts."""
    base = (np.arange(n) < base_correct).astype(float)
    quantized = base.copy()
    quantized[:worse], quantized[base_correct : base_correct + better] = 0, 1
    return base, quantized


def task(name: str, *counts: int, weight: float = 1.0, benchmark: str = "", planned_n: int | None = None) -> TaskScores:
    return TaskScores(name, *scores(*counts), weight, planned_n, benchmark)


A = task("A", 1000, 800, 30, 26)
B = task("B", 400, 160, 18, 10)
C = task("C", 5000, 3500, 150, 160)
SUITE = (A, B, C)


def numbers(r: PooledResult) -> tuple[float | None, float, float, float]:
    return r.recovery, r.z, r.low, r.high


def test_the_variance_of_a_task_is_that_of_its_paired_differences() -> None:
    moments = [PairedMoments.from_scores(*scores(*n)) for n in ((1000, 800, 30, 26), (400, 160, 18, 10))]
    assert [m.variance(0.97) for m in moments] == pytest.approx([0.054575, 0.067765], abs=5e-7)


def test_macro_pool_is_the_ratio_of_the_averages_that_tables_print() -> None:
    # (.796 + .380 + .702)/3 over (.8 + .4 + .7)/3; z = 2.278 and k = -.02616 give z' = 2.229
    assert numbers(pool(SUITE, 0.97)) == pytest.approx((0.98842, 2.229, 0.9749, 1.0017), abs=5e-4)


def test_item_pool_is_the_ratio_of_the_sums() -> None:
    # By hand: 796 + 152 + 3510 right of the base's 800 + 160 + 3500
    assert numbers(pool(SUITE, 0.97, definition="item"))[:2] == pytest.approx((4458 / 4460, 6.72), abs=5e-3)


def test_average_of_ratios_has_delta_method_limits() -> None:
    # (.995 + .95 + 1.002857)/3; z = 1.11 is (.98262 - .97)/se, so se = .01133 and the limits are -+ 1.645 se
    r = pool(SUITE, 0.97).average_of_ratios
    assert (r.recovery, r.low, r.high) == pytest.approx((0.98262, 0.96398, 1.00126), abs=2e-4)


def test_the_average_of_ratios_never_decides() -> None:
    r = pool(SUITE, 0.97)
    assert (r.verdict, r.average_of_ratios.low < 0.97) == ("PASS", True)


def test_a_pool_reports_both_ways_to_average_whichever_gates() -> None:
    macro, item = pool(SUITE, 0.97), pool(SUITE, 0.97, definition="item")
    assert (macro.item_pooled, item.macro) == (item.item_pooled, macro.macro)


def test_a_pool_says_when_the_two_ways_to_average_disagree() -> None:
    assert pool(SUITE, 0.98).disagreement == "macro INCONCLUSIVE, item PASS"


def test_a_pool_says_nothing_when_they_agree() -> None:
    assert pool(SUITE, 0.97).disagreement == ""


@pytest.mark.parametrize("threshold", [0.95, 0.97, 0.98, 0.99, 1.0, 1.01, 1.05])
@pytest.mark.parametrize("definition", ["macro", "item"])
def test_pooled_verdict_and_limits_agree(definition: Definition, threshold: float) -> None:
    r = pool(SUITE, threshold, definition=definition)
    assert (r.verdict == "PASS", r.verdict == "FAIL") == (r.low >= threshold, r.high < threshold)


def test_fieller_limits_do_not_depend_on_the_threshold_tested() -> None:
    low, high = numbers(pool(SUITE, 0.9))[2:]
    assert numbers(pool(SUITE, 1.1))[2:] == pytest.approx((low, high), rel=1e-9)


def test_an_unchanged_task_varies_as_if_one_pair_differed() -> None:
    # By hand: var(u) = .03^2 x .8 x .2 x 20/19 is below the floor R/n = .97/20, so V = .97/20^2; below 30 items k = 0.
    base, quantized = scores(20, 16, 0, 0)
    strata = Strata.from_moments([PairedMoments.from_scores(base, quantized)], np.ones(1))
    assert strata.corrected_z(0.97) == pytest.approx(0.03 * 0.8 * 20 / math.sqrt(0.97))


def test_a_small_benchmark_is_shown_but_not_counted() -> None:
    tiny = task("tiny", 199, 150, 150, 0)
    r = pool((*SUITE, tiny), 0.97)
    assert (numbers(r), r.not_counted) == (numbers(pool(SUITE, 0.97)), ("tiny",))


def test_the_plan_decides_what_counts_and_not_the_items_that_came() -> None:
    stopped = task("stopped", 100, 80, 2, 2, planned_n=400)
    assert pool((*SUITE, stopped), 0.97).not_counted == ()


def test_a_task_of_weight_zero_is_shown_but_not_counted() -> None:
    assert pool((A, B, task("C", 5000, 3500, 150, 160, weight=0)), 0.97).not_counted == ("C",)


def test_subtasks_share_one_benchmark_by_items() -> None:
    # Benchmark S = 300 + 100 items, 300 + 20 right, against A: (.8 + .8)/2 base, (.796 + .6)/2 quantized
    parts = (task("s1", 300, 300, 80, 0, benchmark="S"), task("s2", 100, 20, 0, 0, benchmark="S"))
    assert pool((A, *parts), 0.97).recovery == pytest.approx(1.396 / 1.6)


def test_subtasks_below_the_minimum_count_if_their_benchmark_reaches_it() -> None:
    parts = [task(f"s{i}", 100, 80, 2, 2, benchmark="S") for i in range(2)]
    assert pool(parts, 0.97).not_counted == ()


def test_weights_are_relative() -> None:
    heavy = [TaskScores(t.name, t.base, t.quantized, 7.0) for t in SUITE]
    assert numbers(pool(heavy, 0.97)) == pytest.approx(numbers(pool(SUITE, 0.97)))


def test_a_pool_mixes_zero_one_items_and_metrics() -> None:
    rouge = np.tile([0.2, 0.4], 150)
    assert pool((A, TaskScores("rouge", rouge, rouge)), 0.97).recovery == pytest.approx((0.796 + 0.3) / (0.8 + 0.3))


@pytest.mark.parametrize(
    ("tasks", "why"),
    [
        ((), "no task counts: weight 0 or fewer than 200 planned items"),
        ((task("Z", 300, 0, 0, 5),), "base scores zero"),
        ((A, task("E", 0, 0, 0, 0, planned_n=300)), "fewer than 2 items in E"),
    ],
)
def test_a_pool_that_can_prove_nothing_says_why(tasks: tuple[TaskScores, ...], why: str) -> None:
    r = pool(tasks, 0.97)
    assert (r.verdict, r.why, r.recovery, r.p_pass, r.p_fail) == ("INCONCLUSIVE", why, None, 1.0, 1.0)


def test_one_base_of_zero_leaves_the_ratio_of_averages_defined() -> None:
    r = pool((A, task("Z", 300, 0, 0, 5)), 0.97)
    assert [r.recovery, r.average_of_ratios.recovery] == [pytest.approx((0.796 + 5 / 300) / 0.8), None]


@pytest.mark.parametrize("definition", ["macro", "item"])
def test_a_pool_at_the_threshold_is_misjudged_at_most_054_of_the_time(definition: str) -> None:
    rng = np.random.default_rng(3)
    p = [pooled_p_values(definition, rng) for _ in range(3000)]
    assert (np.array(p) <= 0.05).mean(axis=0).max() <= 0.054 + 3.3 * math.sqrt(0.054 * 0.946 / 3000)


def pooled_p_values(definition: str, rng: np.random.Generator) -> tuple[float, float]:
    """Draw three tasks whose true recovery is .97 each; flips are harm only in the first."""
    tasks = [drawn(n, base, better, rng) for n, base, better in ((300, 0.8, 0.0), (600, 0.5, 0.02), (1200, 0.7, 0.04))]
    weights = np.ones(3) if definition == "macro" else np.array([300.0, 600.0, 1200.0])
    strata = Strata.from_moments([PairedMoments.from_scores(*t) for t in tasks], weights)
    return strata.p_pass(0.97), strata.p_fail(0.97)


def drawn(n: int, base: float, better: float, rng: np.random.Generator) -> Pair:
    worse = better + 0.03 * base
    both, lost, won, _ = (int(k) for k in rng.multinomial(n, [base - worse, worse, better, 1 - base - better]))
    return scores(n, both + lost, lost, won)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ((A, A), "repeated: A"),
        (
            (task("s1", 9, 5, 0, 0, benchmark="S"), task("s2", 9, 5, 0, 0, weight=2.0, benchmark="S")),
            "share one weight",
        ),
    ],
)
def test_a_family_that_contradicts_itself_is_refused(tasks: tuple[TaskScores, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pool(tasks, 0.97)


def test_an_unknown_definition_is_refused() -> None:
    with pytest.raises(ValueError, match="macro, item"):
        pool(SUITE, 0.97, definition="average of ratios")  # type: ignore[arg-type]


def test_a_bad_score_is_refused_with_its_task() -> None:
    with pytest.raises(ValueError, match=r"task X: quantized scores must lie in \[0, 1\]; got 2.0 at index 1"):
        TaskScores("X", np.array([0.0, 1.0]), np.array([0.0, 2.0]))


@pytest.mark.parametrize("weight", [-1.0, math.inf, math.nan])
def test_a_weight_that_is_no_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="task X: weight"):
        TaskScores("X", np.ones(2), np.ones(2), weight)

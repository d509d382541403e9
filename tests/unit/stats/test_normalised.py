"""Normalised scores, (y - c)/(1 - c): hand-worked values on a scale that goes below 0, and the error rate on it.

A simulated rate is bounded at the claimed rate plus 3.3 standard errors: a right implementation fails with probability
< .0005 a bound.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import special

from quant.stats.clusters import cluster_units
from quant.stats.effect import Effect
from quant.stats.metric import MetricTest, mean_above_chance
from quant.stats.noise import run_noise, unprovable
from quant.stats.noninferiority import Triple, competitive_power, pooled_noninferiority
from quant.stats.paired import PairedResult, paired_recovery
from quant.stats.pooling import TaskScores, pool
from quant.stats.power import detectable_loss, items_needed, power_at
from quant.stats.strata import Strata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counted = tuple[int, int, int, int]  # right in both, worse, better, wrong in both

THIRD = -1 / 3  # the lowest score at c = .25


def columns(counted: Counted, chance: float) -> tuple[Floats, Floats]:
    """Return normalised scores of base and quantized model."""
    low = -chance / (1 - chance)
    return np.repeat([1, 1, low, low], counted), np.repeat([1, low, 1, low], counted)


def judged(counted: Counted, chance: float, threshold: float) -> PairedResult:
    return paired_recovery(*columns(counted, chance), threshold, lowest=-chance / (1 - chance))


def test_an_unchanged_task_is_tested_with_one_item_lost_to_the_lowest_score() -> None:
    # By hand, R = .9: 99 items u = .05 and one u = -1/3 - .9; sum 3.716667, which differs from .05 by 1.283333
    same = np.full(99, 0.5)
    p = MetricTest.from_scores(same, same, THIRD).p_pass(0.9)
    assert p == pytest.approx(float(special.stdtr(99, -3.716667 / 1.283333)), rel=1e-5)


def test_an_unchanged_task_is_tested_for_fail_with_one_item_won_from_the_lowest_score() -> None:
    # By hand, R = .9: 99 items u = .05 and one u = 1 + .9/3 = 1.3; sum 6.25, which differs from .05 by 1.25
    same = np.full(99, 0.5)
    assert MetricTest.from_scores(same, same, THIRD).p_fail(0.9) == pytest.approx(float(special.stdtr(99, 5)), rel=1e-9)


def test_a_lost_cluster_is_lost_to_the_lowest_score() -> None:
    # By hand, R = .9: 20 units u = .1 and one u = -1/3 - .9; sum .766667, which differs from .1 by 1.333333: t = .575
    right, clusters = np.ones(40), (np.arange(40) // 2).tolist()
    r = paired_recovery(right, right, 0.9, clusters=clusters, lowest=THIRD)
    assert r.p_pass == pytest.approx(float(special.stdtr(20, -0.575)), rel=1e-9)


def test_a_cluster_moves_where_half_of_its_items_change_on_the_longer_scale() -> None:
    # c = .5: scores 1 and -1; of 30 clusters of 4 items each loses one, which moves a mean by .5 but no half of 2
    base, quantized = np.ones(120), np.tile([-1.0, 1, 1, 1], 30)
    r = paired_recovery(base, quantized, 0.5, clusters=(np.arange(120) // 4).tolist(), lowest=-1)
    # with a worst cluster, u = -1.5 among 30 times 0
    assert r.p_pass == pytest.approx(float(special.stdtr(30, 1)), rel=1e-9)


def test_means_and_recovery_are_those_of_normalised_scores() -> None:
    # Accuracies .75 and .70 at c = .5: (.75 - .5)/.5 = .5 and .4
    r = judged((270, 30, 10, 90), 0.5, 0.97)
    assert (r.base_mean, r.quantized_mean, r.recovery) == pytest.approx((0.5, 0.4, 0.8))


def test_many_flips_are_tested_with_halls_transformation() -> None:
    # By hand, R = .8: u = .2, -1.8, 1.8, -.2; t = 0, g = -.288/(144/399)^1.5 = -1.3283, T = g/sqrt(400)/6 = -.011069
    # against t(399), whose density at 0 is .39869
    r = judged((270, 30, 10, 90), 0.5, 0.8)
    assert (r.p_pass, r.p_fail) == pytest.approx((0.504413, 0.495587), abs=2e-6)


@pytest.mark.parametrize(
    ("counted", "verdict"),
    [((800, 10, 10, 180), "PASS"), ((740, 40, 20, 200), "INCONCLUSIVE"), ((650, 150, 10, 190), "FAIL")],
)
def test_a_normalised_verdict_is_what_the_items_prove(counted: Counted, verdict: str) -> None:
    # Recoveries 1, .9623 and .7455 at .95, c = .25
    assert judged(counted, 0.25, 0.95).verdict == verdict


def test_verdict_and_limits_agree() -> None:
    for counted in ((800, 10, 10, 180), (740, 40, 20, 200), (650, 150, 10, 190), (90, 2, 1, 7)):
        r = judged(counted, 0.25, 0.95)
        assert (r.verdict == "PASS", r.verdict == "FAIL") == (r.low >= 0.95, r.high < 0.95), counted


def test_a_base_at_chance_has_no_recovery() -> None:
    # 100 of 400 right at c = .25: y0 has mean 0, skewness 1.1547 (less (399/400)^1.5); T = 1.1504/20/6, P = .496
    r = judged((90, 10, 10, 290), 0.25, 0.95)
    assert (r.verdict, r.recovery, r.low, r.high, r.why) == (
        "INCONCLUSIVE",
        None,
        0.0,
        math.inf,
        "base at chance (P = .496)",
    )


def test_a_base_just_above_chance_forbids_pass() -> None:
    # 104 of 400 against the 100 of a guess, .46 standard errors; the quantized model gets 290
    r = judged((0, 104, 290, 6), 0.25, 0.95)
    assert (r.p_pass < 0.05, r.verdict, r.why[:14]) == (True, "INCONCLUSIVE", "base at chance")


def test_a_base_at_chance_never_forbids_fail() -> None:
    assert judged((0, 104, 0, 296), 0.25, 0.95).verdict == "FAIL"


def test_a_collapse_of_a_base_below_chance_is_still_found() -> None:
    assert judged((0, 96, 0, 304), 0.25, 0.95).verdict == "FAIL"


def test_equal_models_below_chance_are_no_finding() -> None:
    # u = (1-R) y0 is below 0 on average, and would be proven so; the quantized model is no worse than the base
    r = judged((600, 0, 0, 3400), 0.25, 0.5)
    assert (r.verdict, r.p_fail > 0.5) == ("INCONCLUSIVE", True)


def test_few_normalised_items_prove_nothing() -> None:
    assert judged((9, 0, 0, 0), 0.25, 0.95).why == "fewer than 10 items (n=9)"


def test_no_normalised_items_are_no_items() -> None:
    assert paired_recovery([], [], 0.95, lowest=THIRD).why == "no items"


def test_a_score_below_the_lowest_is_refused() -> None:
    with pytest.raises(ValueError, match=r"quantized scores must lie in \[-0\.3333, 1\]; got -0\.5 at index 1"):
        paired_recovery([1, 0], [1, -0.5], 0.95, lowest=THIRD)


def test_an_unchanged_task_varies_as_if_one_item_differed_by_the_whole_scale() -> None:
    # c = .5: one item of 200 moves by 2, so V is at least .97 x 4/200^2, and z = .03/sqrt(V)
    task = TaskScores("A", np.ones(200), np.ones(200), lowest=-1)
    z = Strata.from_moments([task.moments()], np.ones(1)).z(0.97)
    assert z == pytest.approx(0.03 * 200 / (2 * math.sqrt(0.97)))


def test_unchanged_clusters_vary_as_if_one_item_differed_by_the_whole_scale() -> None:
    task = TaskScores("A", np.ones(200), np.ones(200), clusters=(np.arange(200) // 5).tolist(), lowest=-1)
    z = Strata.from_moments([task.moments()], np.ones(1)).z(0.97)
    assert z == pytest.approx(0.03 * 200 / (2 * math.sqrt(0.97)))


def test_a_pool_of_raw_and_normalised_tasks_has_the_ratio_of_their_averages() -> None:
    # .8 -> .7 raw and .5 -> .4 normalised: 1.1/1.3
    raw = TaskScores("raw", np.repeat([1.0, 0], [240, 60]), np.repeat([1.0, 0], [210, 90]))
    other = TaskScores("normalised", *columns((270, 30, 10, 90), 0.5), lowest=-1)
    assert pool([raw, other], 0.97).recovery == pytest.approx(1.1 / 1.3)


def test_a_pool_whose_base_is_at_chance_cannot_pass() -> None:
    r = pool([TaskScores("A", *columns((100, 0, 300, 0), 0.25), lowest=THIRD)], 0.95)
    assert (r.verdict, r.p_pass < 0.05, r.recovery, r.high, r.why[:14]) == (
        "INCONCLUSIVE",
        True,
        None,
        math.inf,
        "base at chance",
    )


def test_equal_models_below_chance_are_no_finding_of_a_pool() -> None:
    r = pool([TaskScores("A", *columns((600, 0, 0, 3400), 0.25), lowest=THIRD)], 0.5)
    assert (r.verdict, r.p_fail) == ("INCONCLUSIVE", pytest.approx(0.5))


def test_a_collapse_of_a_pool_below_chance_is_still_found() -> None:
    assert pool([TaskScores("A", *columns((0, 96, 0, 304), 0.25), lowest=THIRD)], 0.95).verdict == "FAIL"


def test_a_difference_of_recoveries_is_one_of_normalised_scores() -> None:
    # c = .5, accuracies .75, .75 and .7375: ((.475 - .5)/.5)
    base, quantized = columns((295, 5, 0, 100), 0.5)
    found = pooled_noninferiority([Triple("A", base, base, quantized, lowest=-1)])
    assert found.difference == pytest.approx(-0.05)


def test_formats_are_not_compared_by_a_base_that_is_at_chance() -> None:
    base, quantized = columns((100, 0, 0, 300), 0.25)
    assert pooled_noninferiority([Triple("A", base, base, quantized, lowest=THIRD)]).why == "base at chance"


def test_run_noise_is_of_the_scale_of_the_scores() -> None:
    # Two runs of four items differ in one, by 2 (c = .5): variance of that item 2, within .5
    assert run_noise([[1, 1, -1, -1], [1, 1, -1, 1]], lowest=-1).within == pytest.approx(0.5)


def test_what_is_unprovable_is_so_by_the_longer_scale() -> None:
    # (1-R) p0 = .03; 1.645 span/n = .0165 and .0329 for n = 100
    found = [unprovable(1.0, 0.97, 100, run_noise(np.ones((2, 100)), lowest)) for lowest in (0.0, -1.0)]
    assert found == [False, True]


def test_a_normalised_recovery_is_planned_as_a_higher_raw_one() -> None:
    # .95 of (.75 - .25): .725 of accuracy .75
    assert Effect(0.75, 0.06, 1.0, 0.25).raw(0.95) == pytest.approx(0.725 / 0.75)


def test_the_variance_that_is_planned_is_that_of_the_scores() -> None:
    # 255, 45, 15 and 85 of 400: accuracies .75 and .675, d .15, c .5, so recovery .7
    base, quantized = columns((255, 45, 15, 85), 0.5)
    assert Effect(0.75, 0.15, 0.7, 0.5).variance(0.95) == pytest.approx(float((quantized - 0.95 * base).var()))


def test_a_base_at_chance_has_no_plan() -> None:
    with pytest.raises(ValueError, match="chance lies in"):
        Effect(0.25, 0.06, 1.0, 0.25)


def test_the_power_of_keeping_up_is_that_of_the_distance_from_chance() -> None:
    # gap .02 x .25/.5, variance (.06 + .02^2 x .1875)/.5^2/5000: 1 - Phi(1.6449 - .01/.0069325)
    power = competitive_power([0.75], [0.06], [5000], [1.0], 0.02, chances=[0.5])
    assert power == pytest.approx(float(special.ndtr(0.01 / 0.0069325 - 1.6448536)), abs=1e-4)


PLANS = [(0.25, 0.6, 0.95, 0.06), (0.25, 0.9, 0.97, 0.06), (0.5, 0.75, 0.95, 0.12)]
PLANS += [(0.25, 0.92, 0.97, 0.02), (0.5, 0.8, 0.95, 0.01)]  # 8 and 4 flips: a worst item is added


@pytest.mark.parametrize(("chance", "base", "threshold", "flips"), PLANS)
def test_the_items_of_a_plan_prove_a_pass_as_often_as_planned(
    chance: float, base: float, threshold: float, flips: float
) -> None:
    effect = Effect(base, flips, 1.0, chance)
    n = items_needed(effect, threshold) or 0
    proven = rates(n, effect, threshold, 1000, np.random.default_rng(3))[0]
    assert abs(proven - 0.8) <= 0.03 + 3.3 * math.sqrt(0.16 / 1000)


def test_the_loss_of_a_plan_is_found_as_often_as_planned() -> None:
    loss = detectable_loss(0.75, 0.12, 0.95, 1000, chance=0.25) or 0.0
    effect = Effect(0.75, 0.12, 1 - loss, 0.25)
    planned = power_at(effect, 0.95, 1000, proof="FAIL")
    found = rates(1000, effect, 0.95, 1000, np.random.default_rng(4))[1]
    assert abs(found - planned) <= 0.03 + 3.3 * math.sqrt(0.16 / 1000)


# chance, base accuracy, items, threshold, share of items that flip (0: only those that are lost)
CASES = [(0.25, 0.35, 250, 0.95, 0.25), (0.25, 0.9, 100, 0.97, 0.0), (0.5, 0.6, 250, 0.95, 0.12)]
CASES += [(0.5, 0.9, 1000, 0.99, 0.06)]
GRID = [
    (chance, base, n, threshold, flips)
    for chance, bases in ((0.25, (0.35, 0.6, 0.9)), (0.5, (0.6, 0.75, 0.9)))
    for base in bases
    for n in (100, 250, 1000)
    for threshold in (0.95, 0.97, 0.99)
    for flips in (0.0, 0.06, 0.12)
]


Case = tuple[float, float, int, float, float]


def misjudged(case: Case, trials: int, seed: int) -> float:
    """Return the larger rate of false verdicts on items whose recovery is the threshold."""
    chance, base, n, threshold, flips = case
    effect = Effect(base, max(flips, (1 - threshold) * (base - chance)), threshold, chance)
    return max(rates(n, effect, threshold, trials, np.random.default_rng(seed)))


@pytest.mark.parametrize("case", CASES)
def test_normalised_items_at_the_threshold_are_misjudged_at_most_065_of_the_time(case: Case) -> None:
    assert misjudged(case, 1000, seed=5) <= 0.065 + 3.3 * math.sqrt(0.065 * 0.935 / 1000)


@pytest.mark.slow
@pytest.mark.parametrize("case", GRID)
def test_the_grid_of_normalised_items_is_misjudged_at_most_065_of_the_time(case: Case) -> None:
    assert misjudged(case, 4000, seed=6) <= 0.065 + 3.3 * math.sqrt(0.065 * 0.935 / 4000)


@pytest.mark.parametrize("n", [100, 1000])
def test_a_base_that_guesses_lets_its_guessing_copy_pass_at_most_05_of_the_time(n: int) -> None:
    rng, low = np.random.default_rng(7), THIRD
    drawn = (np.where(rng.random((2, n)) < 0.25, 1.0, low) for _ in range(1000))
    passed = [paired_recovery(base, copy, 0.95, lowest=low).verdict == "PASS" for base, copy in drawn]
    assert np.mean(passed) <= 0.05 + 3.3 * math.sqrt(0.05 * 0.95 / 1000)


def test_normalised_clusters_at_the_threshold_are_misjudged_at_most_065_of_the_time() -> None:
    # 450 questions that are asked one, two or three times, as in the three sets of GPQA; copies agree nine times in ten
    rng, low, effect = np.random.default_rng(8), THIRD, Effect(0.6, 0.12, 0.95, 0.25)
    of_item = np.repeat(np.arange(450), np.repeat([1, 2, 3], 150))
    proven = np.zeros(2)
    for _ in range(1000):
        ease = np.where(rng.random(900) < 0.9, rng.random(450)[of_item], rng.random(900))
        right, lost = ease < effect.base, ease < effect.base - effect.p10
        won = ~right & (ease < effect.base + effect.p01)
        units = cluster_units(np.where(right, 1, low), np.where(lost | won, 1, low), of_item.tolist(), low)
        assert units is not None
        test = MetricTest.from_units(units)
        proven += [test.p_pass(0.95) <= 0.05, test.p_fail(0.95) <= 0.05]
    assert proven.max() / 1000 <= 0.065 + 3.3 * math.sqrt(0.065 * 0.935 / 1000)


def rates(n: int, effect: Effect, threshold: float, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return how often n items of such models prove a PASS and a FAIL at alpha = .05."""
    lost, won, both = effect.p10, effect.p01, effect.p11
    drawn = rng.multinomial(n, [both, lost, won, 1 - both - lost - won], draws)
    tables, times = np.unique(drawn, axis=0, return_counts=True)
    low = -effect.chance / (1 - effect.chance)
    passed = failed = 0
    for table, count in zip(tables, times, strict=True):
        base, quantized = columns(tuple(table), effect.chance)
        test = MetricTest.from_scores(base, quantized, low)
        passed += count * (test.p_pass(threshold) <= 0.05 and mean_above_chance(base, 0.0, threshold, low) <= 0.05)
        failed += count * (test.p_fail(threshold) <= 0.05)
    return passed / draws, failed / draws

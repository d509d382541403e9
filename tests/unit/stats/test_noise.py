"""Run-to-run noise: a worked example, hand arithmetic, and the error rate where runs differ by more than their items.

The worked example has run accuracies .800 .810 .805 .795 .790 on 1000 items and a mean variance of an item of .03, and
the cell 1000 800 20 20 at .97: v = .97 x 40/10^6 = 3.88e-5 and (1 + .97^2) tau2 = 6.308e-5, so z' = 3.565/1.621.
A simulated rate is bounded at the claimed rate plus 3.3 standard errors: a right implementation fails with probability
< .0005 a bound. Where ignoring noise is claimed to fail, the bound is 3.3 standard errors below the rate measured.
"""

from __future__ import annotations

import math
from functools import cache, partial

import numpy as np
import pytest
from scipy import special

from quant.stats.counts import Counts, p_fail, p_pass
from quant.stats.metric import CellTest
from quant.stats.moments import PairedMoments
from quant.stats.noise import RunNoise, counted_variance, mcnemar_z, no_different, run_noise, unprovable, widened
from quant.stats.paired import counts_recovery, paired_recovery
from quant.stats.pooling import TaskScores, pool
from quant.stats.strata import Strata

Setting = tuple[int, float, float]  # items, base accuracy, discordance

NOISE = RunNoise(5, 1000, within=0.03, observed=6.25e-5)
CELL = Counts(1000, 800, 20, 20)


def test_the_worked_example_has_its_dispersion() -> None:
    found = (NOISE.expected, NOISE.flip_rate, NOISE.tau2, round(NOISE.phi, 3), round(NOISE.p, 3))
    assert found == pytest.approx((3e-5, 0.06, 3.25e-5, 2.083, 0.080))


def test_the_variance_of_run_means_has_one_denominator_less_than_runs() -> None:
    # The accuracies of the worked example: squares 0 + 100 + 25 + 25 + 100 (of thousandths) over 4
    runs = [np.arange(1000) < right for right in (800, 810, 805, 795, 790)]
    assert run_noise(runs).observed == pytest.approx(6.25e-5)


def test_the_flip_rate_of_two_runs_is_the_share_of_items_that_differ() -> None:
    assert run_noise([[1, 1, 0, 0, 1], [1, 0, 1, 0, 1]]).flip_rate == pytest.approx(0.4)


def test_within_is_the_mean_over_items_of_the_variance_over_runs() -> None:
    # By hand: 1, 1, 0 has variance 1/3; .2, .4, .6 has .04
    assert run_noise([[1, 0.2], [1, 0.4], [0, 0.6]]).within == pytest.approx((1 / 3 + 0.04) / 2)


def test_equal_runs_have_no_noise_at_all() -> None:
    noise = run_noise(np.tile([0.1, 0.3, 0.7], (5, 1)))
    assert (noise.within, noise.observed, noise.tau2, noise.phi, noise.p) == (0, 0, 0, 0, 1)


@pytest.mark.parametrize(("runs", "measured", "tau2"), [(4, False, 0.0), (5, True, pytest.approx(3.25e-5))])
def test_run_noise_is_measured_from_five_runs_on(runs: int, measured: bool, tau2: float) -> None:  # noqa: FBT001
    noise = RunNoise(runs, 1000, 0.03, 6.25e-5)
    assert (noise.measured, noise.tau2) == (measured, tau2)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([[1, 0]], r"2 runs or more of the same items; got \(1, 2\)"),
        ([1, 0], r"shape \(runs, items\).* got \(2,\)"),
        ([[], []], r"got \(2, 0\)"),
        ([[1, 0], [1, 2]], r"lie in \[0, 1\]; got 2.0 in run 1 at index 1"),
    ],
)
def test_scores_that_are_no_runs_are_refused(scores: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_noise(scores)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("numbers", "message"), [((1, 9, 0.1, 0.1), "2 or more runs"), ((5, 9, 0.1, math.nan), "observed")]
)
def test_numbers_that_no_runs_show_are_refused(numbers: tuple[int, int, float, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunNoise(*numbers)


@pytest.mark.parametrize(("second", "z"), [([1, 0, 0, 0, 1, 0], 1 / math.sqrt(3)), ([1, 1, 1, 0, 0, 0], 0.0)])
def test_two_runs_are_compared_by_mcnemars_z(second: list[int], z: float) -> None:
    # McNemar 1947: two items lost and one won, (2-1)/sqrt(3); no item flipped
    assert mcnemar_z([1, 1, 1, 0, 0, 0], second) == pytest.approx(z)


def test_measured_run_noise_turns_the_worked_cell_inconclusive() -> None:
    r = counts_recovery(CELL, 0.97, noise=NOISE)
    alone = counts_recovery(CELL, 0.97)
    found = (alone.verdict, round(alone.p_pass, 5), r.verdict, round(r.p_pass, 4))
    assert found == ("PASS", 0.00018, "INCONCLUSIVE", 0.0604)


def test_zero_one_scores_are_widened_as_their_counts() -> None:
    base, quantized = (np.repeat(pattern, [780, 20, 20, 180]) for pattern in ([1, 1, 0, 0], [1, 0, 1, 0]))
    assert paired_recovery(base, quantized, 0.97, noise=NOISE) == counts_recovery(CELL, 0.97, noise=NOISE)


@pytest.mark.parametrize("noise", [RunNoise(4, 1000, 0.03, 6.25e-5), RunNoise(9, 1000, 0.03, 2e-5)])
def test_a_cell_without_excess_noise_is_untouched_to_the_last_bit(noise: RunNoise) -> None:
    assert counts_recovery(CELL, 0.97, noise=noise) == counts_recovery(CELL, 0.97)


def test_a_metric_is_widened_by_the_variance_of_its_mean() -> None:
    # By hand, R = .9: u = -.12 or .28, mean .08, v = .04/99, no skewness. 1.81 tau2 = v halves z^2; with a million runs
    # t is normal.
    base, quantized = np.full(100, 0.8), np.tile([0.6, 1.0], 50)
    z = -special.ndtri(special.stdtr(99, -0.08 / math.sqrt(0.04 / 99)))
    noise = RunNoise(10**6, 100, within=0.0, observed=0.04 / 99 / 1.81)
    p = paired_recovery(base, quantized, 0.9, noise=noise).p_pass
    assert p == pytest.approx(float(special.ndtr(-z / math.sqrt(2))), rel=1e-4)


def test_clustered_items_are_widened_by_the_variance_of_their_mean() -> None:
    # By hand, R = .9, 80 passages of two alike: u = -.52 or .28, mean -.12, v = .16/79; 1.81 tau2 = v halves z^2.
    base, quantized = np.full(160, 0.8), np.tile([0.2, 0.2, 1.0, 1.0], 40)
    z = -special.ndtri(special.stdtr(79, -0.12 / math.sqrt(0.16 / 79)))
    noise = RunNoise(10**6, 160, within=0.0, observed=0.16 / 79 / 1.81)
    p = paired_recovery(base, quantized, 0.9, clusters=(np.arange(160) // 2).tolist(), noise=noise).p_fail
    assert p == pytest.approx(float(special.ndtr(-z / math.sqrt(2))), rel=1e-4)


@pytest.mark.parametrize("threshold", [0.9, 0.97, 1.0])
@pytest.mark.parametrize("flips", [(20, 20), (60, 10), (5, 0), (0, 0), (150, 20)])
def test_verdict_and_limits_agree_in_every_widened_cell(flips: tuple[int, int], threshold: float) -> None:
    r = counts_recovery(Counts(1000, 800, *flips), threshold, noise=RunNoise(6, 1000, 0.03, 4e-5))
    assert (r.verdict == "PASS", r.verdict == "FAIL") == (r.low >= threshold, r.high < threshold)


def test_widened_limits_do_not_depend_on_the_threshold_tested() -> None:
    found = [counts_recovery(CELL, threshold, noise=NOISE) for threshold in (0.6, 0.97, 1.0, 1.5)]
    assert [(r.low, r.high) for r in found] == [pytest.approx((found[1].low, found[1].high), rel=1e-9)] * 4


@pytest.mark.parametrize("flips", [(20, 20), (60, 10), (5, 0), (0, 0), (150, 20)])
def test_widened_limits_enclose_those_of_the_items_alone(flips: tuple[int, int]) -> None:
    counts = Counts(1000, 800, *flips)
    wide, own = counts_recovery(counts, 0.97, noise=NOISE), counts_recovery(counts, 0.97)
    assert wide.low < own.low <= own.high < wide.high


def test_a_base_of_zero_stays_without_recovery() -> None:
    r = counts_recovery(Counts(100, 0, 0, 5), 0.97, noise=NOISE)
    assert (r.recovery, r.low, r.high, r.why) == (None, 0.0, math.inf, "base scores zero")


def test_nine_metric_items_prove_nothing_with_run_noise_either() -> None:
    r = paired_recovery(np.full(9, 0.5), np.full(9, 0.1), 0.97, noise=NOISE)
    assert (r.verdict, r.p_pass, r.p_fail) == ("INCONCLUSIVE", 1.0, 1.0)


def test_a_pool_adds_the_run_noise_of_its_tasks_to_the_variance() -> None:
    # By hand: equal weights, V = 2.6228e-5 of the items (see test_pooling) and (1 + .97^2) 1e-5/9 of the runs of A
    counts = ((1000, 800, 30, 26), (400, 160, 18, 10), (5000, 3500, 150, 160))
    strata = Strata.from_moments([PairedMoments.from_counts(*k) for k in counts], np.ones(3), tau2=[1e-5, 0, 0])
    assert strata.z(0.97) == pytest.approx(0.0116667 / math.sqrt(2.6228e-5 + 1.9409e-5 / 9), rel=1e-4)


def test_an_average_of_ratios_has_the_run_noise_in_its_delta_method() -> None:
    # By hand: base 1, ratio .9, tau2 = 1e-4: the squared standard error grows by 1.81e-4
    base, quantized = np.ones(300), np.repeat([1.0, 0], [270, 30])
    reach = [spread(TaskScores("A", base, quantized, tau2=tau2)) for tau2 in (1e-4, 0.0)]
    assert reach[0] ** 2 - reach[1] ** 2 == pytest.approx(1.81e-4)


def spread(task: TaskScores) -> float:
    """Return the standard error of an average of ratios, from its upper limit."""
    r = pool([task], 0.97).average_of_ratios
    return (r.high - (r.recovery or 0)) / float(special.ndtri(0.95))


def test_a_run_noise_that_is_no_variance_is_refused() -> None:
    with pytest.raises(ValueError, match="task X: tau2 must be a finite number >= 0; got -1"):
        TaskScores("X", np.ones(2), np.ones(2), tau2=-1.0)


@pytest.mark.parametrize(("threshold", "expected"), [(0.97, False), (0.98, True)])
def test_a_threshold_within_the_reach_of_a_re_run_is_unprovable(threshold: float, expected: bool) -> None:  # noqa: FBT001
    # By hand: 1.645 sqrt(.06/1000 + 6.5e-5) = .0184, between .02 x .8 and .03 x .8
    assert unprovable(0.8, threshold, 1000, NOISE) is expected


@pytest.mark.parametrize(("n", "expected"), [(68, True), (69, False), (0, True)])
def test_without_flips_a_re_run_may_differ_in_one_item(n: int, expected: bool) -> None:  # noqa: FBT001
    # By hand: .03 x .8 = .024 < 1.645/n up to n = 68.5
    assert unprovable(0.8, 0.97, n, RunNoise(5, 1000, 0.0, 0.0)) is expected


@pytest.mark.parametrize(("flips", "expected"), [((40, 20), True), ((40, 21), False)])
def test_no_more_flips_than_a_re_run_are_no_difference(flips: tuple[int, int], expected: bool) -> None:  # noqa: FBT001
    assert no_different(*flips, 1000, NOISE) is expected


@pytest.mark.parametrize("runs", [5, 10])
@pytest.mark.parametrize("sd", [0.0, 0.005, 0.01])
def test_runs_that_differ_at_the_threshold_are_misjudged_at_most_056_of_the_time(sd: float, runs: int) -> None:
    rates = error_rates((1000, 0.8, 0.08), 0.97, sd, runs, 2000)
    assert max(rates) <= 0.056 + 3.3 * math.sqrt(0.056 * 0.944 / 2000)


@pytest.mark.parametrize(("sd", "rate"), [(0.005, 0.1), (0.01, 0.19)])
def test_ignoring_what_runs_differ_by_misjudges_more(sd: float, rate: float) -> None:
    rates = error_rates((1000, 0.8, 0.08), 0.97, sd, 4, 2000)
    assert min(rates) >= rate - 3.3 * math.sqrt(rate * (1 - rate) / 2000)


@pytest.mark.slow
@pytest.mark.parametrize("setting", [(1000, 0.8, 0.06), (1319, 0.75, 0.06), (5000, 0.7, 0.06)])
@pytest.mark.parametrize("threshold", [0.97, 0.99])
@pytest.mark.parametrize(("sd", "runs"), [(0.002, 5), (0.005, 5), (0.005, 10), (0.01, 5), (0.01, 10)])
def test_the_grid_of_runs_that_differ_is_misjudged_at_most_062_of_the_time(
    setting: Setting, threshold: float, sd: float, runs: int
) -> None:
    # .028-.055, but .058-.062 false FAIL at .97 with a run sd of .010
    rates = error_rates(setting, threshold, sd, runs, 6000)
    assert max(rates) <= 0.062 + 3.3 * math.sqrt(0.062 * 0.938 / 6000)


def error_rates(setting: Setting, threshold: float, sd: float, runs: int, draws: int) -> tuple[float, float]:
    """Return false PASS and false FAIL at alpha = .05 with tau2 from `runs` runs; fewer than 5 ignore it."""
    rng = np.random.default_rng(11)
    p = [widened_p_values(setting, threshold, sd, runs, rng) for _ in range(draws)]
    passes, fails = (np.array(p) <= 0.05).mean(axis=0)
    return float(passes), float(fails)


def widened_p_values(
    setting: Setting, threshold: float, sd: float, runs: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw one cell at the threshold, each arm off by a normal, and the variance of the means of `runs` more runs."""
    n, accuracy, discordance = setting
    first, second = accuracy + rng.normal(0, sd), threshold * accuracy + rng.normal(0, sd)
    flipped = max(discordance, abs(first - second))
    worse, better = (flipped + first - second) / 2, (flipped - first + second) / 2
    kept, lost, won, _ = (int(k) for k in rng.multinomial(n, [first - worse, worse, better, 1 - first - better]))
    observed = (discordance / 2 / n + sd * sd) * rng.chisquare(runs - 1) / (runs - 1)
    counts = Counts(n, kept + lost, lost, won)
    own = exact_p_values(counts, threshold)
    test = CellTest(lambda _: own[0], lambda _: own[1])
    wide = widened(test, partial(counted_variance, counts), RunNoise(runs, n, discordance / 2, observed))
    return wide.p_pass(threshold), wide.p_fail(threshold)


@cache
def exact_p_values(counts: Counts, threshold: float) -> tuple[float, float]:
    return p_pass(counts, threshold), p_fail(counts, threshold)

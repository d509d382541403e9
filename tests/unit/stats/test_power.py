"""The planner: how many items a proof takes, and what a given number can prove.

The table (base accuracy .75, power .8, alpha .05) was computed by another implementation. Simulated powers stand
against the planner's promise with a margin of 3 points plus 3.3 standard errors: a power exactly 3 points off would
raise a false alarm with probability < .001; those measured fall short by at most 2. Seeds are fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from quant.stats.effect import Effect
from quant.stats.power import (
    Proof,
    detectable_loss,
    items_needed,
    pool_factor,
    pool_power,
    power_at,
    worth,
)
from quant.stats.tables import Cells, tails

DISCORDANCES, RATIOS = (0.03, 0.06, 0.12), (0.99, 0.97, 0.95)
NEEDED = {
    1.0: ((3391, 6594, 13090), (448, 769, 1453), (193, 300, 531)),
    0.998: ((5261, 10284, 20443), (509, 879, 1666), (208, 324, 575)),
}
CASES = [
    (recovery, ratio, d, n)
    for recovery, rows in NEEDED.items()
    for ratio, row in zip(RATIOS, rows, strict=True)
    for d, n in zip(DISCORDANCES, row, strict=True)
]


@pytest.mark.parametrize(("recovery", "ratio", "d", "n"), CASES)
def test_items_needed_are_those_of_the_table(recovery: float, ratio: float, d: float, n: int) -> None:
    assert items_needed(Effect(0.75, d, recovery), ratio) == n


def test_items_needed_for_a_model_that_loses_one_percent() -> None:
    assert items_needed(Effect(0.8, 0.06, 0.99), 0.97) == 1496


def test_without_flips_the_rule_of_three_sets_the_least() -> None:
    # ln .05 / ln .99 = 298.07 items that the base gets right
    assert items_needed(Effect(1.0, 0.0, 1.0), 0.99) == 299


def test_a_gain_is_proven_over_a_gate_of_one() -> None:
    # McNemar's test: gap .03, s0 = d = .1, s1 = .0991, so ((1.6449 sqrt(.1) + .8416 sqrt(.0991))/.03)^2 = 684.5
    assert items_needed(Effect(0.6, 0.1, 1.05), 1.0) == 685


def test_the_variance_at_the_gate_needs_no_estimate() -> None:
    # Where rho = R the restricted estimate is the truth: s0 = s1 = .758 x .03^2 + .042 x .97^2 + .018 = .0582
    effect = Effect(0.8, 0.06, 0.97)
    assert (effect.restricted_variance(0.97), effect.variance(0.97)) == pytest.approx((0.0582, 0.0582), abs=1e-6)


@pytest.mark.parametrize("recovery", [0.97, 0.95])
def test_what_is_not_above_the_gate_is_never_proven_above(recovery: float) -> None:
    assert items_needed(Effect(0.8, 0.06, recovery), 0.97) is None


def test_run_noise_can_hide_a_gap_from_any_number_of_items() -> None:
    assert items_needed(Effect(0.8, 0.06, 1.0), 0.97, tau2=0.001) is None


def test_run_noise_costs_items() -> None:
    assert (items_needed(Effect(0.8, 0.06, 1.0), 0.97, tau2=1e-5) or 0) > (
        items_needed(Effect(0.8, 0.06, 1.0), 0.97) or 0
    )


def test_a_loss_is_planned_for_as_well() -> None:
    n = items_needed(Effect(0.8, 0.06, 0.93), 0.97, proof="FAIL") or 0
    assert power_at(Effect(0.8, 0.06, 0.93), 0.97, n, proof="FAIL") >= 0.8


def test_the_detectable_loss_is_detected_with_that_power() -> None:
    loss = detectable_loss(0.8, 0.06, 0.97, 1000) or 0.0
    assert power_at(Effect(0.8, 0.06, 1 - loss), 0.97, 1000, proof="FAIL") == pytest.approx(0.8, abs=1e-6)


def test_more_items_detect_a_smaller_loss() -> None:
    losses = [detectable_loss(0.8, 0.06, 0.97, n) or 1.0 for n in (200, 1000, 5000)]
    assert losses == sorted(losses, reverse=True)


def test_too_few_items_detect_no_loss() -> None:
    assert detectable_loss(0.8, 0.06, 0.97, 1) is None


def test_a_pool_of_one_task_has_the_power_of_its_test() -> None:
    # By hand: gap .024, s1 = .77 x .03^2 + .03 x .97^2 + .03 - .024^2 = .058344, n = 800: 1 - Phi(1.645 - 2.810) = .878
    assert pool_power([Effect(0.8, 0.06, 1.0)], [800], [1.0], 0.97) == pytest.approx(0.878, abs=1e-3)


def test_a_pool_grown_by_its_factor_reaches_the_power() -> None:
    effects = [Effect(0.8, 0.06, 1.0), Effect(0.5, 0.1, 1.0)]
    factor = pool_factor(effects, [100, 100], [1, 1], 0.97) or 0.0
    grown = math.ceil(100 * factor)
    assert (pool_power(effects, [grown, grown], [1, 1], 0.97), factor > 1) == (pytest.approx(0.8, abs=0.005), True)


def test_a_pool_that_is_enough_need_not_grow() -> None:
    assert pool_factor([Effect(0.8, 0.06, 1.0)], [5000], [1], 0.97) == 1.0


def test_a_pool_at_the_gate_never_gets_there() -> None:
    assert pool_factor([Effect(0.8, 0.06, 0.97)], [5000], [1], 0.97) is None


def test_the_items_worth_most_are_of_high_accuracy_and_low_discordance() -> None:
    assert (
        worth(Effect(0.9, 0.03, 1.0), 0.97) > worth(Effect(0.5, 0.03, 1.0), 0.97) > worth(Effect(0.5, 0.1, 1.0), 0.97)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 0.1, 1.0), "base accuracy"),
        ((0.8, 0.01, 0.9), "needs a discordance from 0.08"),
        ((0.8, 0.1, 1.3), "above 1"),
    ],
)
def test_models_that_cannot_be_are_refused(arguments: tuple[float, float, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Effect(*arguments)


@pytest.mark.parametrize(("base", "discordance"), [(0.0, 0.06), (1.2, 0.06), (0.8, -0.1), (0.8, math.nan)])
def test_a_loss_of_models_that_cannot_be_is_refused(base: float, discordance: float) -> None:
    with pytest.raises(ValueError, match="discordance in"):
        detectable_loss(base, discordance, 0.97, 1000)


@pytest.mark.parametrize(("sizes", "weights"), [([0], [1.0]), ([100], [0.0]), ([100], [-1.0])])
def test_a_pool_without_items_or_weight_is_refused(sizes: list[int], weights: list[float]) -> None:
    with pytest.raises(ValueError, match="a pool needs items"):
        pool_power([Effect(0.8, 0.06, 1.0)], sizes, weights, 0.97)


def surplus(effect: Effect, ratio: float, n: int, repeats: int, proof: Proof = "PASS") -> float:
    """Return the share of drawn cells of n items that the exact test decides, less the promise."""
    shares = [effect.p11, effect.p10, effect.p01, 1 - effect.base - effect.p01]
    drawn = np.random.default_rng(0).multinomial(n, shares, size=repeats)[:, :3]
    distinct, times = np.unique(drawn, axis=0, return_counts=True)
    both, b, c = distinct.T.astype(float)
    p = tails(Cells(both + b + c, b, c, np.full(len(b), ratio)), upper=proof == "PASS")
    return float(times[p <= 0.05].sum() / repeats) - power_at(effect, ratio, n, proof=proof)


def within(repeats: int) -> float:
    return 0.03 + 3.3 * math.sqrt(0.25 / repeats)


@pytest.mark.parametrize(("base", "d", "ratio"), [(0.8, 0.06, 0.97), (0.5, 0.12, 0.95), (0.95, 0.03, 0.97)])
def test_the_planned_items_have_the_power_they_promise(base: float, d: float, ratio: float) -> None:
    # n*d = 37, 51 and 11
    effect = Effect(base, d, 1.0)
    assert abs(surplus(effect, ratio, items_needed(effect, ratio) or 0, 4000)) <= within(4000)


@pytest.mark.slow
@pytest.mark.parametrize("base", [0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("d", [0.03, 0.06, 0.12])
@pytest.mark.parametrize("ratio", [0.99, 0.97, 0.95])
@pytest.mark.parametrize("recovery", [1.0, 0.998, 0.995])
def test_the_planned_items_never_have_less(base: float, d: float, ratio: float, recovery: float) -> None:
    effect = Effect(base, d, recovery)
    assert surplus(effect, ratio, items_needed(effect, ratio) or 0, 10_000) >= -within(10_000)


# n*d >= 20, so that few flips do not make the test coarse; below the minimum the promise is 0 and the power up to .14.
THIN = [(0.75, 0.03, 1000), (0.5, 0.12, 500), (0.9, 0.06, 1319)]
GRID = [(p, d, n) for p in (0.3, 0.5, 0.75, 0.9) for d in (0.01, 0.03, 0.06, 0.12) for n in (500, 1000, 2500, 5000)]
GRID = [(p, d, n) for p, d, n in GRID if n * d >= 20]
GRIDS = [*((*case, 4000) for case in THIN), *(pytest.param(*case, 10_000, marks=pytest.mark.slow) for case in GRID)]


@pytest.mark.parametrize("recovery", [1.0, 0.99])
@pytest.mark.parametrize(("base", "d", "n", "repeats"), GRIDS)
def test_power_at_any_number_of_items_is_as_promised(
    base: float, d: float, n: int, repeats: int, recovery: float
) -> None:
    assert abs(surplus(Effect(base, d, recovery), 0.97, n, repeats)) <= within(repeats)


@pytest.mark.parametrize("recovery", [0.95, 0.93])
@pytest.mark.parametrize(("base", "d", "n", "repeats"), GRIDS)
def test_power_to_fail_is_as_promised(base: float, d: float, n: int, repeats: int, recovery: float) -> None:
    # As many flips as the loss needs, and at least 50 of them: with fewer, a FAIL has less power than promised.
    effect = Effect(base, max(d, (1 - recovery) * base, 50 / n), recovery)
    assert abs(surplus(effect, 0.97, n, repeats, proof="FAIL")) <= within(repeats)


def test_items_without_a_flip_prove_as_often_as_the_base_gets_enough_of_them_right() -> None:
    # P(Bin(132, .75) >= 99) = .547 of the .8 planned: the minimum counts on the average number of items that are right.
    effect = Effect(0.75, 0.0, 1.0)
    planned = items_needed(effect, 0.97) or 0
    assert surplus(effect, 0.97, planned, 4000) + power_at(effect, 0.97, planned) == pytest.approx(0.547, abs=0.03)

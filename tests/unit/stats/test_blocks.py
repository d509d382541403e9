"""Ratios of two systems that took turns: the example worked by hand, drift that cancels, error rates at a budget."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quant.stats.blocks import LogMean, blocks_needed, budget, change, log_ratios, log_values, order

EXAMPLE = [0.02, 0.03, 0.01, 0.04, 0.00, 0.02]
TRIALS = 4000


def test_the_ratio_and_its_limits_are_those_worked_by_hand() -> None:
    # Mean .02, sd .0141421, K = 6: t(.95, 5) = 2.015048; exp(.02 -+ 2.015048 x .0057735).
    result = budget(EXAMPLE, 1.0, "higher")
    assert (result.value, result.low, result.high) == pytest.approx((1.0202, 1.0084, 1.0321), abs=1e-4)


@pytest.mark.parametrize(
    ("limit", "better", "verdict"),
    [
        (1.00, "higher", "PASS"),
        (1.02, "higher", "INCONCLUSIVE"),
        (1.04, "higher", "FAIL"),
        (1.00, "lower", "FAIL"),
        (1.02, "lower", "INCONCLUSIVE"),
        (1.04, "lower", "PASS"),
    ],
)
def test_a_budget_is_held_against_the_limits(limit: float, better: str, verdict: str) -> None:
    assert budget(EXAMPLE, limit, better).verdict == verdict  # type: ignore[arg-type]


def test_four_blocks_prove_nothing() -> None:
    result = budget([0.5, 0.5, 0.5, 0.5], 1.0, "higher")
    assert (result.verdict, result.why) == ("INCONCLUSIVE", "fewer than 5 blocks (K=4)")


def test_blocks_without_spread_decide_for_certain() -> None:
    assert budget([0.1] * 5, 1.0, "higher").verdict == "PASS"


def test_linear_drift_cancels_inside_a_block() -> None:
    # Ten blocks of four runs, each run 1 % slower than the one before; both systems are the same.
    times = 1.01 ** np.arange(40).reshape(10, 4)
    sides = [[[run for run, who in zip(block, order(k), strict=True) if who == side] for k, block in enumerate(times)]
             for side in "AB"]  # fmt: skip
    assert log_ratios(*sides) == pytest.approx(np.zeros(10), abs=1e-12)


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("blocks", [5, 20])
def test_a_system_at_its_budget_passes_and_fails_as_seldom_as_claimed(better: str, blocks: int) -> None:
    # Standard error of a rate of .05 in 4,000 trials: .0034; 3.3 of them make .0614.
    rng = np.random.default_rng(20260101)
    found = [budget(rng.normal(0.0, 0.05, blocks), 1.0, better).verdict for _ in range(TRIALS)]  # type: ignore[arg-type]
    assert max(found.count("PASS"), found.count("FAIL")) <= 0.0614 * TRIALS


@pytest.mark.parametrize(
    ("distance", "noise", "blocks"),
    [(1.02, 0.02, 8), (1.02, 0.05, 41), (1.03, 0.10, 73), (1.05, 0.05, 9), (1.10, 0.02, 5), (1.10, 0.10, 9)],
)
def test_the_blocks_that_a_proof_takes_are_known_before(distance: float, noise: float, blocks: int) -> None:
    assert blocks_needed(distance, noise) == blocks


def test_a_run_of_another_day_is_compared_by_the_spread_of_both() -> None:
    # By hand: difference .05, errors .01/sqrt(5) each, equal spreads and sizes: 8 degrees, t(.95) = 1.859548.
    now, then = LogMean(0.05, 0.01, 5), LogMean(0.0, 0.01, 5)
    reach = 1.859548 * 0.01 * math.sqrt(2 / 5)
    assert change(now, then) == pytest.approx((math.exp(0.05), math.exp(0.05 - reach), math.exp(0.05 + reach)))


def test_an_absolute_value_is_the_geometric_mean_of_its_blocks() -> None:
    assert LogMean.from_logs(log_values([[2.0, 8.0], [4.0, 4.0]])).value == pytest.approx(4.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_value_that_is_no_measurement_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite values above 0"):
        log_ratios([[1.0, 1.0]], [[1.0, bad]])

"""The test of metrics in [0, 1]: hand-worked values, and the error rate where large losses are rare.

The simulated rate is bounded at the claimed rate plus 3.3 standard errors: a right implementation fails with
probability < .0005.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import special

from quant.stats.metric import metric_p_values

if TYPE_CHECKING:
    from numpy.typing import NDArray


def test_an_unchanged_metric_is_tested_with_one_lost_item() -> None:
    # By hand, R = .9: 99 items u = .05 and one u = -.9; mean .0405, sd .95/sqrt(100), t = 10 x .0405/.095, df 99.
    scores = np.full(99, 0.5)
    p = metric_p_values(scores, scores, 0.9)[0]
    assert p == pytest.approx(float(special.stdtr(99, -10 * 0.0405 / 0.095)), rel=1e-9)


def test_an_unchanged_metric_is_tested_for_fail_with_one_won_item() -> None:
    # By hand, R = .9: 99 items u = .05 and one u = 1; mean .0595, sd .95/sqrt(100), t = 10 x .0595/.095, df 99.
    scores = np.full(99, 0.5)
    p = metric_p_values(scores, scores, 0.9)[1]
    assert p == pytest.approx(float(special.stdtr(99, 10 * 0.0595 / 0.095)), rel=1e-9)


def test_a_much_changed_metric_is_tested_with_halls_transformation() -> None:
    # By hand, R = .8: 40 items u = -.24, 60 items u = .16; t = 0, g = -.003072/.0387879^1.5 = -.40214,
    # T = g/sqrt(100)/6 = -.0067023 against t(99), whose density at 0 is .39794.
    base, quantized = np.full(100, 0.8), np.repeat([0.4, 0.8], [40, 60])
    assert metric_p_values(base, quantized, 0.8) == pytest.approx((0.502667, 0.497333), abs=2e-6)


def test_a_change_of_a_tenth_counts_though_floating_point_falls_short() -> None:
    base, quantized = np.full(30, 0.9), np.full(30, 0.8)  # .9 - .8 < .1; all equal, so the t is infinite
    assert metric_p_values(base, quantized, 0.97) == (1.0, 0.0)


@pytest.mark.parametrize("n", [40, 250, 2000])
def test_a_metric_at_the_threshold_with_rare_large_losses_is_misjudged_at_most_065_of_the_time(n: int) -> None:
    rng = np.random.default_rng(2)
    p = [metric_p_values(*rare_losses(n, 0.97, rng), 0.97) for _ in range(2000)]
    assert (np.array(p) <= 0.05).mean(axis=0).max() <= 0.065 + 3.3 * math.sqrt(0.065 * 0.935 / 2000)


def rare_losses(n: int, recovery: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scores of which a share 1 - recovery is lost altogether and the rest is unchanged."""
    base = rng.beta(4, 2, n)
    return base, base * (rng.random(n) < recovery)

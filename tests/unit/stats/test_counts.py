"""The exact test of 0/1 items.

Published and hand-worked values are cited where they stand; the p-values are checked against an enumeration that starts
from the likelihood. The simulated error rate is bounded at the claimed rate plus 3.3 standard errors: a right
implementation fails with probability < .0005.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from quant.stats.counts import Counts, base_above_chance, constrained_z, limits, p_fail, p_pass


def test_z_is_the_constrained_score_statistic() -> None:
    # By hand: B = 87.28, x = 37.68, y = 13.48, so z = 24/sqrt(.97 x 51.16) = 24/7.044
    assert constrained_z(Counts(1000, 800, 20, 20), 0.97) == pytest.approx(3.407, abs=5e-4)


def test_z_at_recovery_one_is_mcnemars() -> None:
    # McNemar 1947: (c-b)/sqrt(b+c) = -6/sqrt(30)
    assert constrained_z(Counts(1000, 800, 18, 12), 1.0) == pytest.approx(-6 / math.sqrt(30))


@pytest.mark.parametrize(("limit", "z"), [(0.7476, 1.96), (0.9876, -1.96)])
def test_z_reaches_the_normal_quantile_at_published_limits(limit: float, z: float) -> None:
    # Cavo et al. 2012, responses 59/6/16/80 of 161: Tang's score interval .7476 to .9876, as the R package
    # contingencytables prints it (Fagerland, Lydersen & Laake 2017, Statistical Analysis of Contingency Tables, ch. 8).
    assert constrained_z(Counts(161, 75, 16, 6), limit) == pytest.approx(z, abs=2e-3)


def test_exchanging_the_models_turns_a_ratio_around() -> None:
    there, back = Counts(50, 30, 7, 2), Counts(50, 25, 2, 7)
    assert p_pass(there, 0.9) == pytest.approx(p_fail(back, 1 / 0.9), rel=1e-9)


@pytest.mark.parametrize(("base_correct", "p"), [(298, 0.0500366), (299, 0.0495363)])
def test_p_pass_without_flips_is_the_rule_of_three(base_correct: int, p: float) -> None:
    # Hanley & Lippman-Hand 1983: .99^298 and .99^299
    assert p_pass(Counts(300, base_correct, 0, 0), 0.99) == pytest.approx(p, abs=5e-8)


@pytest.mark.parametrize("ratio", [0.5, 0.95, 1.0, 1.2])
@pytest.mark.parametrize("m", [1, 5, 12])
def test_exact_p_values_equal_the_sum_over_every_table(m: int, ratio: float) -> None:
    cells = [Counts(m, m - c, b, c) for c in range(m + 1) for b in range(m + 1 - c)]
    found = [(p_pass(k, ratio), p_fail(k, ratio)) for k in cells]
    expected = [enumerated_p_values(m, k.worse, k.better, ratio) for k in cells]
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-9)


def enumerated_p_values(m: int, b: int, c: int, ratio: float) -> tuple[float, float]:
    """Return (p_pass, p_fail) from the likelihood alone, by summing the multinomial over all (b', c')."""
    z0, pb, pc = likelihood_z(m, b, c, ratio)
    tables = [(i, j) for i in range(m + 1) for j in range(m + 1 - i)]
    chance = [math.comb(m, i) * math.comb(m - i, j) * pb**i * pc**j * (1 - pb - pc) ** (m - i - j) for i, j in tables]
    z = [likelihood_z(m, i, j, ratio)[0] for i, j in tables]
    up = math.fsum(p for p, other in zip(chance, z, strict=True) if other >= z0 - 1e-9)
    return up, math.fsum(p for p, other in zip(chance, z, strict=True) if other <= z0 + 1e-9)


@cache
def likelihood_z(m: int, b: int, c: int, ratio: float) -> tuple[float, float, float]:
    """Return z and the flip probabilities that maximise the trinomial likelihood on 1-pb = R(1-pc), by bisection."""
    low, high = max(0.0, 1 - 1 / ratio), ratio / (1 + ratio)
    for _ in range(200):
        pc = (low + high) / 2
        pb = 1 - ratio * (1 - pc)
        slope = (b * ratio / pb if b else 0) + (c / pc if c else 0)
        slope -= (m - b - c) * (1 + ratio) / (1 - pb - pc) if m > b + c else 0
        low, high = (pc, high) if slope > 0 else (low, pc)
    pb, pc = 1 - ratio * (1 - low), low
    variance = m * (pb + ratio**2 * pc - (pb - ratio * pc) ** 2)
    lead = (m - b) - ratio * (m - c)
    return (lead / math.sqrt(variance) if variance > 1e-12 else 0.0), max(pb, 0.0), pc


def test_limits_at_their_own_ratio_have_p_equal_alpha() -> None:
    counts = Counts(1319, 1000, 40, 25)
    low, high = limits(counts, 0.05)
    assert (p_pass(counts, low), p_fail(counts, high)) == pytest.approx((0.05, 0.05), abs=1e-6)


def test_a_collapse_to_guessing_cannot_pass_where_guessing_reaches_the_threshold() -> None:
    assert base_above_chance(Counts(400, 390, 0, 0), chance=0.95, threshold=0.95) == 1.0


@pytest.mark.parametrize(
    ("n", "base", "better", "threshold"),
    [(30, 0.8, 0.0, 0.97), (250, 0.8, 0.0, 0.97), (250, 0.6, 0.03, 0.99), (1319, 0.75, 0.02, 0.95)],
)
def test_a_cell_at_the_threshold_is_misjudged_at_most_055_of_the_time(
    n: int, base: float, better: float, threshold: float
) -> None:
    # Harm-only flips (better = 0) are where mean/se errs: 79 % false PASS at n = 30, 13 % at n = 250.
    worse = better + (1 - threshold) * base
    rng = np.random.default_rng(1)
    draws = rng.multinomial(n, [base - worse, worse, better, 1 - base - better], 3000)
    p = np.array([exact_p_values(Counts(n, int(a + b), int(b), int(c)), threshold) for a, b, c, _ in draws])
    assert (p <= 0.05).mean(axis=0).max() <= 0.055 + 3.3 * math.sqrt(0.055 * 0.945 / 3000)


@cache
def exact_p_values(counts: Counts, threshold: float) -> tuple[float, float]:
    return p_pass(counts, threshold), p_fail(counts, threshold)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((10, 11, 0, 0), "exceeds n"),
        ((10, 5, 6, 0), "worse"),
        ((10, 5, 0, 6), "better"),
        ((10, -1, 0, 0), "base_correct must be a whole number"),
        ((10, 5, 0.5, 0), "worse must be a whole number"),
    ],
)
def test_counts_that_no_two_models_can_make_are_refused(counts: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Counts(*counts)


def test_counting_refuses_scores_between_zero_and_one() -> None:
    with pytest.raises(ValueError, match="exactly 0 or 1"):
        Counts.from_scores([0.5, 1], [1, 1])

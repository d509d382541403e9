"""Stopping early: published bounds, alpha spent, p-values adjusted for the looks.

The bounds are those of Hwang-Shih-DeCani spending, gamma = -2, alpha = .05 one-sided; the four designs were computed to
four digits by a separate implementation of the recursion. Sums of alpha and crossings hold whatever the bounds. The one
simulated chance is bounded at 4 standard errors a look: a right implementation fails with probability < .0003.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from quant.stats.sequential import (
    SHARES,
    boundaries,
    expected_share,
    first_crossings,
    nominal_levels,
    sequential_p,
    spent,
)

DESIGNS = [
    (SHARES, (2.5706, 2.3208, 2.0522, 1.7682), (0.00508, 0.01015, 0.02007, 0.03851)),
    ((0.5, 1.0), (2.2131, 1.7059), (0.01345, 0.04401)),
    ((1 / 3, 2 / 3, 1.0), (2.4364, 2.1077, 1.7429), (0.00742, 0.01753, 0.04067)),
    (
        (0.2, 0.4, 0.6, 0.8, 1.0),
        (2.6650, 2.4603, 2.2430, 2.0195, 1.7869),
        (0.00385, 0.00694, 0.01245, 0.02172, 0.03697),
    ),
]


@pytest.mark.parametrize(("shares", "bounds", "_"), DESIGNS)
def test_bounds_of_z_are_the_tabled_ones(shares: tuple[float, ...], bounds: tuple[float, ...], _: object) -> None:
    assert boundaries(shares, 0.05) == pytest.approx(bounds, abs=6e-5)


@pytest.mark.parametrize(("shares", "_", "levels"), DESIGNS)
def test_nominal_levels_are_the_tabled_ones(shares: tuple[float, ...], _: object, levels: tuple[float, ...]) -> None:
    assert nominal_levels(shares, 0.05) == pytest.approx(levels, abs=6e-6)


def test_alpha_is_spent_late() -> None:
    # By hand: .05 (e^.5 - 1)/(e^2 - 1) = .05 x .648721/6.389056 and .05 (e - 1)/(e^2 - 1) = .05 x 1.718282/6.389056
    assert [spent(share, 0.05) for share in (0.25, 0.5, 1.0)] == pytest.approx([0.0050768, 0.0134471, 0.05], abs=1e-7)


def test_two_looks_agree_with_the_bivariate_normal() -> None:
    # P(Z1 < b1, Z2 < b2) = 1 - alpha with correlation sqrt(.5), by scipy's own integration
    from scipy.stats import multivariate_normal

    joint = multivariate_normal(cov=[[1, math.sqrt(0.5)], [math.sqrt(0.5), 1]])
    assert joint.cdf(boundaries((0.5, 1.0), 0.05)) == pytest.approx(0.95, abs=1e-7)


@pytest.mark.parametrize("alpha", [1e-12, 0.005, 0.05, 0.4])
@pytest.mark.parametrize("shares", [SHARES, (0.1, 0.9, 0.99, 1.0), tuple(k / 20 for k in range(1, 21))])
def test_crossings_by_chance_sum_to_alpha(shares: tuple[float, ...], alpha: float) -> None:
    assert sum(first_crossings(shares, alpha, 0.0)) == pytest.approx(alpha, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
def test_one_look_is_no_stopping(alpha: float) -> None:
    assert nominal_levels((1.0,), alpha) == (alpha,)


@pytest.mark.parametrize("p", [0.0, 1e-12, 0.05, 0.5, 0.9, 1.0])
def test_one_look_leaves_a_p_value_as_it_is(p: float) -> None:
    assert sequential_p(p, 0, (1.0,)) == p


@pytest.mark.parametrize("alpha", [1e-13, 1e-6, 0.01, 0.05, 0.3, 0.49])
@pytest.mark.parametrize("look", [0, 1, 2, 3])
def test_a_p_value_on_the_bound_is_adjusted_to_the_alpha_of_the_bound(look: int, alpha: float) -> None:
    assert sequential_p(nominal_levels(SHARES, alpha)[look], look, SHARES) == pytest.approx(alpha, rel=1e-6)


@pytest.mark.parametrize("look", [0, 1, 2, 3])
def test_an_adjusted_p_value_rises_with_the_p_value(look: int) -> None:
    grid = np.concatenate([[0.0], np.geomspace(1e-205, 0.1, 60), np.linspace(0.1, 1, 40)])
    assert (np.diff([sequential_p(float(p), look, SHARES) for p in grid]) >= 0).all()


@pytest.mark.parametrize("look", [0, 1, 2, 3])
def test_looking_more_than_once_never_makes_a_p_value_smaller(look: int) -> None:
    grid = np.concatenate([np.geomspace(1e-12, 0.1, 30), np.linspace(0.1, 1, 30)])
    assert all(sequential_p(float(p), look, SHARES) >= p for p in grid)


@pytest.mark.parametrize("look", [0, 1, 2, 3])
def test_a_p_value_of_zero_stays_zero(look: int) -> None:
    assert sequential_p(0.0, look, SHARES) == 0.0


def test_a_p_value_that_no_alpha_would_accept_at_its_look_becomes_one() -> None:
    # All of alpha = 1 allows .1015 at the first look: (e^.5 - 1)/(e^2 - 1)
    assert (sequential_p(0.1, 0, SHARES) < 1, sequential_p(0.102, 0, SHARES)) == (True, 1.0)


def test_crossings_are_those_of_simulated_random_walks() -> None:
    rng, repeats, drift = np.random.default_rng(4), 40_000, 2.5
    z = np.cumsum(rng.normal(drift * 0.25, 0.5, (repeats, 4)), axis=1) / np.sqrt(SHARES)
    crossed = z >= boundaries(SHARES, 0.05)
    simulated = np.bincount(np.where(crossed.any(axis=1), crossed.argmax(axis=1), 4), minlength=5)[:4] / repeats
    chances = np.array(first_crossings(SHARES, 0.05, drift))
    assert (np.abs(simulated - chances) <= 4 * np.sqrt(chances * (1 - chances) / repeats)).all()


def test_one_look_has_the_power_of_a_plain_z_test() -> None:
    # Phi(2.5 - 1.644854) = Phi(.855146)
    assert first_crossings((1.0,), 0.05, 2.5) == pytest.approx((0.803765,), abs=1e-6)


def test_without_a_difference_nearly_every_item_is_used() -> None:
    # A test of either side crosses by .75 with chance .0272, by .5 with .0134, by .25 with .0051: 1 - 2 x .25 x .0458
    assert expected_share(SHARES, 0.05, 0.0) == pytest.approx(0.9771, abs=5e-5)


@pytest.mark.parametrize("drift", [-40.0, 40.0])
def test_a_glaring_difference_is_seen_at_the_first_look(drift: float) -> None:
    assert expected_share(SHARES, 0.05, drift) == pytest.approx(0.25)


def test_both_sides_stop_alike() -> None:
    assert expected_share(SHARES, 0.05, 2.0) == pytest.approx(expected_share(SHARES, 0.05, -2.0))


def test_one_look_uses_every_item() -> None:
    assert expected_share((1.0,), 0.05, 5.0) == 1.0


@pytest.mark.parametrize(
    "shares", [(), (0.5,), (0.0, 1.0), (0.5, 0.5, 1.0), (0.6, 0.4, 1.0), (0.5, 1.5), (math.nan, 1.0)]
)
def test_looks_that_do_not_rise_to_one_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="shares must rise"):
        boundaries(shares, 0.05)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, -0.1, math.nan])
def test_an_alpha_that_is_no_small_error_rate_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        boundaries(SHARES, alpha)


@pytest.mark.parametrize("look", [-1, 4])
def test_a_look_that_is_not_planned_is_refused(look: int) -> None:
    with pytest.raises(ValueError, match=r"look must be one of 0\.\.3"):
        sequential_p(0.01, look, SHARES)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_a_p_value_that_is_no_probability_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="p must be a probability"):
        sequential_p(p, 0, SHARES)

"""Adjusted p-values of a family: worked by hand from Holm 1979 and Benjamini & Hochberg 1995."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quant.stats.multiplicity import benjamini_hochberg, holm

Adjust = Callable[[Any], Any]

FAMILY = (0.001, 0.012, 0.03, 0.2)


def test_holm_multiplies_the_ith_smallest_by_the_number_still_open() -> None:
    # 4 x .001, 3 x .012, 2 x .03, 1 x .2
    assert holm(FAMILY) == pytest.approx([0.004, 0.036, 0.06, 0.2])


def test_benjamini_hochberg_multiplies_the_ith_smallest_by_m_over_i() -> None:
    # 4/1 x .001, 4/2 x .012, 4/3 x .03, 4/4 x .2
    assert benjamini_hochberg(FAMILY) == pytest.approx([0.004, 0.024, 0.04, 0.2])


def test_holm_never_orders_two_cells_against_their_p_values() -> None:
    # 3 x .02 = .06 exceeds 2 x .025 = .05, so the second step rises to the first.
    assert holm([0.02, 0.025, 0.5]) == pytest.approx([0.06, 0.06, 0.5])


def test_benjamini_hochberg_lets_a_later_step_lower_an_earlier_one() -> None:
    # 3/1 x .02 = .06 exceeds 3/2 x .025 = .0375, so the first step falls to the second.
    assert benjamini_hochberg([0.02, 0.025, 0.5]) == pytest.approx([0.0375, 0.0375, 0.5])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_adjusted_p_values_keep_the_order_they_came_in(adjust: Adjust) -> None:
    shuffled = [2, 0, 3, 1]
    assert adjust(np.array(FAMILY)[shuffled]) == pytest.approx(adjust(FAMILY)[shuffled])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_an_adjusted_p_value_stays_a_probability(adjust: Adjust) -> None:
    assert adjust([0.6, 0.7, 1.0]).max() == 1.0


def test_cells_that_were_not_run_cost_the_others_as_if_they_had() -> None:
    assert holm([0.01, 1.0, 1.0, 1.0])[0] == pytest.approx(0.04)


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_an_empty_family_adjusts_to_nothing(adjust: Adjust) -> None:
    assert adjust([]).shape == (0,)


@pytest.mark.parametrize("family", [[0.1, float("nan")], [-0.1], [1.1], [[0.1]]])
def test_a_value_that_is_no_probability_is_refused(family: list[float]) -> None:
    with pytest.raises(ValueError, match="numbers in"):
        holm(family)

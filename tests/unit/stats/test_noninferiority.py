"""One format keeps up with another, or is proven not to.

The worked example (700 of 1,000 right for the base, 25 items better and 30 worse) is arithmetic that a calculator
repeats. Simulated error rates are bounded at the claimed .055 (PASS) and .042 (FAIL) plus 3.3 standard errors: a rate
exactly at its claim raises a false alarm with probability < .0005. Seeds are fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from quant.stats.moments import PairedMoments
from quant.stats.noninferiority import (
    Difference,
    Triple,
    _cell_test,
    competitive,
    competitive_power,
    noninferiority,
    pooled_noninferiority,
)
from quant.stats.strata import Strata

Arms = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def arms(times: int = 1, worse: int = 30, better: int = 25) -> Arms:
    """The example, so many times as large: where the base is wrong, v is -1, +1 or 0, else .02."""
    base = (np.arange(1000 * times) < 700 * times).astype(float)
    other, quantized = base.copy(), base.copy()
    other[700 * times : (700 + worse) * times] = 1
    quantized[(700 + worse) * times : (700 + worse + better) * times] = 1
    return base, other, quantized


def test_the_difference_is_that_of_the_recoveries() -> None:
    assert noninferiority(*arms()).difference == pytest.approx(-5 / 700)


def test_a_difference_within_the_margin_that_chance_may_explain_is_inconclusive() -> None:
    found = noninferiority(*arms())  # mean v = .009, var .05525, t = 1.21, less its skewness
    assert (found.verdict, found.p_pass) == ("INCONCLUSIVE", pytest.approx(0.115, abs=0.001))


def test_the_same_counts_four_times_are_proof() -> None:
    found = noninferiority(*arms(4))
    assert (found.verdict, found.p_pass) == ("PASS", pytest.approx(0.0080, abs=0.0001))


def test_a_clear_loss_fails() -> None:
    assert noninferiority(*arms(worse=120, better=20)).verdict == "FAIL"


@pytest.mark.parametrize("alpha", [0.05, 0.00508])
def test_limits_agree_with_the_verdict(alpha: float) -> None:
    found = noninferiority(*arms(4), alpha=alpha)
    assert (found.low >= -0.02) == (found.p_pass <= alpha)


def test_few_changes_are_tested_with_a_worst_item_added() -> None:
    # No item differs among 1,000: v is .02 or 0, and one item of -1 is the only doubt.
    base = arms()[0]
    v = np.append(0.02 * base, -1.0)
    t = v.mean() / v.std(ddof=1) * math.sqrt(1001)
    found = noninferiority(base, base, base)
    assert found.p_pass == pytest.approx(1 - 0.5 * (1 + math.erf(t / math.sqrt(2))), abs=1e-3)


def test_a_base_that_scores_zero_proves_nothing() -> None:
    nothing = np.zeros(100)
    assert noninferiority(nothing, nothing, nothing).why == "base scores zero"


def test_a_pool_of_one_task_finds_the_difference_of_its_cell() -> None:
    assert pooled_noninferiority([Triple("a", *arms())]).difference == pytest.approx(-5 / 700)


def test_a_pool_is_proven_where_its_tasks_are_not() -> None:
    tasks = [Triple(name, *arms()) for name in "abcd"]
    assert (pooled_noninferiority(tasks).verdict, noninferiority(*arms()).verdict) == ("PASS", "INCONCLUSIVE")


def test_limits_contain_a_difference_beyond_the_range_searched() -> None:
    # 0 - 100/3: the competitor gets everything right of which the base gets 3 %
    base, other = np.append(np.ones(3), np.zeros(97)), np.ones(100)
    found = noninferiority(base, other, np.zeros(100))
    assert (found.low, found.high) == (-math.inf, pytest.approx(-0.999))


@pytest.mark.parametrize("weight", [-1.0, math.inf, math.nan])
def test_a_weight_that_is_no_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="task a: weight"):
        Triple("a", *arms(), weight)


def test_arms_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of one length; got \(2,\), \(2,\), \(1,\)"):
        pooled_noninferiority([Triple("a", [1.0, 0.0], [1.0, 0.0], [1.0])])


def test_a_bad_score_of_the_other_format_is_said_to_be_its() -> None:
    with pytest.raises(ValueError, match=r"task a: other scores must lie in \[0, 1\]; got nan at index 1"):
        pooled_noninferiority([Triple("a", [1.0, 0.0], [1.0, math.nan], [1.0, 0.0])])


def test_scores_outside_their_range_are_named_with_their_task() -> None:
    with pytest.raises(ValueError, match="task a: quantized scores must lie in"):
        pooled_noninferiority([Triple("a", [1.0, 0.0], [1.0, 0.0], [2.0, 0.0])])


def test_a_margin_in_points_is_refused() -> None:
    with pytest.raises(ValueError, match=r"such as \.02; got 2"):
        noninferiority(*arms(), margin=2)


def found(p_pass: float, p_fail: float) -> Difference:
    return Difference(1000, 0.0, 0.0, 0.0, p_pass, p_fail, "INCONCLUSIVE")


@pytest.mark.parametrize(
    ("difference", "floor", "status"),
    [
        ((0.05, 0.9), (0.05, 0.9), "PASS"),
        ((0.05, 0.9), (0.06, 0.9), "INCONCLUSIVE"),
        ((0.9, 0.025), (0.01, 0.9), "FAIL"),
    ],
)
def test_both_claims_must_be_proven_and_either_may_fail(
    difference: tuple[float, float], floor: tuple[float, float], status: str
) -> None:
    assert competitive(found(*difference), found(*floor), 0.05) == status


def draw(rng: np.random.Generator, n: int, d: float, loss: float) -> Arms:
    """Base right with .7, INT8 another on d/2 of the items, INT4 other than INT8 on d, with a net loss of `loss`."""
    base = (rng.random(n) < 0.7).astype(float)
    other = np.where(rng.random(n) < d / 2, 1 - base, base)
    right = float(other.mean())
    down, up = (d + loss) / 2 / right, (d - loss) / 2 / (1 - right)
    chance = rng.random(n)
    quantized = np.where(other == 1, chance >= down, chance < up).astype(float)
    return base, other, quantized


def decided(*drawn: Arms) -> str:
    """Return the verdict of a cell or a suite without its limits, which cost most of the time."""
    pairs = [Triple("drawn", *arms).arms() for arms in drawn]
    if len(pairs) == 1:
        test = _cell_test(*pairs[0])
        p_pass, p_fail = test.p_pass(0.98), test.p_fail(0.98)
    else:
        strata = Strata.from_moments([PairedMoments.from_scores(*pair) for pair in pairs], np.ones(len(pairs)))
        p_pass, p_fail = float(strata.p_pass(0.98)[0]), float(strata.p_fail(0.98)[0])
    return "FAIL" if p_fail <= 0.025 else "PASS" if p_pass <= 0.05 else "INCONCLUSIVE"


# The chance of an alarm per case is < .0005: 3.3 standard errors above the claimed rates.
@pytest.mark.parametrize(("n", "d"), [(400, 0.06), (1319, 0.09)])
@pytest.mark.parametrize("verdict", ["PASS", "FAIL"])
def test_errors_at_the_margin_are_rare(n: int, d: float, verdict: str) -> None:
    rng, repeats = np.random.default_rng(0), 2000
    hits = sum(decided(draw(rng, n, d, loss=0.014)) == verdict for _ in range(repeats))
    claimed = {"PASS": 0.055, "FAIL": 0.042}[verdict]
    assert hits / repeats <= claimed + 3.3 * math.sqrt(claimed * (1 - claimed) / repeats)


@pytest.mark.parametrize("n", [100, 400, 2000])
def test_harm_alone_is_hardly_ever_passed_off_as_competitive(n: int) -> None:
    # Every change is for the worse, 1.4 on 100 items and 28 on 2,000: the case that a plain t test errs in.
    rng, repeats = np.random.default_rng(2), 2000
    hits = sum(decided(draw(rng, n, 0.014, loss=0.014)) == "PASS" for _ in range(repeats))
    assert hits / repeats <= 0.055 + 3.3 * math.sqrt(0.055 * 0.945 / repeats)


@pytest.mark.parametrize("verdict", ["PASS", "FAIL"])
@pytest.mark.parametrize("d", [0.014, 0.06])
def test_errors_of_a_suite_at_the_margin_are_rare(d: float, verdict: str) -> None:
    rng, repeats = np.random.default_rng(3), 2000
    hits = sum(decided(*(draw(rng, n, d, loss=0.014) for n in (300, 600, 1200))) == verdict for _ in range(repeats))
    claimed = {"PASS": 0.055, "FAIL": 0.042}[verdict]
    assert hits / repeats <= claimed + 3.3 * math.sqrt(claimed * (1 - claimed) / repeats)


@pytest.mark.parametrize(("n", "power"), [(1319, 0.58), (5000, 0.98)])
def test_power_at_equal_recovery(n: int, power: float) -> None:
    # Of the base's answers INT8 changes .06 and INT4 .09, of which .03 are the same, so the two differ on .09 of the
    # items. Were their changes independent, they would differ on .139 and the power be .42 and .89.
    rng, repeats = np.random.default_rng(1), 2000
    passed = sum(decided(alike(rng, n)) == "PASS" for _ in range(repeats)) / repeats
    assert passed == pytest.approx(power, abs=0.02 + 3.3 * math.sqrt(power * (1 - power) / repeats))


def alike(rng: np.random.Generator, n: int) -> Arms:
    """Base right with .75; half of each format's changes are for the better."""
    base, chance = (rng.random(n) < 0.75).astype(float), rng.random(n)
    share = np.where(base == 1, 0.5 / 0.75, 0.5 / 0.25)  # of the changes, by item
    only_other, either = chance < 0.03 * share, chance < 0.06 * share
    only_quantized = ~either & (chance < 0.12 * share)
    other = np.where(either, 1 - base, base)
    return base, other, np.where((either & ~only_other) | only_quantized, 1 - base, base)


@pytest.mark.parametrize(("n", "power"), [(1319, 0.58), (5000, 0.98)])
def test_a_plan_promises_the_power_that_simulation_finds(n: int, power: float) -> None:
    # Base .75, formats that differ on .09 of the items, margin .02: gap .015 and a variance of .0901 an item
    assert competitive_power([0.75], [0.09], [n], [1.0], 0.02) == pytest.approx(power, abs=0.03)

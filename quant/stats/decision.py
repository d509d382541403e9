"""From one-sided p-values to a three-way verdict, and to limits that agree with it.

In: functions p(R) of a recovery R, or two p-values. Out: "PASS", "FAIL" or "INCONCLUSIVE"; a lower and an upper limit.
Pure; imports nothing but the standard library.

The limits invert the same two tests that give the verdict, so for every threshold R they agree by construction::

    PASS  <=>  p_pass(R) <= alpha  <=>  lower limit >= R
    FAIL  <=>  p_fail(R) <= alpha  <=>  upper limit <  R

An exact p-value is discrete and may wriggle by a tie where it crosses alpha. The bisection therefore starts from the
threshold that was tested (`near`): it can refine that decision but not contradict it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from quant.records import Status

RATIOS = (1e-3, 1e3)  # recoveries searched; a limit outside is reported as 0 or infinity
STEPS = 45  # halvings of log(1e6): the limit is within a relative 4e-13


def decide(p_pass: float, p_fail: float, alpha: float, *, informative: bool = True) -> Status:
    """Say what is proven at `alpha`, one-sided for each side; an uninformative cell may FAIL but never PASS."""
    if p_fail <= alpha:
        return "FAIL"
    return "PASS" if informative and p_pass <= alpha else "INCONCLUSIVE"


def lower_limit(p_pass: Callable[[float], float], alpha: float, near: float = 1.0) -> float:
    """Return the largest recovery R that is proven, p_pass(R) <= alpha; 0 if none is.

    `p_pass` rises from 0 to 1 in R. Unitless; never above 1000.
    """
    if p_pass(near) <= alpha:
        proven, open_end = near, RATIOS[1]
    else:
        proven, open_end = RATIOS[0], near
    if p_pass(proven) > alpha:
        return 0.0
    return proven if p_pass(open_end) <= alpha else _bisect(lambda r: p_pass(r) <= alpha, proven, open_end)


def upper_limit(p_fail: Callable[[float], float], alpha: float, near: float = 1.0) -> float:
    """Return the largest recovery R that is not disproven, p_fail(R) > alpha; infinity if none is.

    `p_fail` falls from 1 to 0 in R. Zero only where the smallest recovery, .001, is already disproven.
    """
    if p_fail(near) <= alpha:
        open_end, disproven = RATIOS[0], near
    else:
        open_end, disproven = near, RATIOS[1]
    if p_fail(disproven) > alpha:
        return math.inf
    return 0.0 if p_fail(open_end) <= alpha else _bisect(lambda r: p_fail(r) > alpha, open_end, disproven)


def _bisect(holds: Callable[[float], bool], inside: float, outside: float) -> float:
    """Return the last ratio found to satisfy `holds`, halving the bracket on the log scale."""
    for _ in range(STEPS):
        middle = math.sqrt(inside * outside)
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside


def check_threshold(threshold: float) -> None:
    """Raise ValueError unless the recovery to test lies inside the range searched for limits."""
    if not RATIOS[0] <= threshold <= RATIOS[1]:
        raise ValueError(f"threshold must be a recovery between .001 and 1000, such as 0.97; got {threshold!r}")


def check_alpha(alpha: float) -> None:
    """Raise ValueError unless `alpha` is a one-sided error rate below one half."""
    if not 0.0 < alpha < 0.5:  # noqa: PLR2004  at one half a coin decides
        raise ValueError(f"alpha must lie strictly between 0 and 0.5; got {alpha!r}")

"""Limits of recovery: where a one-sided p-value crosses alpha, for many cells at once.

In: a p-value as a function of recovery, and the thresholds that were tested. Out: lower or upper limits, shape (K,).
Pure; numpy and scipy.special.

The limits invert the same two tests that give the verdict, so for every threshold R they agree by construction::

    PASS  <=>  p_pass(R) <= alpha  <=>  lower limit >= R
    FAIL  <=>  p_fail(R) <= alpha  <=>  upper limit <  R

An exact p-value is discrete and may wriggle by a tie where it crosses alpha. The search therefore starts from the
threshold that was tested (`near`): it can refine that decision but not contradict it.

A bracket [holds, does not hold] shrinks until it is narrower than `TOLERANCE`. The next ratio is where the secant on
the normal scale, on which p-values are nearly straight, meets alpha, at last a hair beyond; where that leaves the
bracket or has not helped after `PATIENCE` evaluations, it is the bracket's middle on the log scale. Each cell walks by
its own numbers only, so its limit does not depend on the cells beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special

from quant.stats.decision import RATIOS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Rows = NDArray[np.intp]
    PValues = Callable[[Rows, Floats], Floats]  # positions of the cells to evaluate, a recovery for each

TOLERANCE = 1e-12  # relative width of the last bracket
PATIENCE = 9  # evaluations; the secant needs 5 to 7 where p is smooth
NEAR = 1e-5  # relative step after which the secant lands within the tolerance, so that a hair more crosses over
APART = 1e-7  # relative distance of two points that tell a slope
FAR = 6.0  # normal deviates; p-values further out tell nothing of the slope at alpha


class Guess(NamedTuple):
    """Where to look first, shape (K,): a recovery, and how fast the p-value's normal deviate changes with recovery."""

    ratio: Floats
    slope: Floats


def lower_limits(p_pass: PValues, alpha: float, near: Floats, p_near: Floats, guess: Guess | None = None) -> Floats:
    """Return the largest recovery R that is proven, p_pass(R) <= alpha; 0 if none is, never above 1000.

    `p_pass` rises from 0 to 1 in R; `p_near` is its value at `near`.
    """
    level = float(special.ndtri(alpha))
    return _Search(p_pass, lambda p: p <= alpha, lambda p: _deviate(p) - level).run(near, p_near, guess, RATIOS[1])


def upper_limits(p_fail: PValues, alpha: float, near: Floats, p_near: Floats, guess: Guess | None = None) -> Floats:
    """Return the largest recovery R that is not disproven, p_fail(R) > alpha; infinity if none is, 0 if all are.

    `p_fail` falls from 1 to 0 in R; `p_near` is its value at `near`.
    """
    level = float(special.ndtri(alpha))
    return _Search(p_fail, lambda p: p > alpha, lambda p: level - _deviate(p)).run(near, p_near, guess, np.inf)


def _deviate(p: Floats) -> Floats:
    deviate: Floats = special.ndtri(np.clip(p, 1e-300, 1 - 1e-16))
    return deviate


class _Search:
    """Brackets of K cells: `low` holds, `high` does not. `excess` rises in R and is 0 where the p-value is alpha."""

    def __init__(self, p: PValues, holds: Callable[[Floats], Flags], excess: Callable[[Floats], Floats]) -> None:
        self.p, self.holds, self.excess = p, holds, excess

    def run(self, near: Floats, p_near: Floats, guess: Guess | None, everywhere: float) -> Floats:
        """Return the last ratio found to hold; 0 where none does, `everywhere` where all do."""
        holds, cells = self.holds(p_near), np.arange(len(near))
        self.low, self.high = np.where(holds, near, RATIOS[0]), np.where(holds, RATIOS[1], near)
        self.untried = np.where(holds, RATIOS[1], RATIOS[0])  # the end of the range, until it is evaluated
        self.x, self.h = near.copy(), self.excess(p_near)
        self.slope = np.full(len(near), np.nan) if guess is None else guess.slope.copy()
        ratio = self.untried.copy() if guess is None else self._inside(guess.ratio, cells)
        evaluations = 0
        while len(cells):
            self._evaluate(cells, ratio)
            evaluations += 1
            cells = cells[self.high[cells] > self.low[cells] * (1 + TOLERANCE)]
            ratio = self._secant(cells) if evaluations < PATIENCE else self._middle(cells)
        return np.where(self.high == RATIOS[0], 0.0, np.where(self.low == RATIOS[1], everywhere, self.low))

    def _evaluate(self, cells: Rows, ratio: Floats) -> None:
        """Move one end of each bracket to `ratio`, and learn the slope if the last two points can tell it."""
        p = self.p(cells, ratio)
        holds, h = self.holds(p), self.excess(p)
        self.low[cells] = np.where(holds, ratio, self.low[cells])
        self.high[cells] = np.where(holds, self.high[cells], ratio)
        self.untried[cells] = np.where(ratio == self.untried[cells], np.nan, self.untried[cells])
        run, rise = ratio - self.x[cells], h - self.h[cells]
        apart = np.abs(run) > APART * ratio
        slope = np.divide(rise, run, out=np.full_like(run, -1.0), where=apart)
        told = apart & (slope > 0) & (np.abs(h) < FAR) & (np.abs(self.h[cells]) < FAR)
        self.slope[cells] = np.where(told, slope, self.slope[cells])
        self.x[cells], self.h[cells] = ratio, h

    def _secant(self, cells: Rows) -> Floats:
        x = self.x[cells]
        step = -self.h[cells] / self.slope[cells]
        beyond = np.where(np.abs(step) < NEAR * x, TOLERANCE / 3 * x, 0.0)
        return self._inside(x + step + np.where(self.low[cells] == x, beyond, -beyond), cells)

    def _inside(self, ratio: Floats, cells: Rows) -> Floats:
        """Keep a proposal that lies in the bracket; else try the end of the range if it points there, or the middle."""
        low, high, untried = self.low[cells], self.high[cells], self.untried[cells]
        outward = ((ratio <= low) & (untried == low)) | ((ratio >= high) & (untried == high))
        inside = (ratio > low) & (ratio < high)
        return np.where(inside, ratio, np.where(outward, untried, self._middle(cells)))

    def _middle(self, cells: Rows) -> Floats:
        middle: Floats = np.sqrt(self.low[cells] * self.high[cells])
        return middle

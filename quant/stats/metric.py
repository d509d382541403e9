"""Recovery of one cell whose metric lies in [0, 1] (ROUGE, F1, mean of repeats): a t test that survives skewed harm.

In: two arrays y0 (base) and y1 (quantized) of n scores of the same items. Out: p-values, limits.
Tests H0: mean(u) = 0 for u = y1 - R*y0 in [-R, 1], which is H0: recovery = R. Pure; numpy and scipy.special.
Normalised scores (y - c)/(1 - c) lie in [L, 1], L = -c/(1 - c), and u in [L - R, 1 - R*L]; their test is the same.

- Fewer than 30 items changed by a tenth of 1 - L or more: a t test would miss the rare large loss it has not seen yet,
  so one worst item is added (u = L - R against PASS, u = 1 - R*L against FAIL) and the plain t is used; n counts it.
- Else Hall's transformation removes the skewness of t = sqrt(n) mean/sd; both are referred to t with n-1 degrees.
- Fewer than 10 items prove nothing: both p-values are 1.
- Items that share clusters (`quant.stats.clusters`): the same on the K units; one worst cluster of mean size is added
  if fewer than 30 moved by one half or more. Fewer than 10 clusters prove nothing.

Simulated error at the threshold .000-.065 for alpha .05, with clusters .000-.061 (with the plain t up to .067, where 50
of 1000 passages are lost as a whole), of normalised 0/1 items .000-.058.
Source: Hall 1992, J. R. Statist. Soc. B 54, 221-228.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from scipy import special

from quant.stats.clusters import MIN_CLUSTERS, MIN_MOVED, Units
from quant.stats.decision import check_alpha, check_threshold
from quant.stats.inversion import lower_limits, upper_limits
from quant.stats.moments import PairedMoments, paired_scores, remove_skewness

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

MIN_ITEMS = 10
MIN_CHANGED = 30
CHANGE = 0.1 - 1e-9  # of the span; .9 against .8 is a change, though their floating-point difference is below .1
NO_VARIANCE = 1e-14  # of scores in [0, 1]: below is rounding


class CellTest(NamedTuple):
    """Both p-values of one cell as functions of the recovery that is tested."""

    p_pass: Callable[[float], float]
    p_fail: Callable[[float], float]

    def limits(self, alpha: float, near: float) -> tuple[float, float]:
        """Return the lower and the upper limit of recovery that agree with both; `near` as in `metric_limits`."""
        return _limit(lower_limits, self.p_pass, alpha, near), _limit(upper_limits, self.p_fail, alpha, near)


@dataclass(frozen=True)
class MetricTest:
    """The moments each side is tested on: with a worst item added if too few items changed, else `skewed`."""

    against_pass: PairedMoments
    against_fail: PairedMoments
    skewed: bool
    enough: bool

    @classmethod
    def from_scores(cls, base: ArrayLike, quantized: ArrayLike, lowest: float = 0.0) -> Self:
        """Reduce two arrays of scores, shape (n,), n >= 1; raises ValueError on a score outside [lowest, 1]."""
        y0, y1 = paired_scores(base, quantized, lowest)
        enough = len(y0) >= MIN_ITEMS
        if np.count_nonzero(np.abs(y1 - y0) >= CHANGE * (1 - lowest)) >= MIN_CHANGED:
            moments = PairedMoments.from_scores(y0, y1)
            return cls(moments, moments, skewed=True, enough=enough)
        return cls(*_with_worst(y0, y1, lowest), skewed=False, enough=enough)

    @classmethod
    def from_units(cls, units: Units) -> Self:
        """Reduce K clusters; a worst cluster of mean size is the unit 1 where the other arm has the lowest."""
        enough = len(units.base) >= MIN_CLUSTERS
        if units.moved >= MIN_MOVED:
            moments = units.moments()
            return cls(moments, moments, skewed=True, enough=enough)
        return cls(*_with_worst(units.base, units.quantized, units.lowest), skewed=False, enough=enough)

    @property
    def both(self) -> CellTest:
        """Both sides as functions."""
        return CellTest(self.p_pass, self.p_fail)

    def p_pass(self, threshold: float) -> float:
        """P(T >= observed) if recovery = threshold: small proves recovery >= threshold."""
        return self._lower_tail(self.against_pass, threshold, sign=-1)

    def p_fail(self, threshold: float) -> float:
        """P(T <= observed) if recovery = threshold: small proves recovery < threshold."""
        return self._lower_tail(self.against_fail, threshold, sign=1)

    def _lower_tail(self, moments: PairedMoments, threshold: float, sign: int) -> float:
        if not self.enough:
            return 1.0
        return float(special.stdtr(moments.n - 1, sign * _t(moments, threshold, skewed=self.skewed)))


def metric_p_values(base: ArrayLike, quantized: ArrayLike, threshold: float) -> tuple[float, float]:
    """Return (p_pass, p_fail) of two arrays of scores in [0, 1], shape (n,), paired by position."""
    check_threshold(threshold)
    test = MetricTest.from_scores(base, quantized)
    return test.p_pass(threshold), test.p_fail(threshold)


def metric_limits(base: ArrayLike, quantized: ArrayLike, alpha: float = 0.05, near: float = 1.0) -> tuple[float, float]:
    """Return the lower and the upper limit of recovery, one-sided at `alpha` each, by inverting `metric_p_values`.

    `near` is the threshold a verdict was given at. (0, inf) where the base scores zero or items are fewer than 10.
    """
    check_alpha(alpha)
    check_threshold(near)
    test = MetricTest.from_scores(base, quantized)
    if not np.any(base):
        return 0.0, np.inf
    return test.both.limits(alpha, near)


def mean_above_chance(base: ArrayLike, chance: float, threshold: float, lowest: float = 0.0) -> float:
    """Return the p-value of H0: mean(y0) = chance/R, by the same test: the base's recovery of a perfect score.

    Above alpha, a model that guesses might reach the threshold, so PASS proves nothing. A guess scores 0 on the scale
    of normalised scores (`lowest` < 0): H0 is mean(y0) = 0.
    """
    if chance == 0 and lowest == 0:
        return 0.0
    return MetricTest.from_scores(np.ones(np.shape(base)), base, lowest).p_pass(chance / threshold)


def clusters_above_chance(units: Units, chance: float, threshold: float) -> float:
    """Return the p-value of `mean_above_chance` for the base of clustered items."""
    if chance == 0 and units.lowest == 0:
        return 0.0
    return MetricTest.from_units(units.against_perfect()).p_pass(chance / threshold)


def _with_worst(y0: Floats, y1: Floats, lowest: float) -> tuple[PairedMoments, PairedMoments]:
    """Return the moments with a pair added that is lost altogether, and with one that is won."""
    lost = PairedMoments.from_scores(np.append(y0, 1.0), np.append(y1, lowest))
    won = PairedMoments.from_scores(np.append(y0, lowest), np.append(y1, 1.0))
    return lost, won


def _limit(invert: Callable[..., Floats], p: Callable[[float], float], alpha: float, near: float) -> float:
    """Search the limit of one cell."""
    found = invert(lambda _, ratio: np.array([p(float(ratio[0]))]), alpha, np.array([near]), np.array([p(near)]))
    return float(found[0])


def _t(moments: PairedMoments, threshold: float, *, skewed: bool) -> float:
    """Return sqrt(n) mean/sd of u, transformed if `skewed`; infinite with the mean's sign where all u are equal."""
    mean, variance = moments.mean(threshold), moments.variance(threshold)
    if variance <= NO_VARIANCE:
        return 0.0 if abs(mean) <= math.sqrt(NO_VARIANCE) else math.copysign(math.inf, mean)
    t = mean * math.sqrt(moments.n / variance)
    if not skewed:
        return t
    skewness = moments.third_moment(threshold) / math.sqrt(variance) ** 3 / math.sqrt(moments.n)
    return remove_skewness(t, skewness)

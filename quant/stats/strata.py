"""Weighted averages over the tasks of one or many suites as stratified samples: z' for any recovery, from moments.

In: moments and weights of T tasks, and the suite that each task belongs to. Out: z'(R), p-values, limits, shape (S,)
for S suites (formulas: `quant.stats.pooling`). A suite's numbers do not depend on the suites beside it: sums over its
tasks run in their own order (`bincount`). Pure; numpy and scipy.special.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from scipy import special

from quant.stats.inversion import lower_limits, upper_limits
from quant.stats.moments import PairedMoments, remove_skewness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_SKEWED = 30  # items; the skewness of fewer is noise
ROUNDING = 1e-12  # of an average; normalised scores are no binary fractions


@dataclass(frozen=True)
class Estimate:
    """A recovery with its one-sided limits; None, 0 and infinity where nothing can be said."""

    recovery: float | None = None
    low: float = 0.0
    high: float = math.inf


UNDEFINED = Estimate()


class SuiteTest(NamedTuple):
    """What each of S suites proves, shape (S,): averages A0 and A1, limits, and z' and p-values at its threshold."""

    base: Floats
    quantized: Floats
    low: Floats
    high: Floats
    z: Floats
    p_pass: Floats
    p_fail: Floats

    def estimate(self, suite: int) -> Estimate:
        """Return A1/A0 of one suite with its limits; undefined where A0 is not above 0."""
        if self.base[suite] <= ROUNDING:
            return UNDEFINED
        return Estimate(
            float(self.quantized[suite] / self.base[suite]), float(self.low[suite]), float(self.high[suite])
        )


@dataclass(frozen=True, eq=False)
class Strata:
    """Sufficient statistics of T tasks, shape (T,) or (T, powers of R); weights sum to 1 in a suite; every n >= 2.

    n counts units where items share clusters; `tau2` is the run noise of a task's mean beyond its items' own.
    """

    weight: Floats
    n: Floats
    floor_n: Floats
    base: Floats
    quantized: Floats
    second: Floats
    third: Floats
    tau2: Floats
    suite: NDArray[np.intp]
    suites: int

    @classmethod
    def from_moments(
        cls,
        moments: Sequence[PairedMoments],
        weights: Floats,
        suite: NDArray[np.intp] | None = None,
        tau2: Sequence[float] | None = None,
    ) -> Self:
        """Stack the moments of T >= 1 tasks; weights are scaled to sum 1 in a suite (default: one suite, no tau2)."""
        suite = np.zeros(len(moments), np.intp) if suite is None else suite
        return cls(
            weights / np.bincount(suite, weights)[suite],
            np.array([task.n for task in moments], np.float64),
            np.array([task.floor_n for task in moments], np.float64),
            np.array([task.base for task in moments]),
            np.array([task.quantized for task in moments]),
            np.array([task.second for task in moments]),
            np.array([task.third for task in moments]),
            np.zeros(len(moments)) if tau2 is None else np.asarray(tau2, np.float64),
            suite,
            int(suite.max()) + 1,
        )

    def take(self, suites: NDArray[np.intp]) -> Strata:
        """Return some of the suites, in rising order, numbered anew."""
        new = np.full(self.suites, -1, np.intp)
        new[suites] = np.arange(len(suites))
        kept = new[self.suite] >= 0
        return Strata(
            self.weight[kept],
            self.n[kept],
            self.floor_n[kept],
            self.base[kept],
            self.quantized[kept],
            self.second[kept],
            self.third[kept],
            self.tau2[kept],
            new[self.suite[kept]],
            len(suites),
        )

    def test(self, thresholds: Floats, alpha: float) -> SuiteTest:
        """Test every suite at its threshold, with Fieller limits, one-sided at `alpha` each."""
        z, p_values = self.corrected_z(thresholds), (self.p_pass(thresholds), self.p_fail(thresholds))
        low = lower_limits(lambda rows, ratio: self.take(rows).p_pass(ratio), alpha, thresholds, p_values[0])
        high = upper_limits(lambda rows, ratio: self.take(rows).p_fail(ratio), alpha, thresholds, p_values[1])
        base, (p_pass, p_fail) = self._sum(self.base), p_values
        if (undefined := base <= ROUNDING).any():  # only where scores are normalised: worse than the base itself
            p_fail = np.where(undefined, np.maximum(p_fail, self.p_fail(1.0)), p_fail)
        return SuiteTest(base, self._sum(self.quantized), low, high, z, p_pass, p_fail)

    def z(self, ratio: Floats | float) -> Floats:
        """Return the plain statistic of H0: A1 = R*A0, before its skewness is removed."""
        difference = self._sum(self.quantized) - ratio * self._sum(self.base)
        plain: Floats = difference / np.sqrt(self._variance(ratio))
        return plain

    def corrected_z(self, ratio: Floats | float) -> Floats:
        """Return z'(R)."""
        r, (constant, linear, quadratic, cubic) = self._by_task(ratio), self.third.T
        mu3 = np.where(self.n >= MIN_SKEWED, (constant + r * (linear + r * (quadratic + r * cubic))) / self.n, 0.0)
        w_n, variance = self.weight / self.n, self._variance(ratio)
        return remove_skewness(self.z(ratio), self._sum(w_n * w_n * mu3) / (variance * np.sqrt(variance)))

    def p_pass(self, ratio: Floats | float) -> Floats:
        """P(Z >= z'): small proves recovery >= R."""
        p: Floats = special.ndtr(-self.corrected_z(ratio))
        return p

    def p_fail(self, ratio: Floats | float) -> Floats:
        """P(Z <= z'): small proves recovery < R."""
        p: Floats = special.ndtr(self.corrected_z(ratio))
        return p

    def base_at_zero(self) -> Floats:
        """P(Z >= z') of H0: A0 = 0, shape (S,): small proves that the base scores above 0 on average.

        That is the test of A1 = R*A0 at R = 0 with the base in the quantized model's place, as if one item differed.
        """
        second, third = np.zeros_like(self.second), np.zeros_like(self.third)
        second[:, 0] = np.maximum(self.second[:, 2], (self.n - 1) / self.floor_n)
        third[:, 0] = -self.third[:, 3]
        return replace(self, quantized=self.base, second=second, third=third).p_pass(0.0)

    def averages_of_ratios(self, alpha: float) -> list[Estimate]:
        """Return sum w p1/p0 with delta-method limits, one-sided at `alpha`; undefined where one base scores zero."""
        defined = np.bincount(self.suite, self.base <= 0, self.suites) == 0
        base = np.where(self.base > 0, self.base, 1.0)
        ratios = self.quantized / base
        spread = self.weight * self.weight * (self._item_variances(ratios) / (self.n * base * base))
        spread = spread + self.weight * self.weight * (self._run_variances(ratios) / (base * base))
        error = np.sqrt(np.bincount(self.suite, spread, self.suites))
        middle, reach = self._sum(ratios), float(special.ndtri(1 - alpha)) * error
        rows = np.column_stack((middle, middle - reach, middle + reach)).tolist()
        return [Estimate(*row) if known else UNDEFINED for row, known in zip(rows, defined, strict=True)]

    def _sum(self, values: Floats) -> Floats:
        """Return the weighted sum over each suite's tasks, shape (S,)."""
        return np.bincount(self.suite, self.weight * values, self.suites).astype(np.float64, copy=False)

    def _by_task(self, ratio: Floats | float) -> Floats:
        by_task: Floats = np.broadcast_to(np.asarray(ratio, np.float64), (self.suites,))[self.suite]
        return by_task

    def _item_variances(self, ratios: Floats) -> Floats:
        """Return s2_t at one ratio a task, shape (T,)."""
        constant, linear, quadratic = self.second.T
        squares = constant + ratios * (linear + ratios * quadratic)
        variances: Floats = np.maximum(squares / (self.n - 1), ratios / self.floor_n)
        return variances

    def _run_variances(self, ratios: Floats) -> Floats:
        """Return what two runs add to the variance of a task's mean of u, at one ratio a task, shape (T,)."""
        variances: Floats = (1 + ratios * ratios) * self.tau2
        return variances

    def _variance(self, ratio: Floats | float) -> Floats:
        """Return V(R), shape (S,)."""
        ratios = self._by_task(ratio)
        s2 = self._item_variances(ratios)
        return self._sum(self.weight * s2 / self.n + self.weight * self._run_variances(ratios))

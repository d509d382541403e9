"""A weighted average over tasks as a stratified sample: its z statistic for any recovery, without the items.

In: `PairedMoments` of T tasks and T weights. Out: z'(R), p-values, limits (formulas: `quant.stats.pooling`).
Pure; numpy and scipy.special.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import special

from quant.stats.decision import lower_limit, upper_limit
from quant.stats.moments import PairedMoments, remove_skewness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MIN_SKEWED = 30  # items; the skewness of fewer is noise


@dataclass(frozen=True)
class Estimate:
    """A recovery with its one-sided limits; None, 0 and infinity where nothing can be said."""

    recovery: float | None = None
    low: float = 0.0
    high: float = math.inf


UNDEFINED = Estimate()


@dataclass(frozen=True, eq=False)
class Strata:
    """Sufficient statistics of T tasks, shape (T,) or (T, powers of R), with weights that sum to 1; every n >= 2."""

    weight: NDArray[np.float64]
    n: NDArray[np.float64]
    base: NDArray[np.float64]
    quantized: NDArray[np.float64]
    second: NDArray[np.float64]
    third: NDArray[np.float64]

    @classmethod
    def from_moments(cls, moments: Sequence[PairedMoments], weights: NDArray[np.float64]) -> Self:
        """Stack the moments of T >= 1 tasks; weights are scaled to sum 1."""
        return cls(
            weights / weights.sum(),
            np.array([task.n for task in moments], np.float64),
            np.array([task.base for task in moments]),
            np.array([task.quantized for task in moments]),
            np.array([task.second for task in moments]),
            np.array([task.third for task in moments]),
        )

    @property
    def averages(self) -> tuple[float, float]:
        """A0 and A1."""
        return float(self.weight @ self.base), float(self.weight @ self.quantized)

    def z(self, ratio: float) -> float:
        """Return the plain statistic of H0: A1 = R*A0, before its skewness is removed."""
        base, quantized = self.averages
        return (quantized - ratio * base) / math.sqrt(self._variance(ratio))

    def corrected_z(self, ratio: float) -> float:
        """Return z'(R)."""
        mu3 = np.where(self.n >= MIN_SKEWED, self.third @ ratio ** np.arange(4) / self.n, 0.0)
        third = float(self.weight**3 @ (mu3 / self.n**2))
        return remove_skewness(self.z(ratio), third / self._variance(ratio) ** 1.5)

    def p_pass(self, ratio: float) -> float:
        """P(Z >= z'): small proves recovery >= R."""
        return float(special.ndtr(-self.corrected_z(ratio)))

    def p_fail(self, ratio: float) -> float:
        """P(Z <= z'): small proves recovery < R."""
        return float(special.ndtr(self.corrected_z(ratio)))

    def ratio_of_averages(self, alpha: float, near: float) -> Estimate:
        """Return A1/A0 with Fieller limits, one-sided at `alpha` each; needs A0 > 0."""
        base, quantized = self.averages
        return Estimate(quantized / base, lower_limit(self.p_pass, alpha, near), upper_limit(self.p_fail, alpha, near))

    def average_of_ratios(self, alpha: float) -> Estimate:
        """Return sum w p1/p0 with delta-method limits, one-sided at `alpha` each; undefined if one base scores zero."""
        if not self.base.all():
            return UNDEFINED
        ratios = self.quantized / self.base
        s2 = self._item_variances(ratios)
        error = math.sqrt(float(self.weight**2 @ (s2 / (self.n * self.base**2))))
        middle, reach = float(self.weight @ ratios), float(special.ndtri(1 - alpha)) * error
        return Estimate(middle, middle - reach, middle + reach)

    def _item_variances(self, ratios: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return s2_t at one ratio a task, shape (T,)."""
        constant, linear, quadratic = self.second.T
        squares: NDArray[np.float64] = constant + ratios * (linear + ratios * quadratic)
        return np.maximum(squares / (self.n - 1), ratios / self.n)

    def _variance(self, ratio: float) -> float:
        """Return V(R)."""
        s2 = self._item_variances(np.full_like(self.n, ratio))
        return float(self.weight**2 @ (s2 / self.n))

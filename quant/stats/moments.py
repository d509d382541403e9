"""Sufficient statistics of paired scores: the moments of u = y1 - R*y0 for any R, without the items.

In: two arrays of n scores of the same items, y0 (base) and y1 (quantized). Out: mean, variance and third central moment
of u as polynomials in R, and Hall's transformation that removes the skewness of a t or z statistic.
Pure; numpy only. Unitless throughout: scores are fractions in [0, 1], or normalised: (y - c)/(1 - c) for the rate c at
which guessing is right, in [lowest, 1] with lowest = -c/(1 - c), so that `span` = 1 - lowest = 1/(1 - c).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Number = TypeVar("Number", float, "NDArray[np.float64]")


@dataclass(frozen=True)
class PairedMoments:
    """Moments of n pairs (y0, y1); the central ones are coefficients in R^0, R^1, ..., so u needs no second pass.

    `items` is what n units are made of (`quant.stats.clusters`); None where a pair is an item. `span` is how far an
    item's score can move.
    """

    n: int
    base: float
    quantized: float
    second: tuple[float, ...]
    third: tuple[float, ...]
    items: int | None = None
    span: float = 1.0

    @classmethod
    def from_scores(
        cls, base: NDArray[np.float64], quantized: NDArray[np.float64], span: float = 1.0, items: int | None = None
    ) -> Self:
        """Sum the powers of n >= 1 pairs once, shape (n,) each; O(n)."""
        mean0, mean1 = float(base.mean()), float(quantized.mean())
        d0, d1 = base - mean0, quantized - mean1
        # Plain sums: a dot product of 10,000 items wakes BLAS threads, which costs 100 ms where the cores are taken.
        squares = (d1 * d1, -2 * d0 * d1, d0 * d0)
        cubes = (d1 * d1 * d1, -3 * d0 * d1 * d1, 3 * d0 * d0 * d1, -d0 * d0 * d0)
        second, third = (tuple(float(power.sum()) for power in powers) for powers in (squares, cubes))
        return cls(len(base), mean0, mean1, second, third, items, span)

    @classmethod
    def from_counts(cls, n: int, base_correct: int, worse: int, better: int) -> Self:
        """Sum the powers of n >= 1 pairs of 0/1 scores by their counts; O(1)."""
        mean0, mean1 = base_correct / n, (base_correct - worse + better) / n
        second, third = [0.0] * 3, [0.0] * 4
        groups = ((base_correct - worse, 1, 1), (worse, 1, 0), (better, 0, 1), (n - base_correct - better, 0, 0))
        for count, y0, y1 in groups:
            d0, d1 = y0 - mean0, y1 - mean1
            for total, powers in (
                (second, (d1 * d1, -2 * d0 * d1, d0 * d0)),
                (third, (d1 * d1 * d1, -3 * d0 * d1 * d1, 3 * d0 * d0 * d1, -d0 * d0 * d0)),
            ):
                for power, value in enumerate(powers):
                    total[power] += count * value
        return cls(n, mean0, mean1, tuple(second), tuple(third))

    @property
    def floor_n(self) -> float:
        """What the least variance of u is R over: as if the arms differed in one item and in no other.

        One item moves u by 1 or R, so its square by about R as the variance of z has it (R(b+c) with b+c = 1), and
        var(u) by R/n. It moves its unit of K by K/n times that, so var(u) by R(K/n)^2/K = R/(n^2/K). Either way the
        mean's variance is R/n^2 for n items, times the square of the span.
        """
        return (self.n if self.items is None else self.items**2 / self.n) / self.span**2

    def mean(self, ratio: float) -> float:
        """Return the mean of u, which is 0 where the recovery is exactly `ratio`."""
        return self.quantized - ratio * self.base

    def variance(self, ratio: float) -> float:
        """Return var(y1) + R^2 var(y0) - 2R cov with n-1 denominators; needs n >= 2."""
        constant, linear, quadratic = self.second
        return max(0.0, constant + ratio * (linear + ratio * quadratic)) / (self.n - 1)

    def variance_of_mean(self, ratio: float) -> float:
        """Return var(u)/n, as if at least one item differed; needs n >= 2."""
        return max(self.variance(ratio), ratio / self.floor_n) / self.n

    def third_moment(self, ratio: float) -> float:
        """Return the mean of (u - mean u)^3."""
        constant, linear, quadratic, cubic = self.third
        return (constant + ratio * (linear + ratio * (quadratic + ratio * cubic))) / self.n


def remove_skewness(t: Number, k: Number) -> Number:
    """Transform a standardised mean so that its skewness vanishes: t + k t^2/3 + k^2 t^3/27 + k/6.

    `k` is the skewness of the mean, third moment / (sd^3 sqrt(n)). The cubic is monotone, with slope (1 + k t/3)^2.
    Source: Hall 1992, On the removal of skewness by transformation, J. R. Statist. Soc. B 54, 221-228.
    """
    return t + k * (t * t) / 3 + (k * k) * (t * t * t) / 27 + k / 6


def paired_scores(
    base: ArrayLike, quantized: ArrayLike, lowest: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both arms as float arrays of one shape (n,).

    Raises ValueError if they are not flat, differ in length, or hold a value that is no score: NaN or outside
    [lowest, 1].
    """
    arms = np.asarray(base, dtype=np.float64), np.asarray(quantized, dtype=np.float64)
    if arms[0].ndim != 1 or arms[0].shape != arms[1].shape:
        raise ValueError(f"base and quantized must be flat and of one length; got {arms[0].shape} and {arms[1].shape}")
    for name, scores in zip(("base", "quantized"), arms, strict=True):
        if outlier := first_outlier(scores, lowest):
            raise ValueError(f"{name} scores must lie in [{lowest:.4g}, 1]; got {outlier}")
    return arms


def first_outlier(scores: NDArray[np.float64], lowest: float = 0.0) -> str:
    """Name the first value that is no score, with its position; "" if there is none."""
    outside = np.flatnonzero(~((scores >= lowest) & (scores <= 1)))
    return f"{scores[outside[0]]!s} at index {outside[0]}" if len(outside) else ""

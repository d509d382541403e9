"""Recovery of one cell of 0/1 items: an exact test of X1/X0 against a threshold, from four counts.

In: `Counts` (n items, X0 = base right, b = right -> wrong, c = wrong -> right). Out: recovery, z, p-values, limits.
Only m = X0 + c (items that at least one model got right), b and c matter: an item both miss says nothing about a ratio.
Pure; numpy and scipy.special.

Formulas, for a recovery R <= 1 (R > 1 exchanges the two models: z(m,b,c,R) = -z(m,c,b,1/R))::

    B = m(1-R^2) + b + cR^2
    x = (B + sqrt(B^2 - 4(1-R^2) b m)) / (2(1+R));   y = (x - (1-R)m)/R     maximum likelihood b and c when X1 = R*X0
    z = (m(1-R) - b + Rc) / sqrt(R(x+y))                                    X1 - R*X0 over its standard error

Sources: Nam & Blackwelder 2002, Statist. Med. 21, 689-699 (z); Lloyd 2008, Biometrics 64, 716-723 (the E p-value: exact
at the restricted maximum likelihood estimate). The normal tail of z is not used: it is too thin where few items flip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import special

from quant.stats.decision import check_alpha, check_threshold, lower_limit, upper_limit
from quant.stats.moments import paired_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

TIE = 1e-9  # two z this close are equal: tables that tie with the observed one count as extreme
NOTHING = 1e-300  # stands for a variance of 0, whose numerator is 0 too
DROPPED = 1e-30  # probability of the values of b left out of an exact sum


@dataclass(frozen=True)
class Counts:
    """What two models got right on the same n items; `worse` = right -> wrong (b), `better` = wrong -> right (c)."""

    n: int
    base_correct: int
    worse: int
    better: int

    def __post_init__(self) -> None:
        """Raise ValueError if no two models could have made these counts."""
        for name, count in vars(self).items():
            if count != int(count) or count < 0:
                raise ValueError(f"{name} must be a whole number >= 0; got {count!r}")
        if self.base_correct > self.n:
            raise ValueError(f"base_correct ({self.base_correct}) exceeds n ({self.n})")
        if self.worse > self.base_correct:
            raise ValueError(f"worse ({self.worse}) exceeds the {self.base_correct} items the base got right")
        if self.better > self.n - self.base_correct:
            raise ValueError(f"better ({self.better}) exceeds the {self.n - self.base_correct} items the base missed")

    @classmethod
    def from_scores(cls, base: ArrayLike, quantized: ArrayLike) -> Self:
        """Count two arrays of 0/1 scores, shape (n,), paired by position; raises ValueError on any other score."""
        y0, y1 = paired_scores(base, quantized)
        if not (np.isin(y0, (0, 1)).all() and np.isin(y1, (0, 1)).all()):
            raise ValueError("counts need scores that are exactly 0 or 1; other metrics take the metric path")
        both = int((y0 * y1).sum())
        return cls(len(y0), int(y0.sum()), int(y0.sum()) - both, int(y1.sum()) - both)

    @property
    def quantized_correct(self) -> int:
        """X1 = X0 - b + c."""
        return self.base_correct - self.worse + self.better

    @property
    def either_correct(self) -> int:
        """Return m = X0 + c."""
        return self.base_correct + self.better


def recovery(counts: Counts) -> float | None:
    """Return X1/X0; None where the base got nothing right."""
    return counts.quantized_correct / counts.base_correct if counts.base_correct else None


def constrained_z(counts: Counts, threshold: float) -> float:
    """Return the score statistic of H0: recovery = threshold; positive where the quantized model is above it."""
    m, b, c, ratio, sign = _oriented(counts, threshold)
    return sign * float(_z(m, np.asarray(b, float), np.asarray(c, float), ratio))


def p_pass(counts: Counts, threshold: float) -> float:
    """P(z >= observed) at the restricted estimate under recovery = threshold: small proves recovery >= threshold.

    With no flips it is threshold^X0 exactly, the rule of three (Hanley & Lippman-Hand 1983, JAMA 249, 1743-1745).
    """
    m, b, c, ratio, sign = _oriented(counts, threshold)
    return _tail(m, b, c, ratio, upper=sign > 0)


def p_fail(counts: Counts, threshold: float) -> float:
    """P(z <= observed) at the restricted estimate under recovery = threshold: small proves recovery < threshold."""
    m, b, c, ratio, sign = _oriented(counts, threshold)
    return _tail(m, b, c, ratio, upper=sign < 0)


def limits(counts: Counts, alpha: float = 0.05, near: float = 1.0) -> tuple[float, float]:
    """Return the lower and the upper limit of recovery, one-sided at `alpha` each, by inverting `p_pass` and `p_fail`.

    `near` is the threshold a verdict was given at (see `quant.stats.decision`). (0, inf) where the base got none right.
    """
    check_alpha(alpha)
    check_threshold(near)
    if counts.base_correct == 0:
        return 0.0, np.inf
    low = lower_limit(lambda ratio: p_pass(counts, ratio), alpha, near)
    return low, upper_limit(lambda ratio: p_fail(counts, ratio), alpha, near)


def base_above_chance(counts: Counts, chance: float, threshold: float) -> float:
    """P(Bin(n, chance/R) >= X0): above alpha, a model that guesses might reach the threshold, so PASS proves nothing.

    `chance` is 1/options, 0 for generated answers. 1 where there are no items.
    """
    if counts.n == 0 or chance >= threshold:
        return 1.0
    return float(special.bdtrc(counts.base_correct - 1, counts.n, chance / threshold))


def _oriented(counts: Counts, threshold: float) -> tuple[int, int, int, float, int]:
    """Return m, b, c, R <= 1 and the sign of z, exchanging the models if R > 1: the formulas are stable for R <= 1."""
    check_threshold(threshold)
    if threshold > 1:
        return counts.either_correct, counts.better, counts.worse, 1 / threshold, -1
    return counts.either_correct, counts.worse, counts.better, threshold, 1


def _sum_and_root(m: int, b: Floats, c: Floats, ratio: float) -> tuple[Floats, Floats]:
    """Return B and sqrt(B^2 - 4(1-R^2) b m), the root written as a sum of squares so that nothing cancels."""
    free, gain = m * (1 - ratio**2), c * ratio**2
    total = free + b
    return total + gain, np.sqrt((free - b) ** 2 + gain * (2 * total + gain))


def _flip_shares(m: int, b: int, c: int, ratio: float) -> tuple[float, float]:
    """Return x/m and y/m, the restricted maximum likelihood probabilities of a flip for the worse and the better."""
    total, root = _sum_and_root(m, np.asarray(b, float), np.asarray(c, float), ratio)
    worse = min(1.0, float(total + root) / (2 * (1 + ratio) * m))
    return worse, max(0.0, (worse - (1 - ratio)) / ratio)


def _z(m: int, b: Floats, c: Floats, ratio: float) -> Floats:
    """Return z, shape as b and c, from R(x+y) = (B + root)/2 - (1-R)m; 0 where nothing can vary (R = 1 and no flip)."""
    total, root = _sum_and_root(m, b, c, ratio)
    loss = m * (1 - ratio)
    z: Floats = (loss - b + ratio * c) / np.sqrt(np.maximum((total + root) / 2 - loss, NOTHING))
    return z


def _tail(m: int, b: int, c: int, ratio: float, *, upper: bool) -> float:
    """Sum P(b', c') over the tables at least as extreme: for each b' one binomial tail of c', as z rises in c'."""
    if m == 0:
        return 1.0
    worse, better = _flip_shares(m, b, c, ratio)
    observed = float(_z(m, np.asarray(b, float), np.asarray(c, float), ratio))
    values = _likely(m, worse)
    first = _first_reaching(observed - TIE if upper else observed + TIE, m, values, ratio)
    share = min(1.0, better / (1 - worse)) if worse < 1 else 0.0
    tails = special.bdtrc(first - 1, m - values, share) if upper else _below(first, m - values, share)
    return min(1.0, float(_binomial(values, m, worse) @ tails))


def _below(first: Floats, n: NDArray[np.int64], share: float) -> Floats:
    """Return P(Bin(n, share) < first), shape as n; scipy leaves the empty case, first = 0, undefined."""
    return np.where(first > 0, special.bdtr(np.maximum(first - 1, 0), n, share), 0.0)


def _first_reaching(bar: float, m: int, b: NDArray[np.int64], ratio: float) -> Floats:
    """Return for each b the smallest c in 0..m-b with z >= bar, else m-b+1; bisection, shape as b."""
    worse = b.astype(np.float64)
    below, reached = np.full_like(worse, -1.0), m + 1.0 - worse
    while (reached - below).max() > 1:
        middle = np.maximum(np.floor((below + reached) / 2), 0.0)
        high = _z(m, worse, middle, ratio) >= bar
        below, reached = np.where(high, below, middle), np.where(high, middle, reached)
    return reached


def _likely(m: int, share: float) -> NDArray[np.int64]:
    """Return the values of Bin(m, share) that carry all but `DROPPED` of its probability (Bernstein's inequality)."""
    odds = np.log(2 / DROPPED)
    reach = odds / 3 + np.sqrt(odds**2 / 9 + 2 * odds * m * share * (1 - share))
    return np.arange(max(0, int(m * share - reach)), min(m, int(m * share + reach) + 1) + 1)


def _binomial(k: NDArray[np.int64], n: int, share: float) -> Floats:
    """Return P(Bin(n, share) = k), shape as k; scipy.stats has it too but takes a second to import."""
    ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return np.exp(ways + special.xlogy(k, share) + special.xlog1py(n - k, -share))

"""Recovery of one cell of 0/1 items: an exact test of X1/X0 against a threshold, from four counts.

In: `Counts` (n items, X0 = base right, b = right -> wrong, c = wrong -> right), one or many. Out: recovery, z,
p-values, limits. The sums themselves are in `quant.stats.tables`, the search for limits in `quant.stats.inversion`.
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
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from scipy import special

from quant.stats.decision import RATIOS, check_alpha, check_threshold
from quant.stats.inversion import Guess, lower_limits, upper_limits
from quant.stats.moments import paired_scores
from quant.stats.tables import Cells, tails, z_statistic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

HALVINGS = 24  # of log(1e6): the guess is within a relative 1e-6
STEP = 1e-4  # relative, of the difference that tells the slope of z


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
    check_threshold(threshold)
    return float(_z(_table([counts]), np.array([threshold]))[0])


def p_pass(counts: Counts, threshold: float) -> float:
    """P(z >= observed) at the restricted estimate under recovery = threshold: small proves recovery >= threshold.

    With no flips it is threshold^X0 exactly, the rule of three (Hanley & Lippman-Hand 1983, JAMA 249, 1743-1745).
    """
    check_threshold(threshold)
    return float(_p(_table([counts]), np.array([threshold]), upper=True)[0])


def p_fail(counts: Counts, threshold: float) -> float:
    """P(z <= observed) at the restricted estimate under recovery = threshold: small proves recovery < threshold."""
    check_threshold(threshold)
    return float(_p(_table([counts]), np.array([threshold]), upper=False)[0])


def limits(counts: Counts, alpha: float = 0.05, near: float = 1.0) -> tuple[float, float]:
    """Return the lower and the upper limit of recovery, one-sided at `alpha` each, by inverting `p_pass` and `p_fail`.

    `near` is the threshold a verdict was given at (`quant.stats.inversion`). (0, inf) where the base got none right.
    """
    proof = prove([counts], [near], alpha)
    return float(proof.low[0]), float(proof.high[0])


class Proof(NamedTuple):
    """What K cells prove, shape (K,) each: limits, and p-values at their thresholds."""

    low: Floats
    high: Floats
    p_pass: Floats
    p_fail: Floats


def prove(counts: Sequence[Counts], thresholds: Sequence[float], alpha: float = 0.05) -> Proof:
    """Return limits and p-values of K cells, each bit for bit as if it were alone; equal cells are computed once."""
    check_alpha(alpha)
    for threshold in set(thresholds):
        check_threshold(threshold)
    given = np.column_stack([_table(counts), np.asarray(thresholds, np.float64)])
    distinct, back = np.unique(given, axis=0, return_inverse=True)
    table, near = distinct[:, :3], distinct[:, 3]
    p_values = _p(table, near, upper=True), _p(table, near, upper=False)
    proof = Proof(np.zeros(len(near)), np.full(len(near), np.inf), *p_values)
    some = np.flatnonzero(table[:, 0] > table[:, 2])  # X0 = m - c
    known, near, level = table[some], near[some], float(special.ndtri(alpha))
    proof.low[some] = lower_limits(
        lambda rows, ratio: _p(known[rows], ratio, upper=True), alpha, near, proof.p_pass[some], _guess(known, -level)
    )
    proof.high[some] = upper_limits(
        lambda rows, ratio: _p(known[rows], ratio, upper=False), alpha, near, proof.p_fail[some], _guess(known, level)
    )
    return Proof(*(values[back.reshape(-1)] for values in proof))


def base_above_chance(counts: Counts, chance: float, threshold: float) -> float:
    """P(Bin(n, chance/R) >= X0): above alpha, a model that guesses might reach the threshold, so PASS proves nothing.

    `chance` is 1/options, 0 for generated answers. 1 where there are no items.
    """
    if counts.n == 0 or chance >= threshold:
        return 1.0
    return float(special.bdtrc(counts.base_correct - 1, counts.n, chance / threshold))


def _table(counts: Sequence[Counts]) -> Floats:
    """Return m, b and c, shape (K, 3): all that the tests use."""
    return np.array([(k.either_correct, k.worse, k.better) for k in counts], np.float64).reshape(-1, 3)


def _oriented(table: Floats, ratio: Floats) -> tuple[Cells, NDArray[np.bool_]]:
    """Exchange the models where R > 1, and say where: the formulas are stable for R <= 1."""
    (m, b, c), above = table.T, ratio > 1
    return Cells(m, np.where(above, c, b), np.where(above, b, c), np.where(above, 1 / ratio, ratio)), above


def _z(table: Floats, ratio: Floats) -> Floats:
    cells, above = _oriented(table, ratio)
    return np.where(above, -1.0, 1.0) * z_statistic(*cells)


def _p(table: Floats, ratio: Floats, *, upper: bool) -> Floats:
    """Return P(z >= observed) if `upper`, else P(z <= observed); exchanging the models turns z around."""
    cells, above = _oriented(table, ratio)
    p = np.empty(len(ratio))
    for exchanged in (False, True):
        rows = np.flatnonzero(above == exchanged)
        if len(rows):
            p[rows] = tails(cells.take(rows), upper=upper != exchanged)
    return p


def _guess(table: Floats, level: float) -> Guess:
    """Return where z falls through `level`, and its slope there: the limit if z were normal (Fieller's)."""
    low, high = np.full(len(table), RATIOS[0]), np.full(len(table), RATIOS[1])
    for _ in range(HALVINGS):
        middle = np.sqrt(low * high)
        above = _z(table, middle) >= level
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    slope = (_z(table, low * (1 - STEP)) - _z(table, low * (1 + STEP))) / (2 * STEP * low)
    return Guess(low, slope)

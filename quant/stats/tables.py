"""Exact p-values of many cells at once: every table (b', c') at least as extreme as the one observed.

In: arrays of m (items at least one model got right), b, c and a recovery R, one entry a cell. Out: z, P(z >= observed)
or P(z <= observed), same shape. Formulas: `quant.stats.counts`, which is the front. Pure; numpy and scipy.special.

For each c' the tables that count are those with b' <= g, as z falls in b', so a p-value is a sum over c' of binomial
tails of b'. g follows from z = bar without a search: with u = m(1-R) - b + Rc = zv and v the standard error of u,

    v^3 + z v^2 - R(m(1-R) + (1+R)c) v - R m(1-R) z = 0     the largest root; then b = m(1-R) + Rc - zv

From one c' to the next the tail gains q P(Bin(N, q) = g) and P(Bin(N, q) = k) for k in g+1..g', N = m - c' - 1: sums of
positive terms, so that no digit cancels.

A cell's answer does not depend on the company it is computed in: all arithmetic is element by element, and the sums run
along a cell's own row from its first c' to its last (`cumsum`, never `sum` or `@`, whose order varies with the length);
what pads a row to the width of its block is an exact zero. One cell is a batch of one.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TIE = 1e-9  # two z this close are equal: tables that tie with the observed one count as extreme
NOTHING = 1e-300  # stands for a variance of 0, whose numerator is 0 too
DROPPED = 1e-17  # share of a p-value that the values of c' left out may hold,
LEAST = 1e-30  # but never less than this probability: p-values below it are not exact
BLOCK = 16_384  # tables computed together: their arrays fit in a core's cache
NEWTON = 3  # steps, and as many again where they did not suffice; where those do not either, z itself is asked
SURE = 1e-6  # a root further than this from a whole number needs no second look; its last step is ten times smaller
NEVER = -1e6  # stands for log 0
TABLE = 1 << 16  # log factorials kept


class Cells(NamedTuple):
    """Counts and a recovery R <= 1 of K cells, shape (K,) or (K, 1) each."""

    m: Floats
    b: Floats
    c: Floats
    ratio: Floats

    def take(self, rows: NDArray[np.intp]) -> Cells:
        """Return some of the cells."""
        return Cells(*(field[rows] for field in self))


def z_statistic(m: Floats, b: Floats, c: Floats, ratio: Floats) -> Floats:
    """Return z, from R(x+y) = (B + root)/2 - (1-R)m; 0 where nothing can vary (R = 1 and no flip)."""
    total, root = _sum_and_root(m, b, c, ratio)
    loss = m * (1 - ratio)
    z: Floats = (loss - b + ratio * c) / np.sqrt(np.maximum((total + root) / 2 - loss, NOTHING))
    return z


def tails(cells: Cells, *, upper: bool) -> Floats:
    """Return P(z >= observed) if `upper`, else P(z <= observed), at the restricted estimate; shape (K,)."""
    p = np.ones(len(cells.m))
    worse, better = _flip_shares(cells)
    varied = np.flatnonzero(worse > 0)  # else no item can flip and every table is the observed one
    cells, worse, better = cells.take(varied), worse[varied], better[varied]
    z = z_statistic(*cells)
    first, last = _likely(cells.m, better, np.maximum(z if upper else -z, 0))
    width = (last - first + 1).astype(np.intp)
    order = np.argsort(width, kind="stable")
    bar = z - TIE if upper else z + TIE
    start = 0
    while start < len(order):
        rows = order[start : start + max(1, BLOCK // int(width[order[start]]))]
        rows = rows[: max(1, BLOCK // int(width[rows[-1]]))]
        row = rows[:, None]  # a column of cells, to be met by a row of tables
        block = _Block(cells.take(row), *(v[row] for v in (worse, better, bar, first, last)))
        p[varied[rows]] = block.sum(upper=upper)
        start += len(rows)
    return np.minimum(p, 1.0)


class _Block(NamedTuple):
    """Cells of about equal width, shape (K, 1) each: the sum over c' = first..last."""

    cells: Cells
    worse: Floats
    better: Floats
    bar: Floats
    first: Floats
    last: Floats

    def sum(self, *, upper: bool) -> Floats:
        m = self.cells.m
        c = self.first + np.arange(int((self.last - self.first).max()) + 1)
        share = np.minimum(1.0, self.worse / (1 - self.better))
        g = self._largest(c, upper=upper)
        steps = np.zeros_like(c)
        gains = _gains(m - c[:, 1:], g, share)
        if upper:
            start, n = g[:, :1], m - self.first
            steps[:, :1] = np.where(start >= 0, special.bdtr(np.maximum(start, 0), n.astype(np.int64), share), 0.0)
            steps[:, 1:] = gains
            tail = np.cumsum(steps, axis=1)
        else:
            end = (self.last - self.first).astype(np.intp)
            start, n = np.take_along_axis(g, end, 1), m - self.last
            steps[:, :-1] = np.where(c[:, 1:] <= self.last, gains, 0.0)
            np.put_along_axis(steps, end, _above(start, n, share), 1)
            tail = np.cumsum(steps[:, ::-1], axis=1)[:, ::-1]
        return np.cumsum(self._weights(c) * tail, axis=1)[:, -1]

    def _weights(self, c: Floats) -> Floats:
        """Return P(Bin(m, better) = c), by the ratio of each to the one before; 0 behind the last."""
        m, p = self.cells.m, self.better
        ratios = np.where(c <= self.last, (m - c + 1) / np.maximum(c, 1) * (p / (1 - p)), 0.0)
        ratios[:, :1] = np.exp(_log_binomial(m, self.first, _log(p), np.log1p(-p)))
        return np.cumprod(ratios, axis=1)

    def _largest(self, c: Floats, *, upper: bool) -> Floats:
        """Return for each c' the largest b' in 0..m-c' with z >= bar (z > bar unless `upper`), else -1."""
        m, _, _, ratio = self.cells
        loss, z = m * (1 - ratio), self.bar
        k, constant = ratio * (loss + (1 + ratio) * c), ratio * loss * z
        most = np.sqrt(k) + np.maximum(-z, 0)
        v = np.sqrt(z * z / 4 + k + constant / np.maximum(most, NOTHING)) - z / 2
        for _ in range(NEWTON):
            v, step = _newton(v, z, k, constant)
        slow = np.flatnonzero(np.abs(step * z) >= SURE / 10)
        if len(slow):
            rows = slow // c.shape[1]
            v_slow, z_slow, k_slow, constant_slow = v.flat[slow], z[rows, 0], k.flat[slow], constant[rows, 0]
            for _ in range(NEWTON):
                v_slow, step.flat[slow] = _newton(v_slow, z_slow, k_slow, constant_slow)
            v.flat[slow] = v_slow
        b = loss + ratio * c - z * v
        g = np.floor(b)
        known = (np.abs(b - np.rint(b)) > SURE) & (np.abs(step * z) < SURE / 10)
        unsure = np.flatnonzero(~(known | (c > self.last)))
        if len(unsure):
            rows = unsure // c.shape[1]
            near = np.rint(b.flat[unsure])
            at = Cells(m[rows, 0], near, c.flat[unsure], ratio[rows, 0])
            g.flat[unsure] = _settle(at, z[rows, 0], upper=upper)
        largest: Floats = np.minimum(np.maximum(g, -1.0), m - c)
        return largest


def _newton(v: Floats, z: Floats, k: Floats, constant: Floats) -> tuple[Floats, Floats]:
    """Return the next v and the step that led there; from above, the steps shrink to the largest root."""
    w = v + z
    slope = np.maximum((w + w + v) * v - k, 1e-12 * (k + z * z) + NOTHING)
    step = ((w * v - k) * v - constant) / slope
    return v - step, step


def _settle(near: Cells, bar: Floats, *, upper: bool) -> Floats:
    """Return for each c the largest b in 0..m-c with z >= bar, else -1; bisection where it is not next to near.b."""
    m, b, c, ratio = near

    def holds(k: Floats) -> NDArray[np.bool_]:
        z = z_statistic(m, np.clip(k, 0, m - c), c, ratio)
        holding: NDArray[np.bool_] = (k < 0) | ((z >= bar if upper else z > bar) & (k <= m - c))
        return holding

    below, reached = np.full_like(bar, -1.0), m - c + 1
    for beside in (-1, 1, 0):
        middle = np.clip(b + beside, below, reached)
        high = holds(middle)
        below, reached = np.where(high, middle, below), np.where(high, reached, middle)
    while (reached - below).max() > 1:
        middle = np.floor((below + reached) / 2)
        high = holds(middle)
        below, reached = np.where(high, middle, below), np.where(high, reached, middle)
    return below


def _gains(n: Floats, g: Floats, share: Floats) -> Floats:
    """Return what the tail gains from each c' to the next, shape (K, width - 1); n = items left at the next c'."""
    before, k = g[:, :-1], g[:, 1:]
    at = np.maximum(k, 0.0)
    log_share, log_rest = _log(share), _log(1 - share)
    pmf = np.where(k >= 0, np.exp(_log_binomial(np.maximum(n, at), at, log_share, log_rest)), 0.0)
    more = k - before
    total = np.where(more > 0, pmf, np.where(more == 0, share * pmf, 0.0))
    down = (1 - share) / share
    pmf = pmf * at / np.maximum(n - at + 1, 1) * down
    total += np.where(more > 1, pmf, np.where(more == 1, share * pmf, 0.0))
    steep = np.nonzero(more > 1)  # seldom: g rises by about R a step
    pmf, at, n, more = pmf[steep], at[steep], n[steep], more[steep]
    down, share, extra = down[steep[0], 0], share[steep[0], 0], np.zeros_like(pmf)
    while (more := more - 1).size and more.max() > 0:
        at = np.maximum(at - 1, 0)
        pmf = pmf * at / np.maximum(n - at + 1, 1) * down
        extra += np.where(more > 1, pmf, np.where(more == 1, share * pmf, 0.0))
    total[steep] += extra
    return total


def _above(k: Floats, n: Floats, share: Floats) -> Floats:
    """Return P(Bin(n, share) > k) for k in -1..n; scipy leaves k = -1 undefined."""
    return np.where(k < 0, 1.0, np.where(k >= n, 0.0, special.bdtrc(np.clip(k, 0, n), n.astype(np.int64), share)))


def _sum_and_root(m: Floats, b: Floats, c: Floats, ratio: Floats) -> tuple[Floats, Floats]:
    """Return B and sqrt(B^2 - 4(1-R^2) b m), the root written as a sum of squares so that nothing cancels."""
    free, gain = m * (1 - ratio * ratio), c * (ratio * ratio)
    total = free + b
    return total + gain, np.sqrt((free - b) * (free - b) + gain * (2 * total + gain))


def _flip_shares(cells: Cells) -> tuple[Floats, Floats]:
    """Return x/m and y/m, the restricted maximum likelihood probabilities of a flip for the worse and the better."""
    total, root = _sum_and_root(*cells)
    ratio = cells.ratio
    worse = np.minimum(1.0, (total + root) / (2 * (1 + ratio) * np.maximum(cells.m, 1.0)))
    return np.where(cells.m > 0, worse, 0.0), np.maximum(0.0, (worse - (1 - ratio)) / ratio)


def _likely(m: Floats, share: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Return the first and the last value of Bin(m, share) to sum for a tail beyond z (Bernstein's inequality)."""
    odds = np.minimum(np.log(2 / DROPPED) + z * z / 2, np.log(2 / LEAST))
    reach = odds / 3 + np.sqrt(odds * odds / 9 + 2 * odds * m * share * (1 - share))
    return np.maximum(0.0, np.floor(m * share - reach)), np.minimum(m, np.floor(m * share + reach) + 1)


def _log(p: Floats) -> Floats:
    return np.where(p > 0, np.log(np.maximum(p, NOTHING)), NEVER)


def _log_binomial(n: Floats, k: Floats, log_p: Floats, log_rest: Floats) -> Floats:
    """Return log P(Bin(n, p) = k) from log p and log(1-p)."""
    return _log_factorial(n) - _log_factorial(k) - _log_factorial(n - k) + k * log_p + (n - k) * log_rest


def _log_factorial(k: Floats) -> Floats:
    if k.size and k.max() < TABLE:
        found: Floats = _log_factorials()[np.maximum(k, 0).astype(np.intp)]
        return found
    return special.gammaln(np.maximum(k, 0) + 1)


@cache
def _log_factorials() -> Floats:
    return special.gammaln(np.arange(TABLE) + 1.0)

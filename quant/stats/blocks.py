"""Same-run ratios: how much faster or slower one of two systems is that took turns on the same machine.

In: measured values (milliseconds, tokens/s, bytes), shape (K, runs), of K blocks. Out: a ratio with limits, a verdict
on a budget. Pure; numpy and scipy.

A block is A B B A or B A A B (A base, B quantized), so that drift which is linear in time cancels inside it::

    d_k = mean log(B) - mean log(A);   ratio = exp(mean d);   limits exp(mean d -+ t_{1-alpha,K-1} sd/sqrt(K))

An absolute value is the same on the log of the block's values; a ratio against an earlier run's is Welch's t of two
sets of d. With fewer than 5 blocks nothing is proven. Simulated error at the budget with a linear drift of 1 % a run:
.05, as claimed; in the order AABB it would be up to .99. A tail such as p99 gets limits by percentile bootstrap of its
blocks, since its logs are skewed, and nothing is proven with fewer than 20 (error .10 to .12 at 5, .06 at 20).
Source: Welch 1947, Biometrika 34, 28-35 (two runs of unequal spread).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import special

from quant.stats.decision import check_alpha, decide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from quant.records import Status

    Floats = NDArray[np.float64]

Better = Literal["higher", "lower"]

MIN_BLOCKS = 5
MIN_TAIL_BLOCKS = 20
RESAMPLES = 9_999
SEED = 0  # of the bootstrap: the same blocks give the same limits
MOST_BLOCKS = 10_000  # a plan that needs more is no plan
ORDERS = ("ABBA", "BAAB")


@dataclass(frozen=True)
class LogMean:
    """Mean, standard deviation and number K of block values on log scale."""

    mean: float
    sd: float
    blocks: int

    @classmethod
    def from_logs(cls, logs: ArrayLike) -> LogMean:
        """Reduce K values on log scale, shape (K,), K >= 1."""
        values = np.asarray(logs, dtype=np.float64)
        return cls(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.inf, len(values))

    @property
    def value(self) -> float:
        """The geometric mean: a ratio, or a value in its own unit."""
        return math.exp(self.mean)

    @property
    def error(self) -> float:
        """Standard error of the mean, on log scale."""
        return self.sd / math.sqrt(self.blocks)

    def limits(self, alpha: float) -> tuple[float, float]:
        """Return one-sided limits at `alpha` each; (0, inf) where too few blocks say nothing."""
        check_alpha(alpha)
        if self.blocks < MIN_BLOCKS:
            return 0.0, math.inf
        reach = -float(special.stdtrit(self.blocks - 1, alpha)) * self.error
        return math.exp(self.mean - reach), math.exp(self.mean + reach)

    def p_above(self, budget: float) -> float:
        """Return the p-value of "at most `budget`": small proves more."""
        return _upper_tail(self.mean - math.log(budget), self.error, self.blocks - 1, enough=self.blocks >= MIN_BLOCKS)

    def p_below(self, budget: float) -> float:
        """Return the p-value of "at least `budget`": small proves less."""
        return _upper_tail(math.log(budget) - self.mean, self.error, self.blocks - 1, enough=self.blocks >= MIN_BLOCKS)


@dataclass(frozen=True)
class BudgetResult:
    """What K blocks prove about a budget; `low` and `high` are one-sided limits of `value` at the verdict's alpha."""

    value: float
    low: float
    high: float
    p_pass: float
    p_fail: float
    verdict: Status
    blocks: int
    why: str = ""


def order(block: int) -> str:
    """Return who runs when in a block, counted from 0: A base, B quantized."""
    return ORDERS[block % len(ORDERS)]


def log_ratios(base: ArrayLike, quantized: ArrayLike) -> Floats:
    """Return d of each block; both arguments have the shape (K, runs). Raises ValueError on a value that is not > 0."""
    a, b = _logs("base", base), _logs("quantized", quantized)
    if a.shape[0] != b.shape[0]:
        raise ValueError(f"expected as many blocks of both, got {a.shape[0]} of the base and {b.shape[0]}")
    return np.asarray(b.mean(axis=1) - a.mean(axis=1))


def log_values(values: ArrayLike) -> Floats:
    """Return the mean log of each block's values, shape (K, runs): what an absolute budget is held against."""
    return np.asarray(_logs("values", values).mean(axis=1))


def budget(logs: ArrayLike, limit: float, better: Better, alpha: float = 0.05) -> BudgetResult:
    """Judge K values on log scale against a budget: at least `limit` where higher is better, else at most.

    Raises ValueError on a limit that is not above 0.
    """
    check_alpha(alpha)
    _check_limit(limit)
    mean = LogMean.from_logs(logs)
    above, below = mean.p_above(limit), mean.p_below(limit)
    p_pass, p_fail = (above, below) if better == "higher" else (below, above)
    why = f"fewer than {MIN_BLOCKS} blocks (K={mean.blocks})" if mean.blocks < MIN_BLOCKS else ""
    verdict = decide(p_pass, p_fail, alpha)
    return BudgetResult(mean.value, *mean.limits(alpha), p_pass, p_fail, verdict, mean.blocks, why)


def tail_budget(logs: ArrayLike, limit: float, better: Better, alpha: float = 0.05) -> BudgetResult:
    """Judge K values on log scale of a tail, such as the p99 of each block, by percentile bootstrap of the blocks."""
    from scipy import stats  # takes a second to import, and few runs have the blocks

    check_alpha(alpha)
    _check_limit(limit)
    values = np.asarray(logs, dtype=np.float64)
    value, count = math.exp(values.mean()), len(values)
    if count < MIN_TAIL_BLOCKS:
        why = f"fewer than {MIN_TAIL_BLOCKS} blocks (K={count})"
        return BudgetResult(value, 0.0, math.inf, 1.0, 1.0, "INCONCLUSIVE", count, why)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, confidence_level=1 - 2 * alpha, method="percentile", rng=SEED
    )
    drawn, (low, high) = found.bootstrap_distribution, found.confidence_interval
    at_most, at_least = float((drawn <= math.log(limit)).mean()), float((drawn >= math.log(limit)).mean())
    p_pass, p_fail = (at_most, at_least) if better == "higher" else (at_least, at_most)
    verdict = decide(p_pass, p_fail, alpha)
    return BudgetResult(value, math.exp(low), math.exp(high), p_pass, p_fail, verdict, count)


def change(now: LogMean, then: LogMean, alpha: float = 0.05) -> tuple[float, float, float]:
    """Return how many times larger `now` is than `then`, a run of another day, with one-sided limits (Welch's t)."""
    check_alpha(alpha)
    difference, error = now.mean - then.mean, math.hypot(now.error, then.error)
    if min(now.blocks, then.blocks) < MIN_BLOCKS:
        return math.exp(difference), 0.0, math.inf
    if error == 0:
        return math.exp(difference), math.exp(difference), math.exp(difference)
    freedom = error**4 / sum(one.error**4 / (one.blocks - 1) for one in (now, then))
    reach = -float(special.stdtrit(freedom, alpha)) * error
    return math.exp(difference), math.exp(difference - reach), math.exp(difference + reach)


def blocks_needed(distance: float, noise: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return the blocks that prove a true ratio `distance` times the budget with this power; 0 if too many.

    `noise` is the standard deviation of the log of one run, which is that of d for blocks of two runs each.
    """
    check_alpha(alpha)
    shift = abs(math.log(distance)) / noise
    return next((count for count in _counts() if _power(count, shift, alpha) >= power), 0)


def _check_limit(limit: float) -> None:
    if not 0 < limit < math.inf:
        raise ValueError(f"a budget must be a finite number above 0; got {limit!r}")


def _counts() -> Iterator[int]:
    return iter(range(MIN_BLOCKS, MOST_BLOCKS))


def _power(blocks: int, shift: float, alpha: float) -> float:
    critical = -float(special.stdtrit(blocks - 1, alpha))
    return 1.0 - float(special.nctdtr(blocks - 1, shift * math.sqrt(blocks), critical))


def _logs(name: str, values: ArrayLike) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or not found.size:  # noqa: PLR2004 - blocks x runs
        raise ValueError(f"{name}: expected the shape (blocks, runs), got {found.shape}")
    if not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(f"{name}: expected finite values above 0, got {found.min()!r} to {found.max()!r}")
    return np.asarray(np.log(found))


def _upper_tail(difference: float, error: float, freedom: int, *, enough: bool) -> float:
    """P(T >= difference/error) of Student's t; without spread, certain one way or the other."""
    if not enough:
        return 1.0
    if error == 0:
        return 0.5 if difference == 0 else float(difference < 0)
    return float(special.stdtr(freedom, -difference / error))

"""Is one format competitive with another? Paired non-inferiority of recoveries, for one cell and for a suite.

In: scores of the base, of the other format and of the format in question, on the same items. Out: what is proven about
the difference of the two recoveries, rec = y1/y0 - y8/y0. Pure; numpy only.

Formulas, for scores y0 (base), y8 (other), y4 (in question) and a margin delta on the scale of recovery::

    H0: rec4 - rec8 = -delta  <=>  mean(v) = 0,   v = y4 - y8 + delta*y0 in [-1, 1 + delta]

With pseudo-scores w = y0 + y4 - y8 this is the test of a recovery: v = w - (1 - delta)*y0, so the tests and limits of
`quant.stats.metric` (a cell) and `quant.stats.strata` (a suite) apply, and a limit of mean(w)/mean(y0) less 1 is one of
rec4 - rec8. A cell of which fewer than 30 items changed by 0.1 or more has one worst item added: v = -1 against PASS,
1 + delta against FAIL. PASS at alpha, FAIL at alpha/2: with the floor, two ways to fail share one alpha.

Sources: Blackwelder 1982, Control. Clin. Trials 3, 345-353 (non-inferiority); Hall 1992, J. R. Statist. Soc. B 54,
221-228 (skewness); Berger 1982, Technometrics 24, 295-300 (both must be proven, each at alpha).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import special

from quant.stats.decision import RATIOS, check_alpha
from quant.stats.metric import CHANGE, MIN_CHANGED, MIN_ITEMS, MetricTest
from quant.stats.moments import PairedMoments, first_outlier
from quant.stats.strata import ROUNDING, Strata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from quant.records import Status

    Floats = NDArray[np.float64]

MARGIN = 0.02


class Tested(Protocol):
    """What two one-sided tests found."""

    @property
    def p_pass(self) -> float:
        """Small proves the claim."""

    @property
    def p_fail(self) -> float:
        """Small disproves it."""

    @property
    def why(self) -> str:
        """Why the claim cannot be proven whatever the scores say; empty if it can."""


@dataclass(frozen=True)
class Difference:
    """What n items prove of rec4 - rec8; `low` is one-sided at alpha and `high` at alpha/2, as the verdict."""

    n: int
    difference: float | None
    low: float
    high: float
    p_pass: float
    p_fail: float
    verdict: Status
    why: str = ""


@dataclass(frozen=True, eq=False)
class Triple:
    """Scores in [lowest, 1] of one task by three models, shape (n,), paired by position.

    `weight` and `lowest` as in `TaskScores`.
    """

    name: str
    base: ArrayLike
    other: ArrayLike
    quantized: ArrayLike
    weight: float = 1.0
    lowest: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError on a weight that is none."""
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"task {self.name}: weight must be a finite number >= 0; got {self.weight!r}")

    def arms(self) -> tuple[Floats, Floats]:
        """Return y0 and the pseudo-scores w; raises ValueError on bad scores."""
        arms = [np.asarray(arm, np.float64) for arm in (self.base, self.other, self.quantized)]
        if arms[0].ndim != 1 or any(arm.shape != arms[0].shape for arm in arms):
            shapes = ", ".join(str(arm.shape) for arm in arms)
            raise ValueError(f"task {self.name}: base, other and quantized must be flat, of one length; got {shapes}")
        for arm, scores in zip(("base", "other", "quantized"), arms, strict=True):
            if outlier := first_outlier(scores, self.lowest):
                raise ValueError(f"task {self.name}: {arm} scores must lie in [{self.lowest:.4g}, 1]; got {outlier}")
        base, other, quantized = arms
        return base, base + quantized - other


def noninferiority(
    base: ArrayLike, other: ArrayLike, quantized: ArrayLike, *, margin: float = MARGIN, alpha: float = 0.05
) -> Difference:
    """Test one cell: three arrays of scores in [0, 1] of the same items, shape (n,).

    Raises ValueError on unequal shapes, a score outside [0, 1], a margin outside (0, 1) or an alpha outside (0, .5).
    """
    _check(margin, alpha)
    y0, w = Triple("cell", base, other, quantized).arms()
    if not y0.any() or len(y0) < MIN_ITEMS:
        return _nothing(len(y0), "base scores zero" if len(y0) >= MIN_ITEMS else f"fewer than {MIN_ITEMS} items")
    test = _cell_test(y0, w)
    ratio = 1 - margin
    low, high = test.both.limits(alpha, ratio)[0], test.both.limits(alpha / 2, ratio)[1]
    p_values = test.p_pass(ratio), test.p_fail(ratio)
    return _found(len(y0), float(w.mean() / y0.mean()), (low, high), p_values, alpha)


def pooled_noninferiority(tasks: Sequence[Triple], *, margin: float = MARGIN, alpha: float = 0.05) -> Difference:
    """Test the macro averages of a suite (stratified z with its skewness removed); arguments and errors as a cell."""
    _check(margin, alpha)
    tasks = [task for task in tasks if task.weight > 0]
    arms = [task.arms() for task in tasks]
    weights = np.array([task.weight for task in tasks], np.float64)
    n = sum(len(y0) for y0, _ in arms)
    if not arms or min(len(y0) for y0, _ in arms) < MIN_ITEMS:
        return _nothing(n, f"fewer than {MIN_ITEMS} items in a task")
    if not any(y0.any() for y0, _ in arms):
        return _nothing(n, "base scores zero")
    moments = [PairedMoments.from_scores(*pair, 1 - task.lowest) for pair, task in zip(arms, tasks, strict=True)]
    if sum(weights * [one.base for one in moments]) <= ROUNDING and any(task.lowest < 0 for task in tasks):
        return _nothing(n, "base at chance")
    strata = Strata.from_moments(moments, weights)
    ratio = np.array([1 - margin])
    passed, failed = strata.test(ratio, alpha), strata.test(ratio, alpha / 2)
    limits = float(passed.low[0]), float(failed.high[0])
    p_values = float(passed.p_pass[0]), float(passed.p_fail[0])
    return _found(n, float(passed.quantized[0] / passed.base[0]), limits, p_values, alpha)


def competitive_power(  # noqa: PLR0913 - keyword-only: what a plan may change
    bases: Sequence[float],
    discordances: Sequence[float],
    sizes: Sequence[int],
    weights: Sequence[float],
    margin: float,
    *,
    alpha: float = 0.05,
    chances: Sequence[float] | None = None,
) -> float:
    """Return the probability that a format is proven no more than `margin` below another of the same recovery.

    As a pool, of v = y4 - y8 + margin*y0: gap = margin sum w p0, and v varies by d + margin^2 p0 (1 - p0), with d the
    share of items on which the two formats differ. Normalised by `chances` c, v is that of p0 - c, over 1 - c.
    """
    total, guesses = math.fsum(weights), chances or [0.0] * len(bases)
    scaled = (w / total / (1 - c) for w, c in zip(weights, guesses, strict=True))
    tasks = list(zip(scaled, bases, guesses, discordances, sizes, strict=True))
    gap = math.fsum(w * margin * (base - c) for w, base, c, _, _ in tasks)
    items = math.fsum(w * w * (d + margin**2 * base * (1 - base)) / n for w, base, _, d, n in tasks)
    return float(special.ndtr(gap / math.sqrt(items) + special.ndtri(alpha))) if items > 0 else 1.0


def competitive(difference: Tested, floor: Tested, alpha: float) -> Status:
    """Return PASS if non-inferiority and floor are both proven at alpha, FAIL if either is disproven at alpha/2."""
    if min(difference.p_fail, floor.p_fail) <= alpha / 2:
        return "FAIL"
    informative = not (difference.why or floor.why)
    return "PASS" if informative and max(difference.p_pass, floor.p_pass) <= alpha else "INCONCLUSIVE"


def _cell_test(y0: Floats, w: Floats) -> MetricTest:
    """Reduce a cell; w - y0 is y4 - y8."""
    if np.count_nonzero(np.abs(w - y0) >= CHANGE) >= MIN_CHANGED:
        moments = PairedMoments.from_scores(y0, w)
        return MetricTest(moments, moments, skewed=True, enough=True)
    # The worst items: y0, y8, y4 = 0, 1, 0 gives v = -1, and 1, 0, 1 gives v = 1 + delta.
    lost = PairedMoments.from_scores(np.append(y0, 0.0), np.append(w, -1.0))
    won = PairedMoments.from_scores(np.append(y0, 1.0), np.append(w, 2.0))
    return MetricTest(lost, won, skewed=False, enough=True)


def _found(
    n: int, ratio: float, limits: tuple[float, float], p_values: tuple[float, float], alpha: float
) -> Difference:
    low = limits[0] - 1 if limits[0] > 0 else -math.inf  # nothing below the range searched is excluded
    high = max(limits[1], RATIOS[0]) - 1
    verdict: Status = "FAIL" if p_values[1] <= alpha / 2 else "PASS" if p_values[0] <= alpha else "INCONCLUSIVE"
    return Difference(n, ratio - 1, low, high, *p_values, verdict)


def _nothing(n: int, why: str) -> Difference:
    return Difference(n, None, -math.inf, math.inf, 1.0, 1.0, "INCONCLUSIVE", why)


def _check(margin: float, alpha: float) -> None:
    check_alpha(alpha)
    if not 0 < margin < 1:
        raise ValueError(f"margin must be a difference of recoveries in (0, 1), such as .02; got {margin!r}")

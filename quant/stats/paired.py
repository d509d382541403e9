"""Paired recovery of one cell: quantized/base proven at or above a threshold, proven below, or neither.

In: scores of base and quantized model on the same items, or their four counts. Out: `PairedResult`.
Scores that are all exactly 0 or 1 take the exact path (`quant.stats.counts`), others the metric path
(`quant.stats.metric`). Limits are one-sided at `alpha`, so PASS <=> low >= threshold and FAIL <=> high < threshold,
unless the cell is uninformative, which forbids PASS and never FAIL. Nothing is rounded. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quant.stats.counts import (
    Counts,
    base_above_chance,
    constrained_z,
    limits,
    p_fail,
    p_pass,
    prove,
    recovery,
)
from quant.stats.decision import check_alpha, check_threshold, decide
from quant.stats.metric import MIN_ITEMS, mean_above_chance, metric_limits, metric_p_values
from quant.stats.moments import paired_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from quant.records import Status

__all__ = [
    "Counts",
    "PairedResult",
    "base_above_chance",
    "constrained_z",
    "counts_recoveries",
    "counts_recovery",
    "limits",
    "mean_above_chance",
    "metric_limits",
    "metric_p_values",
    "p_fail",
    "p_pass",
    "paired_recovery",
    "recovery",
]


@dataclass(frozen=True)
class PairedResult:
    """What n paired items prove about one cell; scores and recovery are fractions, None where undefined.

    `low` and `high` are one-sided limits of recovery; `high` is infinite where the items exclude no recovery.
    `why` says why an INCONCLUSIVE cell could not have passed; empty if the items were simply too few or too close.
    """

    n: int
    base_mean: float | None
    quantized_mean: float | None
    recovery: float | None
    low: float
    high: float
    p_pass: float
    p_fail: float
    verdict: Status
    why: str = ""


def paired_recovery(
    base: ArrayLike, quantized: ArrayLike, threshold: float, *, alpha: float = 0.05, chance: float = 0.0
) -> PairedResult:
    """Judge two arrays of scores in [0, 1], shape (n,), paired by position, against a recovery threshold.

    `alpha` is one-sided, for PASS and for FAIL separately; `chance` is what guessing scores (0 for generated answers).
    Raises ValueError on unequal shapes, on a score that is NaN or outside [0, 1], and on arguments outside their range.
    """
    y0, y1 = paired_scores(base, quantized)
    if _is_binary(y0) and _is_binary(y1):
        return counts_recovery(Counts.from_scores(y0, y1), threshold, alpha=alpha, chance=chance)
    return _metric_recovery(y0, y1, threshold, alpha, chance)


def counts_recovery(counts: Counts, threshold: float, *, alpha: float = 0.05, chance: float = 0.0) -> PairedResult:
    """Judge one cell of 0/1 items by its counts; arguments and errors as `paired_recovery`."""
    return counts_recoveries([counts], [threshold], alpha=alpha, chances=[chance])[0]


def counts_recoveries(
    counts: Sequence[Counts], thresholds: Sequence[float], *, alpha: float = 0.05, chances: Sequence[float]
) -> list[PairedResult]:
    """Judge many cells at once, each bit for bit as `counts_recovery` does alone; 100,000 take about 20 s."""
    for threshold, chance in set(zip(thresholds, chances, strict=True)):
        _check(threshold, alpha, chance)
    proofs = np.column_stack(prove(counts, thresholds, alpha)).tolist()
    return [
        _result(
            cell.n,
            (cell.base_correct / cell.n, cell.quantized_correct / cell.n) if cell.n else None,
            proof,
            alpha,
            _why(cell, chance, threshold, alpha),
        )
        for cell, threshold, chance, proof in zip(counts, thresholds, chances, proofs, strict=True)
    ]


def _why(counts: Counts, chance: float, threshold: float, alpha: float) -> str:
    """Say why these counts can prove no PASS, or nothing."""
    if counts.n == 0:
        return "no items"
    if counts.base_correct == 0:
        return "base scores zero"
    return _at_chance(base_above_chance(counts, chance, threshold), alpha) if chance > 0 else ""


def _metric_recovery(
    base: NDArray[np.float64], quantized: NDArray[np.float64], threshold: float, alpha: float, chance: float
) -> PairedResult:
    _check(threshold, alpha, chance)
    n, means = len(base), (float(base.mean()), float(quantized.mean()))
    if means[0] == 0:
        why = "base scores zero"
    elif n < MIN_ITEMS:
        why = f"fewer than {MIN_ITEMS} items (n={n})"
    else:
        why = _at_chance(mean_above_chance(base, chance, threshold), alpha)
    bounds, p_values = metric_limits(base, quantized, alpha, threshold), metric_p_values(base, quantized, threshold)
    return _result(n, means, (*bounds, *p_values), alpha, why)


def _result(n: int, means: tuple[float, float] | None, proof: Sequence[float], alpha: float, why: str) -> PairedResult:
    """Put the verdict on the proof (low, high, p_pass, p_fail); a FAIL needs no excuse, so it drops `why`."""
    base, quantized = means or (None, None)
    ratio = quantized / base if base and quantized is not None else None
    low, high, p_passed, p_failed = proof
    verdict = decide(p_passed, p_failed, alpha, informative=not why)
    return PairedResult(
        n, base, quantized, ratio, low, high, p_passed, p_failed, verdict, why if verdict != "FAIL" else ""
    )


def _is_binary(scores: NDArray[np.float64]) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())


def _at_chance(p: float, alpha: float) -> str:
    """Say that the base is not proven above chance/threshold, or nothing."""
    return f"base at chance (P = {p:.3f})".replace("0.", ".") if p > alpha else ""


def _check(threshold: float, alpha: float, chance: float) -> None:
    check_threshold(threshold)
    check_alpha(alpha)
    if not 0.0 <= chance < 1.0:
        raise ValueError(f"chance must lie in [0, 1), 1/options for multiple choice; got {chance!r}")

"""Recovery: paired scores of base and quantized model in, a three-way verdict out.

A verdict is PASS (proven at or above the threshold), FAIL (proven below) or INCONCLUSIVE (neither); a point estimate
never decides. Pure: no engine, no store, no pytest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from quant.errors import PairingError
from quant.records import Verdict
from quant.stats.multiplicity import holm
from quant.stats.paired import paired_recovery
from quant.stats.pooling import TaskScores, pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.records import Item, Scores
    from quant.stats.paired import PairedResult
    from quant.stats.pooling import PooledResult

Columns = tuple[list[float], list[float]]  # scores of base and quantized model, in one order
ALPHA = 0.05  # one-sided, for PASS and for FAIL separately


class Pair(NamedTuple):
    """Scores of one task by both models, joined item by item; `chance` is the task's guessing rate."""

    base: Scores
    quantized: Scores
    chance: float = 0.0

    def columns(self) -> Columns:
        """Return both models' scores in one order; `PairingError` if they are not about the same items."""
        left, right = _by_document(self.base), _by_document(self.quantized)
        where = f"{self.quantized.model}-{self.quantized.format}-{self.quantized.task}"
        if self.base.backend != self.quantized.backend:
            raise PairingError(
                f"{where}: base was served by {self.base.backend}, the format by {self.quantized.backend}"
            )
        if lost := left.keys() ^ right.keys():
            msg = f"{where}: {len(lost)} items are in one record only (base n={len(left)}, quantized n={len(right)})"
            raise PairingError(f"{msg}; evaluate both again")
        for document, item in left.items():
            other = right[document]
            if (item.prompt_hash, item.target_hash) != (other.prompt_hash, other.target_hash):
                raise PairingError(f"{where}: document {document[:12]} had another prompt or target for each model")
        return [item.score for item in left.values()], [right[document].score for document in left]


def judge_task(pair: Pair, threshold: float, alpha: float = ALPHA) -> Verdict:
    """Judge one cell by its own items, unadjusted (Nam & Blackwelder 2002, exact p-value of Lloyd 2008)."""
    columns = pair.columns()
    result = paired_recovery(*columns, threshold, alpha=alpha, chance=pair.chance)
    return _verdict([pair], [columns], result, threshold, task=pair.quantized.task, why=result.why)


def judge_average(
    pairs: Sequence[Pair], threshold: float, alpha: float = ALPHA, planned: Sequence[int | None] = ()
) -> Verdict:
    """Judge a model x format by the macro ratio of averages over its tasks (stratified Fieller test).

    `planned` is the number of items of each task that was decided before the run (default: the items at hand).
    """
    columns = [pair.columns() for pair in pairs]
    tasks = [
        TaskScores(pair.base.task, *column, planned_n=items)
        for pair, column, items in zip(pairs, columns, planned or [None] * len(pairs), strict=True)
    ]
    result = pool(tasks, threshold, alpha=alpha)
    return _verdict(pairs, columns, result, threshold, task="", why=result.why or result.disagreement)


def proven_below(verdicts: Sequence[Verdict], family: int, alpha: float = ALPHA) -> list[Verdict]:
    """Return the cells proven below their threshold with multiplicity controlled over the declared family (Holm 1979).

    `family` counts the suite's tasks, whatever was selected of them: cells not run count as p = 1.
    """
    p_values = [verdict.p_fail for verdict in verdicts] + [1.0] * (family - len(verdicts))
    adjusted = holm(p_values)
    return [verdict for verdict, p in zip(verdicts, adjusted, strict=False) if p <= alpha]


def _verdict(  # noqa: PLR0913 - one place for both kinds of verdict
    pairs: Sequence[Pair],
    columns: Sequence[Columns],
    result: PairedResult | PooledResult,
    threshold: float,
    *,
    task: str,
    why: str,
) -> Verdict:
    first = pairs[0].quantized
    flips = [(old, new) for column in columns for old, new in zip(*column, strict=True)]
    return Verdict(
        model=first.model,
        format=first.format,
        task=task,
        status=result.verdict,
        base=result.base_mean or 0.0,
        quantized=result.quantized_mean or 0.0,
        recovery=result.recovery,
        low=_finite(result.low),
        high=_finite(result.high),
        threshold=threshold,
        n=result.n,
        worse=sum(new < old for old, new in flips),
        better=sum(new > old for old, new in flips),
        p_pass=result.p_pass,
        p_fail=result.p_fail,
        why=why,
        records=tuple(side.record for pair in pairs for side in (pair.base, pair.quantized)),
        backend=first.backend,
        seconds=sum(pair.quantized.seconds for pair in pairs),
    )


def _by_document(scores: Scores) -> dict[str, Item]:
    where = f"{scores.model}-{scores.format}-{scores.task}"
    found: dict[str, Item] = {}
    for item in scores.items:
        if item.doc_hash in found:
            raise PairingError(f"{where}: document {item.doc_hash[:12]} was scored twice")
        if not 0 <= item.score <= 1:  # also false for NaN
            raise PairingError(f"{where}: document {item.doc_hash[:12]} has the score {item.score}, not in [0, 1]")
        found[item.doc_hash] = item
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

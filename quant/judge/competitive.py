"""Competitive: one format's average recovery against another's, on the same items of the same base.

Pure: no engine, no store, no pytest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quant.claims import Comparison
from quant.stats.noninferiority import Triple, competitive, pooled_noninferiority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.claims import Gate
    from quant.records import Status
    from quant.stats.pooling import PooledResult, TaskScores


def compare(
    tasks: Sequence[TaskScores], rivals: Sequence[Sequence[float]], floor: PooledResult, gate: Gate, alpha: float
) -> tuple[Comparison, Status]:
    """Test that the average recovery lies no more than the gate's margin below the competitor's.

    `rivals` are the competitor's scores, task by task, in the order of `tasks`. Returns what was found of the two, and
    the verdict of both claims together with that on the threshold (`floor`).
    """
    kept = [(task, rival) for task, rival in zip(tasks, rivals, strict=True) if task.name not in floor.not_counted]
    triples = [Triple(task.name, task.base, rival, task.quantized, task.weight, task.lowest) for task, rival in kept]
    found = pooled_noninferiority(triples, margin=gate.margin, alpha=alpha)
    comparison = Comparison(
        competitor=gate.competitor,
        difference=found.difference,
        low=found.low if math.isfinite(found.low) else None,
        high=found.high if math.isfinite(found.high) else None,
        status=found.verdict,
    )
    return comparison, competitive(found, floor, alpha)

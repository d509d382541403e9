"""What a pool averages: the tasks of a suite, by the scores of their items or by their counts.

In: scores of base and quantized model on the same items, or four counts. Out: sufficient statistics. Pure; numpy only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quant.stats.moments import PairedMoments, paired_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from quant.stats.counts import Counts


@dataclass(frozen=True, eq=False)
class TaskCounts:
    """Counts of one task of 0/1 items, which is its own benchmark and weighs as much as any other."""

    name: str
    counts: Counts
    weight: float = 1.0
    planned_n: int | None = None

    @property
    def n(self) -> int:
        """Items at hand."""
        return self.counts.n

    @property
    def group(self) -> str:
        """The benchmark this task counts in."""
        return self.name

    @property
    def solved(self) -> bool:
        """Whether the base got anything right."""
        return self.counts.base_correct > 0

    def moments(self) -> PairedMoments:
        """Reduce to sufficient statistics."""
        return PairedMoments.from_counts(self.n, self.counts.base_correct, self.counts.worse, self.counts.better)


@dataclass(frozen=True, eq=False)
class TaskScores:
    """Scores in [0, 1] of one task, shape (n,), paired by position.

    `weight` is that of the task's benchmark relative to other benchmarks, the same for all its subtasks; 0 shows a task
    without counting it. `planned_n` is the number of items decided before the run (default: the items at hand).
    `benchmark` names what the task is a subtask of (default: itself). Raises ValueError on bad values.
    """

    name: str
    base: ArrayLike
    quantized: ArrayLike
    weight: float = 1.0
    planned_n: int | None = None
    benchmark: str = ""

    def __post_init__(self) -> None:
        """Check the scores and the weight."""
        try:
            paired_scores(self.base, self.quantized)
        except ValueError as error:
            raise ValueError(f"task {self.name}: {error}") from error
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"task {self.name}: weight must be a finite number >= 0; got {self.weight!r}")

    @property
    def n(self) -> int:
        """Items at hand."""
        return int(np.size(np.asarray(self.base)))

    @property
    def group(self) -> str:
        """The benchmark this task counts in."""
        return self.benchmark or self.name

    @property
    def solved(self) -> bool:
        """Whether the base got anything right."""
        return bool(np.any(np.asarray(self.base)))

    def moments(self) -> PairedMoments:
        """Reduce to sufficient statistics."""
        return PairedMoments.from_scores(*paired_scores(self.base, self.quantized))


PoolTask = TaskScores | TaskCounts

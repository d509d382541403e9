"""What a pool averages: the tasks of a suite, by the scores of their items or by their counts.

In: scores of base and quantized model on the same items, or four counts. Out: sufficient statistics. Pure; numpy only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quant.stats.clusters import cluster_units
from quant.stats.moments import PairedMoments, paired_scores

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import ArrayLike

    from quant.stats.counts import Counts


@dataclass(frozen=True, eq=False)
class TaskCounts:
    """Counts of one task of 0/1 items, which is its own benchmark and weighs as much as any other.

    `tau2` as in `TaskScores`.
    """

    name: str
    counts: Counts
    weight: float = 1.0
    planned_n: int | None = None
    tau2: float = 0.0

    def __post_init__(self) -> None:
        """Check the run noise."""
        _check_finite(self.name, "tau2", self.tau2)

    @property
    def n(self) -> int:
        """Items at hand."""
        return self.counts.n

    @property
    def units(self) -> int:
        """What the variance counts: the items."""
        return self.n

    @property
    def group(self) -> str:
        """The benchmark this task counts in."""
        return self.name

    @property
    def solved(self) -> bool:
        """Whether the base got anything right."""
        return self.counts.base_correct > 0

    @property
    def lowest(self) -> float:
        """What an item scores at least."""
        return 0.0

    def moments(self) -> PairedMoments:
        """Reduce to sufficient statistics."""
        return PairedMoments.from_counts(self.n, self.counts.base_correct, self.counts.worse, self.counts.better)


@dataclass(frozen=True, eq=False)
class TaskScores:
    """Scores in [lowest, 1] of one task, shape (n,), paired by position; `lowest` < 0 says that they are normalised.

    `weight` is that of the task's benchmark relative to other benchmarks, the same for all its subtasks; 0 shows a task
    without counting it. `planned_n` is the number of items decided before the run (default: the items at hand).
    `benchmark` names what the task is a subtask of (default: itself). `clusters` names the passage of each item, shape
    (n,), where items share one; clusters replace items in the variance and nowhere else. `tau2` is the variance of the
    task's mean from run to run beyond what its items explain (`quant.stats.noise`). Raises ValueError on bad values.
    """

    name: str
    base: ArrayLike
    quantized: ArrayLike
    weight: float = 1.0
    planned_n: int | None = None
    benchmark: str = ""
    clusters: Sequence[Hashable] | None = None
    tau2: float = 0.0
    lowest: float = 0.0

    def __post_init__(self) -> None:
        """Check the scores, the clusters, the weight and the run noise."""
        try:
            scores = paired_scores(self.base, self.quantized, self.lowest)
            if self.clusters is not None:
                cluster_units(*scores, self.clusters)
        except ValueError as error:
            raise ValueError(f"task {self.name}: {error}") from error
        _check_finite(self.name, "weight", self.weight)
        _check_finite(self.name, "tau2", self.tau2)

    @property
    def n(self) -> int:
        """Items at hand."""
        return int(np.size(np.asarray(self.base)))

    @property
    def units(self) -> int:
        """What the variance counts: clusters, or items where there are none."""
        return self.n if self.clusters is None else len(set(self.clusters))

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
        scores = paired_scores(self.base, self.quantized, self.lowest)
        units = None if self.clusters is None else cluster_units(*scores, self.clusters, self.lowest)
        return PairedMoments.from_scores(*scores, 1 - self.lowest) if units is None else units.moments()


def _check_finite(task: str, name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"task {task}: {name} must be a finite number >= 0; got {value!r}")


PoolTask = TaskScores | TaskCounts

"""The nouns of judging performance: budgets, and what was found.

Comes in: nothing. Goes out: record types, as in `quant.records`.
"""

from __future__ import annotations

from typing import Literal

from quant.records import Environment, Record, Status
from quant.stats.blocks import LogMean
from quant.workloads import Engine, Peaks, Workload


class Budget(Record, frozen=True, kw_only=True):
    """What a metric is held against, for whatever the patterns match (`*` stands for anything).

    `limit` is the least where higher is better, else the most. It is of the ratio to the unquantized model in the same
    run, or of the value itself in the metric's unit; with `baseline`, a multiple of what the committed baseline has.
    """

    id: str
    hardware: str = "*"
    model: str = "*"
    format: str = "*"
    workload: str = "*"
    metric: str
    of: Literal["ratio", "value"] = "ratio"
    baseline: bool = False
    limit: float


class Measured(Record, frozen=True, kw_only=True):
    """What is proven of a budget: `value` is what it limits, with one-sided 95 % limits (None: none are known)."""

    budget: Budget
    status: Status
    value: float | None
    low: float | None = None
    high: float | None = None
    blocks: int = 0
    why: str = ""


class Performance(Record, frozen=True, kw_only=True):
    """What a format and its base reached at a workload, and what is proven of their budgets.

    By metric, `base` and `quantized` are means of logs over those `blocks` in which nothing disturbed the machine,
    `ratios` those of the ratio within a block. What has one value only is in `engines`, base first. `why` says what
    disturbed the others.
    """

    model: str
    format: str
    workload: Workload
    hardware: str
    base: dict[str, LogMean]
    quantized: dict[str, LogMean]
    ratios: dict[str, LogMean]
    engines: tuple[Engine, Engine]
    peaks: Peaks
    blocks: int
    disturbed: int = 0
    why: str = ""
    measured: tuple[Measured, ...] = ()
    started: float = 0.0
    record: str = ""

    @property
    def id(self) -> str:
        """The readable id that `-k` selects by."""
        return f"{self.model}-{self.format}-{self.workload.id}"


class Baseline(Record, frozen=True, kw_only=True):
    """What is committed for a hardware class, to hold later measurements against; its budgets are left out."""

    environment: Environment
    performance: Performance

"""The nouns of judging: what a recovery is held against, and what was found.

Comes in: nothing. Goes out: record types, as in `quant.records`. Units are in the names; recoveries are fractions.
"""

from __future__ import annotations

from typing import Literal

from quant.records import Backend, Definition, Record, Status

VETO = 0.05  # a task proven this far below the threshold is never outweighed by the others

Consequence = Literal["report", "warn", "fail"]


class Gate(Record, frozen=True, kw_only=True):
    """What a recovery is held against, decided before the run.

    `alpha` is one-sided, for PASS and for FAIL separately, and is spent over looks at the `shares` of the items.
    `family` counts the tasks of the suite, `definition` is how they are averaged. Where `competitor` names a format,
    the average must also be proven to lie no more than `margin` (a recovery) below that format's. `normalised` as in
    `Suite`.
    """

    threshold: float
    alpha: float = 0.05
    shares: tuple[float, ...] = (1.0,)
    family: int = 1
    definition: Definition = "macro"
    competitor: str = ""
    margin: float = 0.02
    normalised: bool = False

    @property
    def floor(self) -> float:
        """Recovery below which one task vetoes."""
        return self.threshold - VETO


class Profile(Record, frozen=True, kw_only=True):
    """How strict a run is. `alpha` is one-sided, for PASS and for FAIL separately; `items` bounds those of each task.

    Scoring stops at the first of the `looks` (shares of the items) that proves a claim. `inconclusive` says what an
    average that is not proven does to its test, `findings` what a task proven below the gate does (one so far below
    that it vetoes always fails). `pinned` wants each model of the hub named by a full commit.
    """

    id: str
    purpose: str = ""
    alpha: float = 0.05
    items: int = 0
    looks: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    inconclusive: Consequence = "fail"
    findings: Consequence = "fail"
    pinned: bool = False


class Comparison(Record, frozen=True, kw_only=True):
    """Recovery of a format minus that of its `competitor` on the same items, with one-sided limits."""

    competitor: str
    difference: float | None
    low: float | None
    high: float | None
    status: Status


class Noise(Record, frozen=True, kw_only=True):
    """What repeated runs of the base differ by: `flip_rate` is the share of items that differ between two runs.

    `excess` is the variance of a run's mean score beyond what independent flips explain, `p` that of no such excess.
    `unprovable`: a checkpoint as different as a re-run would PASS with a probability below one half.
    """

    runs: int
    flip_rate: float
    excess: float
    p: float
    unprovable: bool = False


class Averages(Record, frozen=True, kw_only=True):
    """Recovery of a suite in three definitions: ratio of macro averages, all items as one, average of the ratios."""

    macro: float | None
    item: float | None
    ratios: float | None


class Evidence(Record, frozen=True, kw_only=True):
    """Where the scores of one task are: keys of the store, each with the number of items taken, such as `0123:400`."""

    task: str
    planned: int
    base: str
    quantized: str
    rival: str = ""
    repeats: tuple[str, ...] = ()


class Verdict(Record, frozen=True, kw_only=True):
    """What one cell (or, with `task` empty, one model x format) is proven to be.

    `low` and `high` are one-sided limits of recovery (fractions of the base's score; None: undefined, infinite) at the
    error rate `level` of the look that decided: `look` 1 to `looks`, with `n` of `planned` items scored. `p_floor` is
    that of a recovery above the floor below which one task vetoes (1 where `p_fail` is no proof). `worse` and `better`
    count the items whose score moved; `evidence` is what it was judged from.
    """

    model: str
    format: str
    task: str
    status: Status
    base: float | None
    quantized: float | None
    recovery: float | None
    low: float | None
    high: float | None
    gate: Gate
    look: int
    level: float
    n: int
    planned: int
    worse: int
    better: int
    p_pass: float
    p_fail: float
    p_floor: float = 1.0
    why: str = ""
    averages: Averages | None = None
    comparison: Comparison | None = None
    noise: Noise | None = None
    waiver: str = ""
    evidence: tuple[Evidence, ...] = ()
    backend: Backend = "vllm"
    seconds: float = 0.0

    @property
    def threshold(self) -> float:
        """Recovery that the format must reach."""
        return self.gate.threshold

    @property
    def stopped(self) -> bool:
        """Whether it was decided before all planned items were scored."""
        return self.look < len(self.gate.shares)

    @property
    def cell(self) -> str:
        """The readable id that `-k` selects by."""
        return "-".join(part for part in (self.model, self.format, self.task) if part)

"""A plan: its rows, and the table and sentences that a person reads before anything is run. Pure: prints nothing.

The rows stand here, since what fills them reads the store, which a report must not know.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import msgspec
from rich.table import Table

from quant.records import SCHEMA, Record
from quant.report.terminal import AVERAGE, drawn, percent
from quant.stats.effect import Effect

if TYPE_CHECKING:
    from collections.abc import Sequence

Outcome = Literal["provable", "unprovable", "unknown"]
STYLE: dict[Outcome, str] = {"provable": "green", "unprovable": "yellow", "unknown": "yellow"}
NAMED = 3  # tasks that a sentence names as worth most
ROUNDING = 1e-9  # of a factor
EDGE = 1e-6  # above chance: what a base that is not above it is planned with, so that nothing is provable


class Number(Record, frozen=True, kw_only=True):
    """A number that a plan starts from: measured on `n` items of the store (0: stated by the matrix), or assumed."""

    value: float
    source: Literal["measured", "assumed"] = "assumed"
    n: int = 0


class Row(Record, frozen=True, kw_only=True):
    """What one cell (or, with `task` empty, the average of one model x format) could prove, and what that would cost.

    `items` are planned of `documents` in the tasks' files (None: unknown until a task is scored once), `needed` reach
    the target power (None: no number does; of an average at least `items`). `loss` is the smallest that would be proven
    to lie below the threshold (None: none would, or an average), `expected` the items if looks stop early. `seconds`
    are those of what the store lacks (None: no rate was measured). `cached` counts the items that both sides have;
    `checkpoint` says whether the store has the quantized model. `first` ranks an average's tasks by evidence a second
    (`timed`) or an item. `rivalry` is the power of proving that an average keeps up with its `competitor`, if it does.
    `base` and `discordance` are of raw scores, recoveries of normalised ones where a suite has them: less by `chance`.
    """

    model: str
    format: str
    task: str
    threshold: float
    items: int | None
    documents: int | None
    base: Number
    discordance: Number
    chance: Number = Number(value=0.0, source="measured")
    cached: int
    checkpoint: bool
    needed: int | None = None
    loss: float | None = None
    power: float | None = None
    expected: float | None = None
    seconds: float | None = None
    gpu_hours: float | None = None
    outcome: Outcome = "unknown"
    first: tuple[str, ...] = ()
    timed: bool = False
    competitor: str = ""
    rivalry: float | None = None
    why: str = ""

    @property
    def factor(self) -> float | None:
        """By how much the items must grow; None if no number does or the items are unknown or none."""
        return self.needed / self.items if self.needed is not None and self.items else None

    def effect(self, recovery: float) -> Effect:
        """Return what these numbers say, or the nearest to it that two models can be; no flip seen counts as one."""
        seen, chance = self.discordance, self.chance.value
        above, kept = chance + EDGE if chance else 0.0, (1 - recovery) * chance
        base = max(min(self.base.value, (1 - kept) / recovery), above)
        flips = min(max(seen.value or 1 / max(seen.n, 1), abs(1 - recovery) * (base - chance)), 1.0)
        least, most = (flips - kept) / (1 + recovery), (2 - flips - kept) / (1 + recovery)
        return Effect(min(max(base, least), most), flips, recovery, chance)


class Plan(Record, frozen=True, kw_only=True):
    """Rows of a suite, and what all of them cost together; `target` is a power, `recovery` the true one planned for."""

    suite: str
    profile: str
    alpha: float
    target: float
    recovery: float
    hardware: str
    rows: tuple[Row, ...]
    seconds: float | None
    gpu_hours: float | None
    normalised: bool = False
    schema: int = SCHEMA

    @property
    def averages(self) -> tuple[Row, ...]:
        """One row for each model x format."""
        return tuple(row for row in self.rows if not row.task)

    @property
    def exit_code(self) -> int:
        """0 if every average is provable at the target power, else 3: not proven."""
        return 0 if all(row.outcome == "provable" for row in self.averages) else 3


def together(rows: Sequence[Row], weights: Sequence[float]) -> Row:
    """Return the row of an average over tasks, of which nothing is planned yet; an unknown task makes it unknown."""
    items = [row.items for row in rows if row.items is not None]
    return msgspec.structs.replace(
        rows[0],
        task="",
        items=sum(items) if len(items) == len(rows) else None,
        documents=sum(row.documents or 0 for row in rows),
        base=_mean([row.base for row in rows], weights),
        discordance=_mean([row.discordance for row in rows], weights),
        chance=_mean([row.chance for row in rows], weights),
        cached=sum(row.cached for row in rows),
        needed=None,
        loss=None,
        power=None,
        expected=None,
        outcome="unknown",
        why=next((row.why for row in rows if row.why), ""),
    )


def table(plan: Plan, *, width: int, colour: bool) -> str:
    """Lay a plan out as a table; on a terminal (`colour`) it keeps to `width` columns. `~` marks what is assumed."""
    grid = Table(box=None, pad_edge=False, header_style="bold" if colour else "")
    for name in ("model", "format", "task"):
        grid.add_column(name, overflow="fold")
    for name in ("base %", "disc. %", "N", "needed", "loss %", "power", "expect", "min", "cached"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("verdict", no_wrap=True)
    for row in plan.rows:
        grid.add_row(*_cells(row), style="bold" if colour and not row.task else "")
    return drawn(grid, width=width, colour=colour)


def remarks(plan: Plan) -> list[str]:
    """Say what was planned for, what each model x format cannot prove and what to add, and what all of it costs."""
    assumed = "; ~ is assumed, the store has no such scores" if any(map(_assumes, plan.rows)) else ""
    planned = f"true recovery {percent(plan.recovery, 1)} %, power {plan.target:.2f}, alpha {plan.alpha:g}"
    hours = "" if plan.gpu_hours is None else f", {plan.gpu_hours:.2f} GPU hours"
    cost = "unknown, since no rate was measured" if plan.seconds is None else f"{_minutes(plan.seconds)} min{hours}"
    sentences = [sentence(row, plan) for row in plan.averages]
    return [f"planned for {planned}{_scale(plan)}{assumed}", *sentences, f"to be served and quantized: {cost}"]


def _scale(plan: Plan) -> str:
    """Say so if recovery is that of normalised scores, and of which tasks the chance is not known."""
    unknown = list(dict.fromkeys(row.task for row in plan.rows if row.task and row.chance.source == "assumed"))
    taken = f" (taken as 0 for {', '.join(unknown)} until scored once)" if unknown else ""
    return f" of scores normalised by chance{taken}, base and disc. are raw" if plan.normalised else ""


def sentence(average: Row, plan: Plan) -> str:
    """Say of one model x format whether its average is provable, what to add if not, and which tasks alone are not."""
    mine = [row for row in plan.rows if (row.model, row.format) == (average.model, average.format) and row.task]
    claim = f"the average is {average.outcome} at {percent(average.threshold, 1)} %{_why(average, plan.target)}"
    rivalry = ""
    if average.rivalry is not None:
        rivalry = f"; that it keeps up with {average.competitor} is proven with power {average.rivalry:.2f}"
    return f"{average.model} {average.format}: {claim}; {_alone(mine)}{rivalry}"


def _alone(rows: Sequence[Row]) -> str:
    """Say how many tasks cannot be proven by themselves, and the least and the largest factor that they lack."""
    lacking = sorted((row for row in rows if row.outcome == "unprovable"), key=lambda row: row.factor or math.inf)
    factors = [f"{row.task} {_lacks(row)}" for row in (lacking if len(lacking) <= NAMED else (lacking[0], lacking[-1]))]
    shown = (", " if len(lacking) <= NAMED else " to ").join(factors)
    return f"{len(lacking)} of {len(rows)} tasks alone are unprovable{f' ({shown})' if lacking else ''}"


def _mean(numbers: Sequence[Number], weights: Sequence[float]) -> Number:
    """Return the weighted mean; it is assumed as soon as one number is."""
    value = math.fsum(w * number.value for w, number in zip(weights, numbers, strict=True)) / math.fsum(weights)
    source = min((number.source for number in numbers), key=("assumed", "measured").index)
    return Number(value=value, source=source, n=sum(number.n for number in numbers))


def _why(average: Row, target: float) -> str:
    if average.power is None or average.why:
        return f" ({average.why})"
    power = f" (power {average.power:.2f} with {_count(average.items)} items)"
    if average.outcome == "provable" or average.power >= target:
        return power
    if average.needed is None or average.items is None:
        return f"{power}; no number of items gives {target:.2f}"
    most = f"{', '.join(average.first[:NAMED])} tell most {'a second' if average.timed else 'an item'}"
    more = f"{_count(average.needed - average.items)} items, {_lacks(average)} of each task"
    return f"{power}: for {target:.2f} add {more} (the files hold {_count(average.documents)}); {most}"


def _lacks(row: Row) -> str:
    """Print the factor of items that suffices, rounded up."""
    return "at any number" if row.factor is None else f"x{math.ceil(100 * row.factor - ROUNDING) / 100:,.2f}"


def _assumes(row: Row) -> bool:
    return "assumed" in (row.base.source, row.discordance.source)


def _cells(row: Row) -> tuple[str, ...]:
    share = f"{percent(row.cached / row.items, 0)} %" if row.items else "-"
    return (
        row.model,
        row.format,
        row.task or AVERAGE,
        _number(row.base),
        _number(row.discordance),
        _count(row.items),
        "never" if row.needed is None and row.power is not None else _count(row.needed),
        percent(row.loss, 1),
        "-" if row.power is None else f"{row.power:.2f}",
        _count(None if row.expected is None else math.ceil(row.expected)),
        "-" if row.seconds is None else _minutes(row.seconds),
        share if row.task else f"{'model' if row.checkpoint else 'no model'}, {share}",
        f"[{STYLE[row.outcome]}]{row.outcome}[/]",
    )


def _number(number: Number) -> str:
    return f"{'~' if number.source == 'assumed' else ''}{percent(number.value)}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.1f}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"

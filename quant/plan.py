"""Planner: what a suite can prove before anything is run, and what it would cost. Starts no engine, loads no model.

Comes in: checked cells, a gate profile, a `Store`. Goes out: a `Plan`, a row for each cell and for each average. Base
accuracy and discordance (share of items that flip) are measured where the store has the scores that a run would use,
else assumed. A claim is planned at its last look (earlier ones cost at most .03 of power), for independent items.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace
from scipy import special

from quant import hardware
from quant.errors import UsageError
from quant.jobs import Side
from quant.matrix import BASE
from quant.report.plan import Number, Plan, Row, together
from quant.scores import planned
from quant.shelf import Costs, Shelf
from quant.stats.noninferiority import competitive_power
from quant.stats.pooling import MIN_PLANNED
from quant.stats.power import detectable_loss, items_needed, pool_factor, pool_power, power_at, worth
from quant.stats.sequential import expected_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.claims import Gate, Profile
    from quant.jobs import Context
    from quant.matrix import Cell
    from quant.records import Family, Task
    from quant.stages.protocol import TaskScores

# Defaults of the planner, for what was never measured: published comparisons of formats (such as arXiv:2411.02355) give
# scores of whole benchmarks, which do not say how many items flip.
ACCURACY = 0.75
DISCORDANCE: dict[Family, float] = {"fp8": 0.03, "int8": 0.06, "int4": 0.12, "fp4": 0.12}
MAX_RECOVERY = 2.0  # a higher one is a percentage


def plan(  # noqa: PLR0913 - keyword-only: what a plan may change
    context: Context,
    suite: str,
    cells: Sequence[Cell],
    profile: Profile,
    *,
    backend: str = "auto",
    target: float = 0.8,
    recovery: float = 1.0,
) -> Plan:
    """Plan cells that were checked. Raises `UsageError` if there are none, or on a power or recovery that is none."""
    _check(cells, target, recovery)
    machine, shelf, rows = context.inputs.machine, Shelf(context, cells), list[Row]()
    spent: list[tuple[float, int]] = []  # seconds and devices, a model
    for _, of_model in groupby(cells, key=lambda cell: cell.model.id):
        costs = Costs()
        for _, of_format in groupby(of_model, key=lambda cell: cell.format.id):
            first, *_ = row = list(of_format)
            side = Side(first.model, first.format, hardware.backend_for(first.format, machine, backend))
            gate = context.inputs.matrix.gate(suite, first.format, profile)
            found, needs = _Claims(shelf, gate, side, target, recovery).plan([cell.task for cell in row])
            rows += found
            costs = {what: max(costs.get(what, 0.0), needs.get(what, 0.0)) for what in costs | needs}
        spent.append((math.fsum(costs.values()), context.inputs.devices(first.model)))
    return Plan(
        suite=suite,
        profile=profile.id,
        alpha=profile.alpha,
        target=target,
        recovery=recovery,
        hardware=machine.kind,
        rows=tuple(rows),
        seconds=_known(math.fsum(seconds for seconds, _ in spent)),
        normalised=context.inputs.matrix.suites[suite].normalised,
        gpu_hours=None if shelf.on_cpu else _known(math.fsum(seconds / 3600 * devices for seconds, devices in spent)),
    )


class _Claims(NamedTuple):
    """The claims of one model x format: one a task, and their average."""

    shelf: Shelf
    gate: Gate
    side: Side
    target: float
    recovery: float

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.side._replace(format=BASE), self.side

    def plan(self, tasks: Sequence[Task]) -> tuple[list[Row], Costs]:
        """Plan all claims and price them together: a task goes on as long as one of them needs it."""
        rows = [self._task(task) for task in tasks]
        average, costs = self._average(rows), Costs()
        share = (average.expected or 0.0) / (average.items or 1)
        for task, row in zip(tasks, rows, strict=True):
            costs |= self.shelf.costs(self.sides, task, max(row.expected or math.inf, share * (row.items or 0)))
        rates = [math.fsum(self.shelf.rate(side, task) for side in self.sides) for task in tasks]
        timed = all(0 < rate < math.inf for rate in rates)
        worths = {row.task: self._worth(row) / (rate if timed else 1) for row, rate in zip(rows, rates, strict=True)}
        first = tuple(sorted(worths, key=worths.__getitem__, reverse=True))
        average = self._rivalry(replace(self._priced(average, costs), first=first, timed=timed), tasks, rows)
        return [*rows, average], costs

    def _rivalry(self, average: Row, tasks: Sequence[Task], rows: Sequence[Row]) -> Row:
        """Add the power of proving that a format of the same recovery keeps up with its competitor."""
        pairs = [(task, row) for task, row in zip(tasks, rows, strict=True) if (row.items or 0) >= MIN_PLANNED]
        if not self.gate.competitor or average.items is None or not pairs:
            return average
        differing = [self._differing(task, row) for task, row in pairs]
        bases, sizes = [row.base.value for _, row in pairs], [row.items or 0 for _, row in pairs]
        weights = self._weights([row for _, row in pairs])
        rates, level = [row.chance.value for _, row in pairs], self.gate.alpha
        power = competitive_power(bases, differing, sizes, weights, self.gate.margin, alpha=level, chances=rates)
        outcome = average.outcome if power >= self.target else "unprovable"
        return replace(average, competitor=self.gate.competitor, rivalry=power, outcome=outcome)

    def _differing(self, task: Task, row: Row) -> float:
        """Return on which share of the items a format and its competitor differ; if unknown, as many as each flips."""
        rival = self.side._replace(format=self.shelf.inputs.matrix.pick("formats", self.gate.competitor))
        mine, theirs = self.shelf.scores(self.side, task), self.shelf.scores(rival, task)
        old = {item.doc_hash: item.score for item in theirs.items} if theirs else {}
        both = [(item.score - old[item.doc_hash]) ** 2 for item in (mine.items if mine else ()) if item.doc_hash in old]
        return max(math.fsum(both), 1.0) / len(both) if both else row.discordance.value

    def _worth(self, row: Row) -> float:
        """Return what an item more of a task tells the average: of equal weights, the noisiest mean gains most."""
        effect = row.effect(self.recovery)
        if self.gate.definition == "item":
            return worth(effect, row.threshold)
        return effect.variance(row.threshold) / (row.items or 1) ** 2

    def _task(self, task: Task) -> Row:
        row, level = self._believed(task), self.gate.alpha
        effect, n = row.effect(self.recovery), row.items
        row = replace(row, needed=items_needed(effect, row.threshold, alpha=level, power=self.target))
        if n is None:
            return replace(row, why=f"the items of {task.id} are unknown until it is scored once")
        model = effect.base, effect.discordance, row.threshold, n
        loss = detectable_loss(*model, alpha=level, power=self.target, chance=effect.chance)
        row = self._planned(row, [row], power_at(effect, row.threshold, n, alpha=level))
        return self._priced(replace(row, loss=loss), self.shelf.costs(self.sides, task, row.expected or 0.0))

    def _average(self, rows: Sequence[Row]) -> Row:
        counted = [row for row in rows if row.items is None or row.items >= MIN_PLANNED]
        if not counted:
            why = f"no task has the {MIN_PLANNED} items that count"
            return replace(together(rows, [1.0] * len(rows)), power=0.0, outcome="unprovable", why=why)
        row = together(counted, self._weights(counted))
        if row.items is None:
            return row
        effects, sizes = [row.effect(self.recovery) for row in counted], [row.items or 0 for row in counted]
        pooled, level = (effects, sizes, self._weights(counted), row.threshold), self.gate.alpha
        factor = pool_factor(*pooled, alpha=level, power=self.target)
        row = replace(row, needed=None if factor is None else math.ceil(factor * row.items))
        return self._planned(row, counted, pool_power(*pooled, alpha=level))

    def _planned(self, row: Row, counted: Sequence[Row], power: float) -> Row:
        """Add the power of a test of these rows together, and the items that its looks leave to be scored."""
        weights = self._weights(counted)
        parts = [(w, each.effect(self.recovery), each.items or 1) for w, each in zip(weights, counted, strict=True)]
        gap = math.fsum(w * effect.gap(row.threshold) for w, effect, _ in parts)
        spread = math.sqrt(math.fsum(w * w * effect.variance(row.threshold) / n for w, effect, n in parts))
        drift = gap / spread
        if row.task:  # its exact test is never surer than items without a flip make it
            _, effect, n = parts[0]
            without = effect.raw(row.threshold) ** (n * (effect.base + effect.p01))
            drift = min(drift, max(0.0, -float(special.ndtri(without))))
        expected = (row.items or 0) * expected_share(self.gate.shares, self.gate.alpha, drift)
        outcome = "provable" if power >= self.target else "unprovable"
        return replace(row, power=power, expected=expected, outcome=outcome)

    def _weights(self, counted: Sequence[Row]) -> list[float]:
        return [1.0 if self.gate.definition == "macro" else float(row.items or 1) for row in counted]

    def _priced(self, row: Row, costs: Costs) -> Row:
        seconds, devices = _known(math.fsum(costs.values())), self.shelf.inputs.devices(self.side.model)
        hours = None if seconds is None or self.shelf.on_cpu else seconds / 3600 * devices
        return replace(row, seconds=seconds, gpu_hours=hours)

    def _believed(self, task: Task) -> Row:
        """Start a row with what the store says, and assume the rest."""
        base, quantized = (self.shelf.scores(side, task) for side in self.sides)
        seen = next((scores.documents for scores in (base, quantized) if scores), None)
        documents = self.shelf.inputs.task_files(task).items or seen
        items = documents and planned(task.items, documents)
        old = {item.doc_hash: item.score for item in base.items} if base else {}
        both = (
            [(old[item.doc_hash], item.score) for item in quantized.items if item.doc_hash in old] if quantized else []
        )
        return Row(
            model=self.side.model.id,
            format=self.side.format.id,
            task=task.id,
            threshold=self.gate.threshold,
            items=items,
            documents=documents,
            base=_measured(list(old.values()), ACCURACY),
            discordance=_measured([(y0 - y1) ** 2 for y0, y1 in both], DISCORDANCE[self.side.format.family]),
            chance=self._chance(task, base),
            cached=min(items or 0, *(self.shelf.have(side, task) for side in self.sides)),
            checkpoint=self.shelf.checkpoint(self.side) is not None,
        )

    def _chance(self, task: Task, base: TaskScores | None) -> Number:
        """Return the rate that normalised scores are less by; 0 of raw ones."""
        declared = self.shelf.inputs.task_files(task).chance
        if not self.gate.normalised:
            return Number(value=0.0, source="measured")
        if base:
            return _measured([item.chance for item in base.items], 0.0)
        return Number(value=declared, source="measured") if isinstance(declared, float) else Number(value=0.0)


def _measured(values: Sequence[float], assumed: float) -> Number:
    if not values:
        return Number(value=assumed)
    return Number(value=math.fsum(values) / len(values), source="measured", n=len(values))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _check(cells: Sequence[Cell], target: float, recovery: float) -> None:
    if not 0.5 <= target < 1:  # noqa: PLR2004 - below, no items at all would do
        raise UsageError(f"--power {target}: must lie in [0.5, 1), such as 0.8")
    if not 0 < recovery <= MAX_RECOVERY:
        raise UsageError(f"--recovery {recovery}: must lie in (0, {MAX_RECOVERY:g}], such as 0.995 for 99.5 %")
    if not cells:
        raise UsageError("--formats: none of these is quantized, so there is nothing to plan; name another")

"""The shelf: what the store has of the sides of comparisons, and what it would cost to make what it lacks.

Comes in: a `Context`, cells. Goes out: checkpoints and scores at hand, seconds that the rest will take.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from quant.matrix import BASE
from quant.quantization import CHECKPOINT
from quant.records import Checkpoint
from quant.series import find

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from quant.jobs import Context, Side
    from quant.matrix import Cell
    from quant.records import Task
    from quant.stages.protocol import TaskScores

Costs = dict[str, float]  # seconds by what they are spent on, so that nothing counts twice; inf where no rate is known


class Shelf:
    """What the store has, each side read once."""

    def __init__(self, context: Context, cells: Sequence[Cell]) -> None:
        self.context, self.inputs = context, context.inputs
        self.on_cpu = context.inputs.machine.kind.startswith("cpu")
        self._formats = {fmt.id: fmt for fmt in (BASE, *(cell.format for cell in cells))}.values()
        self._entries = context.store.manifests()
        self._scores: dict[tuple[str, str, str], TaskScores | None] = {}

    def checkpoint(self, side: Side) -> Checkpoint | None:
        """Return a side's checkpoint, if it has been made."""
        if side.format.id == BASE.id:
            return self.inputs.base(side.model)
        folder = self.context.store.find("checkpoints", self.inputs.checkpoint_key(side.model, side.format))
        return msgspec.json.decode((folder / CHECKPOINT).read_bytes(), type=Checkpoint) if folder else None

    def scores(self, side: Side, task: Task) -> TaskScores | None:
        """Return the items of a task at hand, if there are any."""
        name = (side.label, side.backend, task.id)
        if name not in self._scores:
            checkpoint = self.checkpoint(side)
            found = find(self.context, side, task, checkpoint).read() if checkpoint else None
            self._scores[name] = found if found and found.items else None
        return self._scores[name]

    def have(self, side: Side, task: Task) -> int:
        """Return how many items are at hand."""
        return len(found.items) if (found := self.scores(side, task)) else 0

    def rate(self, side: Side, task: Task) -> float:
        """Return the seconds an item: of this side, else of the model in another format."""
        sides = (side, *(side._replace(format=fmt) for fmt in self._formats))
        found = (scores for each in sides if (scores := self.scores(each, task)))
        return next((scores.seconds / len(scores.items) for scores in found), math.inf)

    def costs(self, sides: Iterable[Side], task: Task, items: float) -> Costs:
        """Price what the store lacks of `items`, and of checkpoints: what the newest of that name took."""
        costs = Costs()
        for side in sides:
            if (left := items - self.have(side, task)) > 0:
                costs[f"{side.label} {side.backend} {task.id}"] = left * self.rate(side, task)
            if not self.checkpoint(side):
                costs[side.label] = next(self._makings(side), math.inf)
        return costs

    def _makings(self, side: Side) -> Iterator[float]:
        for folder, manifest in self._entries:
            if (manifest.kind, manifest.label) == ("checkpoints", side.label):
                with suppress(OSError, msgspec.MsgspecError):  # damaged, or of another schema
                    yield msgspec.json.decode((folder / CHECKPOINT).read_bytes(), type=Checkpoint).seconds

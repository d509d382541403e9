"""A series: the scores of one task of one checkpoint in the store, a growing head of the task's random order.

Comes in: a `Store`, a key that says nothing of how many items. Goes out: the items that are there. Each part
of a series is an entry of the store; a part begins where the one before it ends, so nothing is scored twice,
whoever asks for how much. The caller holds the lock of the series while it appends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from quant.stages.protocol import SCORES, TaskScores

if TYPE_CHECKING:
    from pathlib import Path

    from quant.jobs import Context, Side
    from quant.records import Checkpoint, Task
    from quant.store import Store

KIND = "scores"


class Series(NamedTuple):
    """Where the parts of one series are; `label` names it for people."""

    store: Store
    key: dict[str, Any]
    label: str

    def read(self) -> TaskScores | None:
        """Return all items from the first on, without a gap; None if there is none."""
        parts = [
            msgspec.json.decode((f / SCORES).read_bytes(), type=TaskScores) for f in self.store.parts(KIND, self.key)
        ]
        whole: TaskScores | None = None
        for part in sorted(parts, key=lambda part: part.start):
            whole = _joined(whole, part)
        return whole

    def append(self, payload: Path) -> TaskScores:
        """Keep a part that was just made and return the series."""
        part = msgspec.json.decode((payload / SCORES).read_bytes(), type=TaskScores)
        self.store.commit(KIND, self.label, self.key, payload, part=f"{part.start:06d}")
        whole = self.read()
        return part if whole is None else whole


def find(context: Context, side: Side, task: Task, checkpoint: Checkpoint) -> Series:
    """Return the series of one task of a side, whether the store has any of it or not."""
    key = context.inputs.scores_key(side.model, task, checkpoint, side.backend)
    return Series(context.store, key | {"repeat": side.repeat}, f"{side.label}-{task.id}")


def _joined(whole: TaskScores | None, part: TaskScores) -> TaskScores | None:
    """Put a part behind the items at hand; behind a gap it is of no use until the gap is filled."""
    items, seconds = (whole.items, whole.seconds) if whole else ((), 0.0)
    if part.start > len(items):
        return whole
    new = part.items[len(items) - part.start :]
    return msgspec.structs.replace(part, items=items + new, start=0, seconds=seconds + part.seconds)

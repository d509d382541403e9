"""The job that makes a checkpoint: look into the store, else ask the quantize stage, check what it wrote, keep it.

Comes in: `Inputs`, a `Store`, a future to fulfil. Goes out: a `Checkpoint`. Runs in a worker's thread; whatever goes
wrong goes to the future, so that the one who waits is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from quant.inputs import integrity, models
from quant.inputs.keys import SEED
from quant.jobs import Context, fail
from quant.records import Checkpoint
from quant.stages.protocol import CHOICE, QuantizeRequest
from quant.store import Busy

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from quant.records import Format, Model
    from quant.workers import Ask

CHECKPOINT = "checkpoint.json"


@dataclass(frozen=True)
class Quantization:
    """Make one checkpoint, unless the store has it."""

    context: Context
    model: Model
    format: Format
    future: Future[Checkpoint]

    def run(self, ask: Ask) -> None:
        """Fulfil the future; raises `Busy` while another session makes the same checkpoint."""
        try:
            folder = self._folder(ask)
            made = msgspec.json.decode((folder / CHECKPOINT).read_bytes(), type=Checkpoint)
            self.future.set_result(msgspec.structs.replace(made, path=str(folder / "model")))
        except Busy:
            raise
        except Exception as error:  # noqa: BLE001 - belongs to whoever waits
            fail(self.future, error)

    def _folder(self, ask: Ask) -> Path:
        store, key = self.context.store, self.context.inputs.checkpoint_key(self.model, self.format)
        if folder := store.find("checkpoints", key):
            return folder
        with store.locked(("checkpoints", key)):
            if folder := store.find("checkpoints", key):
                return folder
            with store.workspace() as space:
                self.context.explain("checkpoints", self._label, key)
                self._make(space, ask)
                return store.commit("checkpoints", self._label, key, space)

    @property
    def _label(self) -> str:
        return f"{self.model.id}-{self.format.id}"

    def _make(self, space: Path, ask: Ask) -> None:
        found = self.context.inputs.calibration(self.model, self.format)
        placement = self.context.inputs.placement(self.model, self.format)
        request = QuantizeRequest(
            label=self._label,
            model=self.context.inputs.base(self.model).path,
            output=str(space / "model"),
            dtype=self.model.dtype,
            recipe=self.format.recipe,
            search=self.format.search,
            mixed=self.format.mixed,
            calibration_file=found.texts if found else "",
            samples=found.samples if found else 0,
            tokens=found.tokens if found else 0,
            seed=SEED,
            place=placement.place,
            resident_bytes=placement.resident_bytes,
        )
        seconds = ask(request, self.context.hear)
        made = models.inspect(space / "model", model=self.model.id, fmt=self.format.id)
        integrity.check(self.context.inputs.base(self.model), made, self.format)
        open_part = space / "model" / CHOICE
        choice = msgspec.json.decode(open_part.read_bytes()) if open_part.is_file() else {}
        (space / CHECKPOINT).write_bytes(
            msgspec.json.encode(msgspec.structs.replace(made, path="model", seconds=seconds, choice=choice))
        )

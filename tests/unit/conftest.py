"""A world whose store holds its scores already, so that the pipeline serves them without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec import structs

from quant import reading
from quant.claims import Gate, Verdict
from quant.environment import DEFAULT_MATRIX, current
from quant.jobs import Context, Side
from quant.matrix import BASE, PROFILES
from quant.pipeline import Pipeline
from quant.quantization import CHECKPOINT
from quant.records import Checkpoint, Hardware
from quant.report import results
from quant.report.results import Results
from quant.scores import Item
from quant.series import find
from quant.stages.protocol import SCORES, TaskScores
from quant.store import Store
from quant.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from quant.matrix import Cell

CPU = Hardware(kind="cpu-generic", name="test", devices=1, capabilities=frozenset())
FORMAT, TASKS = "int8-w8a8", ("facts", "arithmetic")
ITEMS = 400
GATE = Gate(threshold=0.97, shares=PROFILES["release"].looks, family=len(TASKS))

FAILED = Verdict(
    model="ref-4m",
    format="int4-gptq",
    task="arithmetic",
    status="FAIL",
    base=0.8,
    quantized=0.745,
    recovery=0.93125,
    low=0.918,
    high=0.944,
    gate=Gate(threshold=0.95),
    look=1,
    level=0.05,
    n=1319,
    planned=1319,
    worse=90,
    better=17,
    p_pass=1.0,
    p_fail=0.001,
)


class World:
    """A pipeline over a store that a test fills."""

    def __init__(self, folder: Path) -> None:
        declared = reading.load(DEFAULT_MATRIX)
        self.store = Store(folder)
        self.pipeline = Pipeline(declared, self.store, machine=CPU, devices=[""])
        self.context = Context(self.pipeline.inputs, self.store, lambda _message: None)
        self.model, self.format = declared.models["ref-4m"], declared.formats[FORMAT]
        self.cells = [cell for cell in declared.cells("reference", (), [FORMAT]) if cell.task.id in TASKS]
        self.base, self.quantized = Side(self.model, BASE, "hf"), Side(self.model, self.format, "hf")

    def keep(self, side: Side, cell: Cell, lost: int, chance: float = 0.0) -> None:
        """Put the scores of all items into the store: of 100, the first `lost` are wrong, the rest right."""
        series = find(self.context, side, cell.task, self.checkpoint(side))
        items = tuple(
            Item(doc_hash=f"d{n}", prompt_hash="p", target_hash="t", score=float(n % 100 >= lost), chance=chance)
            for n in range(ITEMS)
        )
        part = TaskScores(items=items, start=0, documents=ITEMS, seconds=1, load_seconds=1, started=0, engine={})
        with self.store.workspace() as space:
            (space / SCORES).write_bytes(msgspec.json.encode(part))
            series.append(space)

    def checkpoint(self, side: Side) -> Checkpoint:
        base = self.pipeline.inputs.base(self.model)
        return base if side.format is BASE else structs.replace(base, format=FORMAT, files={"model": "quantized"})

    def verdicts(
        self,
        lost: dict[str, int],
        *,
        average: bool = False,
        claims: tuple[str, ...] = TASKS,
        gate: Gate = GATE,
        chance: float = 0.0,
    ) -> Verdicts:
        """Judge a checkpoint that has lost this many of 100 items of each task; the base has lost none."""
        key = self.pipeline.inputs.checkpoint_key(self.model, self.format)
        with self.store.workspace() as space:
            (space / CHECKPOINT).write_bytes(msgspec.json.encode(self.checkpoint(self.quantized)))
            self.store.commit("checkpoints", "quantized", key, space)
        for cell in self.cells:
            self.keep(self.base, cell, 0, chance)
            self.keep(self.quantized, cell, lost[cell.task.id], chance)
        made = Verdicts(self.pipeline, self.cells, gate, tasks=claims, average=average)
        made.start()
        for claim in (*made.tasks.values(), *([made.average] if made.average else [])):
            claim.result(30)
        return made

    def written(self, made: Verdicts) -> tuple[Path, list[Verdict]]:
        """Write the results of a run; return their file, and the verdicts."""
        claims = (*made.tasks.values(), *([made.average] if made.average else []))
        found, file = [claim.result() for claim in claims], self.store.root / "results.json"
        root = str(self.store.root)
        run = Results(verdicts=tuple(found), environment=current(), seconds=1.0, starts={}, errors={}, logs=root)
        results.write(run, file)
        return file, found

    def asked(self, fmt: str, task: str) -> list[float]:
        """Shares of a task's items that one side was asked for."""
        return [key[-1] for key in self.pipeline._scores if (key[1], key[-2].id) == (fmt, task)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.pipeline.close()

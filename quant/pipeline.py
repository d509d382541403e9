"""The pipeline: for the selected cells, quantize and evaluate what the store does not hold yet.

Comes in: a `Matrix`, a `Store`, cells. Goes out: for each cell the `Scores` of base and quantized model, served by the
same backend. Each result is a `Future`, so that stages of different cells overlap. Knows nothing of verdicts.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from quant import hardware
from quant.errors import StageError
from quant.inputs import Inputs
from quant.jobs import Context, Evaluation, Quantization, Side, fail
from quant.matrix import BASE, StageRule
from quant.records import Checkpoint, Scores
from quant.workers import Job, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from quant.matrix import Cell, Matrix
    from quant.records import Backend, Format, Hardware, Model, Task
    from quant.stages.protocol import Message
    from quant.store import Store

STAGES = ("quantize", "evaluate")


class Evidence(NamedTuple):
    """What a cell is judged by."""

    base: Scores
    quantized: Scores


class Pipeline:
    """Runs stages for cells; every result is kept in the store and made once."""

    def __init__(  # noqa: PLR0913 - keyword-only: what a run is made of
        self,
        matrix: Matrix,
        store: Store,
        *,
        machine: Hardware,
        devices: Sequence[str],
        backend: str = "auto",
        hear: Callable[[Message], None] = lambda _message: None,
    ) -> None:
        self.machine, self.backend = machine, backend
        self.inputs = Inputs(matrix, machine)
        self._context = Context(self.inputs, store, hear)
        rules = {stage: matrix.stages.get(stage, StageRule()) for stage in STAGES}
        self.workers = Workers(devices, kind=machine.kind, logs=store.root / "logs", rules=rules)
        self._lock = threading.RLock()
        self._checkpoints: dict[tuple[str, str], Future[Checkpoint]] = {}
        self._scores: dict[tuple[str, str, Backend, Task], Future[Scores]] = {}

    def submit(self, cells: Iterable[Cell]) -> None:
        """Start whatever `cells` need and nobody has asked for yet; returns at once."""
        sides: dict[tuple[str, str, Backend], tuple[Side, dict[str, Task]]] = {}
        for cell in cells:
            for fmt in (BASE, cell.format):
                side = Side(cell.model, fmt, self.backend_for(cell.format))
                key = (cell.model.id, fmt.id, side.backend)
                sides.setdefault(key, (side, {}))[1][cell.task.id] = cell.task
        # Base first: a worker serves it while another one quantizes.
        for key in sorted(sides, key=lambda key: key[1] != BASE.id):
            side, tasks = sides[key]
            self.scores(side, tasks.values())

    def evidence(self, cell: Cell) -> Evidence:
        """Return the scores of base and quantized model, waiting for them; raises what went wrong on the way."""
        served = self.backend_for(cell.format)
        pair = [self.scores(Side(cell.model, fmt, served), [cell.task])[0] for fmt in (BASE, cell.format)]
        return Evidence(pair[0].result(), pair[1].result())

    def backend_for(self, fmt: Format) -> Backend:
        """Backend that serves both sides of comparisons with `fmt` on this machine."""
        return hardware.backend_for(fmt, self.machine, self.backend)

    def checkpoint(self, model: Model, fmt: Format) -> Future[Checkpoint]:
        """Return the model in this format, as a future; made once."""
        with self._lock:
            key = (model.id, fmt.id)
            if key not in self._checkpoints:
                self._checkpoints[key] = future = Future[Checkpoint]()
                if fmt.id == BASE.id:
                    future.set_result(self.inputs.base(model))
                else:
                    self.workers.submit(Job("quantize", Quantization(self._context, model, fmt, future).run))
            return self._checkpoints[key]

    def scores(self, side: Side, tasks: Iterable[Task], made: Future[Checkpoint] | None = None) -> list[Future[Scores]]:
        """Return the scores of `tasks`, as futures; those that are new share one engine start.

        `made` is a checkpoint from elsewhere, to be scored in the place of the one that the format's recipe gives.
        """
        with self._lock:
            keys = {task.id: (side.model.id, side.format.id, side.backend, task) for task in tasks}
            new = {task.id: (task, Future[Scores]()) for task in tasks if keys[task.id] not in self._scores}
            self._scores |= {keys[name]: future for name, (_, future) in new.items()}
            if new:
                made = made or self.checkpoint(side.model, side.format)
                made.add_done_callback(partial(self._evaluate, side, new))
            return [self._scores[key] for key in keys.values()]

    def close(self) -> None:
        """Stop: whatever still waits for a result gets an error instead of waiting for ever."""
        self.workers.close()
        with self._lock:
            waiting: list[Future[Any]] = [*self._checkpoints.values(), *self._scores.values()]
            for future in waiting:
                fail(future, StageError("the run was stopped before this result was there"))

    def _evaluate(self, side: Side, wanted: dict[str, tuple[Task, Future[Scores]]], made: Future[Checkpoint]) -> None:
        if error := made.exception():
            for _, future in wanted.values():
                fail(future, error)
        else:
            evaluation = Evaluation(self._context, side, made.result(), wanted)
            self.workers.submit(Job("evaluate", evaluation.run))

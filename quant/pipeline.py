"""The pipeline: for the selected cells, quantize and evaluate what the store does not hold yet.

Comes in: a `Matrix`, a `Store`, sides of comparisons. Goes out: their `Scores`, as far as they were asked for. Each
result is a `Future`, so that stages of different sides overlap. Knows nothing of verdicts.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from quant import hardware
from quant.errors import StageError, SuiteError
from quant.evaluation import Evaluation, Wanted
from quant.inputs import context, given
from quant.inputs.run import Inputs
from quant.jobs import Context, Side, fail
from quant.matrix import BASE, StageRule
from quant.measurement import Measurement
from quant.quantization import Quantization
from quant.records import Checkpoint
from quant.workers import Job, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from quant.matrix import Cell, Matrix, Serving
    from quant.records import Backend, Format, Hardware, Model, Task
    from quant.scores import Scores
    from quant.stages.protocol import Message
    from quant.store import Store
    from quant.workloads import Timings, Workload

STAGES = ("quantize", "evaluate", "benchmark")


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
        servers: Mapping[str, str] | None = None,
        hear: Callable[[Message], None] = lambda _message: None,
    ) -> None:
        self.machine, self.backend = machine, backend
        self.inputs = Inputs(matrix, machine, servers, store)
        self._context = Context(self.inputs, store, hear)
        rules = {stage: matrix.stages.get(stage, StageRule()) for stage in STAGES}
        self.workers = Workers(devices, kind=machine.kind, logs=store.root / "logs", rules=rules)
        self.clients = Workers(
            [""] * len(self.inputs.servers), kind=machine.kind, logs=store.root / "logs", rules=rules
        )
        self._lock = threading.RLock()
        self._checkpoints: dict[tuple[str, str], Future[Checkpoint]] = {}
        self._scores: dict[tuple[str, str, Backend, int, Task, float], Future[Scores]] = {}

    def check(self, cells: Sequence[Cell], servings: Sequence[Serving] = (), *, pinned: bool = False) -> None:
        """Find every mistake in what is selected, and files that the backend at hand cannot read, as `UsageError`."""
        self.inputs.check(cells, servings, pinned=pinned)
        for model, fmt in {(cell.model.id, cell.format.id): (cell.model, cell.format) for cell in cells}.values():
            if fmt.checkpoint and self.backend_for(fmt) == "hf":
                made = self.inputs.given(model, fmt)
                given.check_transformers(Path(made.path), hardware.missing(fmt, self.machine))

    def backend_for(self, fmt: Format, side: Format | None = None) -> Backend:
        """Backend that serves one side of comparisons with `fmt`, both alike unless a server serves one of them."""
        if (side or fmt).id in self.inputs.servers:
            return "server"
        needs = BASE if fmt.id in self.inputs.servers else fmt
        return hardware.backend_for(needs, self.machine, self.backend)

    def checkpoint(self, model: Model, fmt: Format) -> Future[Checkpoint]:
        """Return the model in this format, as a future; made once."""
        with self._lock:
            key = (model.id, fmt.id)
            if key not in self._checkpoints:
                self._checkpoints[key] = future = Future[Checkpoint]()
                if fmt.id == BASE.id or fmt.id in self.inputs.servers:  # of what a server serves, the tokenizer
                    future.set_result(replace(self.inputs.base(model), format=fmt.id))
                elif fmt.checkpoint:
                    self._give(model, fmt, future)
                else:
                    self.workers.submit(
                        Job("quantize", Quantization(self._context, model, fmt, future).run, f"{model.id}-{fmt.id}")
                    )
            return self._checkpoints[key]

    def _give(self, model: Model, fmt: Format, future: Future[Checkpoint]) -> None:
        try:
            future.set_result(self.inputs.given(model, fmt))
        except Exception as error:  # noqa: BLE001 - belongs to whoever waits
            fail(future, error)

    def scores(
        self, side: Side, tasks: Iterable[Task], made: Future[Checkpoint] | None = None, share: float = 1.0
    ) -> list[Future[Scores]]:
        """Return the scores of the first `share` of `tasks`, as futures; those that are new share one engine start.

        `made` is a checkpoint from elsewhere, to be scored in the place of the one that the format's recipe gives.
        """
        with self._lock:
            place = (side.model.id, side.format.id, side.backend, side.repeat)
            keys = {task.id: (*place, task, share) for task in tasks}
            new = [Wanted(key[-2], share, Future()) for key in keys.values() if key not in self._scores]
            self._scores |= {keys[want.task.id]: want.future for want in new}
            if new:
                made = made or self.checkpoint(side.model, side.format)
                made.add_done_callback(partial(self._evaluate, side, new))
            return [self._scores[key] for key in keys.values()]

    def repeats(self, side: Side, tasks: Sequence[Task], wanted: int) -> dict[str, list[Future[Scores]]]:
        """Return further runs of a side by task, each over all its items: those `wanted`, and what the store has."""
        for number in range(1, wanted + 1):
            self.scores(side._replace(repeat=number), tasks)  # all tasks of a run share one engine start
        return {task.id: self._runs(side, task, wanted) for task in tasks}

    def _runs(self, side: Side, task: Task, wanted: int) -> list[Future[Scores]]:
        runs: list[Future[Scores]] = []
        while len(runs) < wanted or self._stored(side._replace(repeat=len(runs) + 1), task):
            runs += self.scores(side._replace(repeat=len(runs) + 1), [task])
        return runs

    def _stored(self, side: Side, task: Task) -> bool:
        """Say whether the store has all items of a task."""
        made = self.checkpoint(side.model, side.format).result()
        return Evaluation(self._context, side, made, [Wanted(task, 1.0, Future())]).stored()

    def timings(self, model: Model, fmt: Format, workload: Workload) -> Future[Timings]:
        """Return how a format and its base served a workload in turn, as a future; measured anew whenever asked."""
        future: Future[Timings] = Future()
        self.checkpoint(model, fmt).add_done_callback(partial(self._measure, model, fmt, workload, future))
        return future

    def close(self) -> None:
        """Stop: whatever still waits for a result gets an error instead of waiting for ever."""
        self.workers.close()
        self.clients.close()
        with self._lock:
            waiting: list[Future[Any]] = [*self._checkpoints.values(), *self._scores.values()]
            for future in waiting:
                fail(future, StageError("the run was stopped before this result was there"))

    def _measure(
        self, model: Model, fmt: Format, workload: Workload, future: Future[Timings], made: Future[Checkpoint]
    ) -> None:
        if error := made.exception():
            fail(future, error)
            return
        job = Measurement(self._context, model, fmt, workload, made.result(), future)
        # On a GPU the process of engines here must end for servers to find its memory free (measured: 25 GB stay).
        self.workers.submit(Job("benchmark", job.run, f"{model.id} {workload.mode} timings", alone=True))

    def _evaluate(self, side: Side, wanted: Sequence[Wanted], made: Future[Checkpoint]) -> None:
        if error := made.exception():
            for want in wanted:
                fail(want.future, error)
        else:
            # An engine here must not make room for a server's side, which needs no device.
            workers = self.clients if side.backend == "server" else self.workers
            for tokens, part in _by_context(side.model, wanted).items():
                served = side._replace(model=replace(side.model, context_tokens=tokens))
                evaluation = Evaluation(self._context, served, made.result(), part)
                workers.submit(Job("evaluate", evaluation.run, f"{side.label} {side.backend} {tokens}"))


def _by_context(model: Model, wanted: Sequence[Wanted]) -> dict[int, list[Wanted]]:
    """Gather what is wanted by the context that it is served with; whoever waits for what fits in none is told."""
    found: dict[int, list[Wanted]] = {}
    for want in wanted:
        try:
            found.setdefault(context.serving(model, want.task).context_tokens, []).append(want)
        except SuiteError as error:
            fail(want.future, error)
    return found

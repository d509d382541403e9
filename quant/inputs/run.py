"""The input of a run: found, checked and hashed once.

Comes in: a `Matrix`, cells. Goes out: checked models and tasks; the keys of checkpoints and scores, which hold
everything that can change them. Every mistake is a `UsageError`, found before an engine starts.
"""

from __future__ import annotations

import math
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins
from msgspec.structs import replace

from quant.errors import CheckpointError, ModelError
from quant.inputs import (
    calibration,
    context,
    endpoint,
    given,
    integrity,
    keys,
    memory,
    models,
    placement,
    sources,
    tasks,
)
from quant.matrix import BASE, Serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from quant.inputs.endpoint import Endpoint
    from quant.inputs.placement import Placement
    from quant.matrix import Cell, Matrix
    from quant.records import Backend, Calibration, Checkpoint, Format, Hardware, Model, Shape, Task
    from quant.store import Store


class Inputs:
    """Models, tasks and calibration texts of a matrix, as files on this machine.

    `servers` maps formats that a server serves to its URL: for them nothing is quantized and no file is checked.
    What lies elsewhere is fetched into the `store`; without one, only the hub's models are fetched.
    """

    def __init__(
        self,
        matrix: Matrix,
        machine: Hardware,
        servers: Mapping[str, str] | None = None,
        store: Store | None = None,
    ) -> None:
        self.matrix, self.machine, self.servers, self._store = matrix, machine, dict(servers or {}), store
        self._began = time.time()
        self._endpoints: dict[str, Endpoint] = {}
        self._lock = threading.RLock()
        self._bases: dict[str, Checkpoint] = {}
        self._shapes: dict[str, Shape | None] = {}
        self._calibrations: dict[Calibration, Calibration] = {}
        self._tasks: dict[str, tasks.TaskFiles] = {}

    def check(self, cells: Sequence[Cell], servings: Sequence[Serving] = (), *, pinned: bool = False) -> None:
        """Find every mistake in what is selected; raises the first, if it can before anything is fetched.

        `pinned`: what is on the hub must be named by full commits.
        """
        every: list[Cell | Serving] = [*cells, *servings]
        for one in every:
            if pinned:
                models.pin(f"model {one.model.id!r}", one.model.source, one.model.revision)
                models.pin(f"format {one.format.id!r}", one.format.checkpoint)
            served = self._served(one)
            if not {BASE.id, one.format.id} <= self.servers.keys():  # else nothing is served here
                self.devices(served, [each.format for each in every if each.model.id == one.model.id])
            if not one.format.checkpoint and one.format.id not in self.servers:
                self._check_quantizing(one.model, one.format, pinned=pinned)
        for cell in cells:
            self.chat_template(cell.model, cell.task)
        for one in every:
            self.base(one.model)
            self.endpoint(one.model, BASE.id)
            if not self.endpoint(one.model, one.format.id) and one.format.checkpoint:
                self.given(one.model, one.format)

    def _served(self, one: Cell | Serving) -> Model:
        """Return the model with the context that it is served with."""
        if isinstance(one, Serving):
            return context.measured(one.model, one.workload)
        self.task_files(one.task)
        return context.serving(one.model, one.task)

    def _check_quantizing(self, model: Model, fmt: Format, *, pinned: bool) -> None:
        if pinned:
            calibration.pin(model, fmt)
        self.calibration(model, fmt)
        self.placement(model, fmt)

    def base(self, model: Model) -> Checkpoint:
        """Return the unquantized model's folder."""
        with self._lock:
            if model.id not in self._bases:
                folder = self._folder(model)
                self._bases[model.id] = models.inspect(folder, model=model.id)
            return self._bases[model.id]

    def _folder(self, model: Model) -> Path:
        if self._store and sources.is_url(model.source):
            return sources.fetch(model.source, self._store, f"model {model.id!r}")
        return models.locate(model)

    def devices(self, model: Model, formats: Iterable[Format] = ()) -> int:
        """Return how many devices serve a model; `ModelError` if it does not fit, with which of `formats` would."""
        return memory.devices(model, self.shape(model), self.machine, formats)

    def shape(self, model: Model) -> Shape | None:
        """Return what a model's memory follows from, as declared or as its files say; None if they do not."""
        with self._lock:
            if model.id not in self._shapes:
                self._shapes[model.id] = model.shape or memory.read(Path(self.base(model).path), f"model {model.id!r}")
            return self._shapes[model.id]

    def placement(self, model: Model, fmt: Format) -> Placement:
        """Return where a model lies while it is quantized; `ModelError` if it fits nowhere here."""
        free = shutil.disk_usage(self._store.root).free if self._store else math.inf
        return placement.find(model, fmt, self.shape(model), calibration.stated(model, fmt), self.machine, free)

    def endpoint(self, model: Model, fmt: str) -> Endpoint | None:
        """Return what serves a format, asked once a run; None if no server does."""
        with self._lock:
            if fmt in self.servers and fmt not in self._endpoints:
                folder = Path(self.base(model).path)
                self._endpoints[fmt] = endpoint.probe(self.servers[fmt], model.context_tokens, folder, self._began)
            return self._endpoints.get(fmt)

    def given(self, model: Model, fmt: Format) -> Checkpoint:
        """Return the checkpoint that a format names; `ModelError` if it is not sound, or not of the model or family."""
        folder = self._folder(replace(model, id=fmt.id, source=fmt.checkpoint, revision=""))
        made = models.inspect(folder, model=model.id, fmt=fmt.id)
        given.check_pair(Path(self.base(model).path), folder)
        if (found := given.scheme(folder).family) != fmt.family:
            raise ModelError(
                f"{model.id}-{fmt.id}: {folder}: expected a checkpoint of the family {fmt.family}, found {found};"
                " correct `family` in the matrix"
            )
        try:
            integrity.check(self.base(model), made, fmt)
        except CheckpointError as error:  # files that somebody gave are input, and wrong before an engine starts
            raise ModelError(str(error)) from error
        return made

    def task_files(self, task: Task) -> tasks.TaskFiles:
        """Return what a task is made of."""
        with self._lock:
            if task.id not in self._tasks:
                self._tasks[task.id] = tasks.inspect(task, self._store)
            return self._tasks[task.id]

    def chat_template(self, model: Model, task: Task) -> None:
        """Raise `ModelError` if a task needs a chat template that the model's tokenizer does not have."""
        folder = Path(self.base(model).path)
        if task.chat_template and not integrity.template(folder):
            raise ModelError(
                f"model {model.id!r}: task {task.id!r} says `chat_template = true`, but {folder} has none; add the"
                " model's chat_template.jinja, choose its instruction-tuned version, or leave the task out"
            )

    def calibration(self, model: Model, fmt: Format) -> Calibration | None:
        """Return what calibrates a model in a format, with its texts here if there is a store; None: data-free."""
        said = calibration.stated(model, fmt)
        if said is None:
            return None
        with self._lock:
            if said not in self._calibrations:
                self._calibrations[said] = calibration.find(said, self._store, f"{model.id}-{fmt.id}")
            return self._calibrations[said]

    def checkpoint_key(self, model: Model, fmt: Format) -> dict[str, Any]:
        """Everything that can change a quantized tensor."""
        return keys.checkpoint(model, fmt, self.base(model), self.calibration(model, fmt), self.machine)

    def scores_key(self, model: Model, task: Task, checkpoint: Checkpoint, backend: Backend) -> dict[str, Any]:
        """Everything that can change a prompt, a token or a score; not how many items are scored."""
        model = context.serving(model, task)
        key = keys.scores(
            model=model,
            task=task,
            task_files=self.task_files(task).files,
            base=self.base(model),
            served=checkpoint,
            backend=backend,
            machine=self.machine,
        )
        return key | self._place_key(model, checkpoint, backend)

    def _place_key(self, model: Model, checkpoint: Checkpoint, backend: Backend) -> dict[str, Any]:
        """Name the server, or the devices if there are several: sums in another order are other numbers."""
        if backend == "server":
            return {"endpoint": to_builtins(self.endpoint(model, checkpoint.format))}
        return {"tensor_parallel": devices} if (devices := self.devices(model)) > 1 else {}

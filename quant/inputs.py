"""The input of a run: checked once, hashed once, and the keys that follow from it.

Comes in: a `Matrix`, cells. Goes out: checked models and tasks; the keys of checkpoints and scores, which hold
everything that can change them. Every mistake is a `UsageError`, found before an engine starts.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins
from msgspec.structs import replace

from quant import endpoint, environment, given, integrity, memory, models, sources, tasks
from quant.errors import CheckpointError, ModelError, UsageError
from quant.matrix import BASE
from quant.records import SCHEMA, Calibration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from quant.endpoint import Endpoint
    from quant.matrix import Cell, Matrix
    from quant.records import Backend, Checkpoint, Format, Hardware, Model, Shape, Task
    from quant.store import Store

SEED = 0


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
        self._tasks: dict[str, tasks.TaskFiles] = {}

    def check(self, cells: Sequence[Cell], *, pinned: bool = False) -> None:
        """Find every mistake in what `cells` need; raises the first, if it can before anything is fetched.

        `pinned`: what is on the hub must be named by full commits.
        """
        for cell in cells:
            if pinned:
                models.pin(f"model {cell.model.id!r}", cell.model.source, cell.model.revision)
                models.pin(f"format {cell.format.id!r}", cell.format.checkpoint)
            self.task_files(cell.task)
            self.context(cell.model, cell.task)
            if not {BASE.id, cell.format.id} <= self.servers.keys():  # else nothing is served here
                self.devices(cell.model, [each.format for each in cells if each.model.id == cell.model.id])
        for cell in cells:
            self.base(cell.model)
            self.chat_template(cell.model, cell.task)
            self.endpoint(cell.model, BASE.id)
            if self.endpoint(cell.model, cell.format.id):
                continue
            self.calibration(cell.model, cell.format)
            if cell.format.checkpoint:
                self.given(cell.model, cell.format)

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
        with self._lock:
            if model.id not in self._shapes:
                self._shapes[model.id] = model.shape or memory.read(Path(self.base(model).path), f"model {model.id!r}")
            return memory.devices(model, self._shapes[model.id], self.machine, formats)

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
                self._tasks[task.id] = tasks.inspect(task)
            return self._tasks[task.id]

    def context(self, model: Model, task: Task) -> None:
        """Raise `ModelError` if a task makes longer documents than the model is served with."""
        longest = max(task.metadata.get("max_seq_lengths", ()), default=0)
        if longest > model.context_tokens:
            raise ModelError(
                f"model {model.id!r}: task {task.id!r} asks in {longest:,} tokens, but `context_tokens` is"
                f" {model.context_tokens:,}; raise it if the model can take it, or leave the task out"
            )

    def chat_template(self, model: Model, task: Task) -> None:
        """Raise `ModelError` if a task needs a chat template that the model's tokenizer does not have."""
        folder = Path(self.base(model).path)
        if task.chat_template and not integrity.template(folder):
            raise ModelError(
                f"model {model.id!r}: task {task.id!r} says `chat_template = true`, but {folder} has none; add the"
                " model's chat_template.jinja, choose its instruction-tuned version, or leave the task out"
            )

    def calibration(self, model: Model, fmt: Format) -> Calibration | None:
        """Return what calibrates a model in a format: the format's own values before the model's; None: data-free."""
        if fmt.calibration is None:
            return None
        own, advised = fmt.calibration, model.calibration or Calibration()
        found = Calibration(
            texts=own.texts or advised.texts,
            samples=own.samples or advised.samples,
            tokens=own.tokens or advised.tokens,
        )
        if lacks := [name for name in found.__struct_fields__ if not getattr(found, name)]:
            raise UsageError(
                f"{model.id}-{fmt.id}: the format is calibrated, but neither it nor the model says with which"
                f" {', '.join(lacks)}; add `calibration = {{ texts = ..., samples = ..., tokens = ... }}` to the model"
            )
        if self._store and ":" in found.texts:
            return replace(found, texts=str(sources.texts(found.texts, self._store, f"{model.id}-{fmt.id}")))
        if ":" not in found.texts and not Path(found.texts).is_file():
            raise UsageError(f"{model.id}-{fmt.id}: calibration file {found.texts} is missing")
        return found

    def checkpoint_key(self, model: Model, fmt: Format) -> dict[str, Any]:
        """Everything that can change a quantized tensor."""
        found = self.calibration(model, fmt)
        return {
            **self._machine_key(),
            "model": self.base(model).files,
            **self._revision_key(self.base(model)),
            "dtype": model.dtype,
            "recipe": fmt.recipe,
            "choice": [fmt.search, fmt.mixed],
            "calibration": found and [models.sha256(Path(found.texts)), found.samples, found.tokens],
            "seed": SEED,
        }

    def scores_key(self, model: Model, task: Task, checkpoint: Checkpoint, backend: Backend) -> dict[str, Any]:
        """Everything that can change a prompt, a token or a score; not how many items are scored."""
        return {
            **self._machine_key(),
            "checkpoint": checkpoint.files,
            **self._revision_key(self.base(model), checkpoint),
            "task": [task.lm_eval, task.metric, task.filter, task.chat_template],
            "cluster": task.cluster,
            "seed": SEED,
            **{name: value for name in ("shots", "metadata") if (value := getattr(task, name)) not in (None, {})},
            "task_files": self.task_files(task).files,
            "backend": backend,
            "dtype": model.dtype,
            "context_tokens": model.context_tokens,
            "engine": model.engine,
            **self._place_key(model, checkpoint, backend),
        }

    def _place_key(self, model: Model, checkpoint: Checkpoint, backend: Backend) -> dict[str, Any]:
        """Name the server, or the devices if there are several: sums in another order are other numbers."""
        if backend == "server":
            return {"endpoint": to_builtins(self.endpoint(model, checkpoint.format))}
        return {"tensor_parallel": devices} if (devices := self.devices(model)) > 1 else {}

    @staticmethod
    def _revision_key(*parts: Checkpoint) -> dict[str, Any]:
        """Name the commits of what is from the hub; folders have none."""
        found = dict.fromkeys(part.revision for part in parts if part.revision)
        return {"revision": [*found]} if found else {}

    def _machine_key(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "hardware": self.machine.kind,
            "versions": environment.versions(),
            "settings": environment.settings(self.machine.kind),
        }

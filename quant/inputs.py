"""The input of a run: checked once, hashed once, and the keys that follow from it.

Comes in: a `Matrix`, cells. Goes out: checked models and tasks; the keys of checkpoints and scores, which hold
everything that can change them. Every mistake is a `UsageError`, found before an engine starts.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant import environment, integrity, models, tasks
from quant.errors import ModelError, UsageError
from quant.records import SCHEMA, Calibration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quant.matrix import Cell, Matrix
    from quant.records import Backend, Checkpoint, Format, Hardware, Model, Task

SEED = 0


class Inputs:
    """Models, tasks and calibration texts of a matrix, as files on this machine."""

    def __init__(self, matrix: Matrix, machine: Hardware) -> None:
        self.matrix, self.machine = matrix, machine
        self._lock = threading.RLock()
        self._bases: dict[str, Checkpoint] = {}
        self._tasks: dict[str, tasks.TaskFiles] = {}

    def check(self, cells: Iterable[Cell]) -> None:
        """Find every mistake in what `cells` need; raises the first."""
        for cell in cells:
            self.base(cell.model)
            self.task_files(cell.task)
            self.chat_template(cell.model, cell.task)
            self.calibration(cell.model, cell.format)

    def base(self, model: Model) -> Checkpoint:
        """Return the unquantized model's folder."""
        with self._lock:
            if model.id not in self._bases:
                folder = models.locate(model)
                self._bases[model.id] = models.inspect(folder, model=model.id)
            return self._bases[model.id]

    def task_files(self, task: Task) -> tasks.TaskFiles:
        """Return what a task is made of."""
        with self._lock:
            if task.id not in self._tasks:
                self._tasks[task.id] = tasks.inspect(task)
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
        if not Path(found.texts).is_file():
            raise UsageError(f"{model.id}-{fmt.id}: calibration file {found.texts} is missing")
        return found

    def checkpoint_key(self, model: Model, fmt: Format) -> dict[str, Any]:
        """Everything that can change a quantized tensor."""
        found = self.calibration(model, fmt)
        return {
            **self._machine_key(),
            "model": self.base(model).files,
            "dtype": model.dtype,
            "recipe": fmt.recipe,
            "calibration": found and [models.sha256(Path(found.texts)), found.samples, found.tokens],
            "seed": SEED,
        }

    def scores_key(self, model: Model, task: Task, checkpoint: Checkpoint, backend: Backend) -> dict[str, Any]:
        """Everything that can change a prompt, a token or a score; not how many items are scored."""
        return {
            **self._machine_key(),
            "checkpoint": checkpoint.files,
            "task": [task.lm_eval, task.metric, task.filter, task.chat_template],
            "cluster": task.cluster,
            "seed": SEED,
            "task_files": self.task_files(task).files,
            "backend": backend,
            "dtype": model.dtype,
            "context_tokens": model.context_tokens,
            "engine": model.engine,
        }

    def _machine_key(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "hardware": self.machine.kind,
            "versions": environment.versions(),
            "settings": environment.settings(self.machine.kind),
        }

"""The two jobs of the pipeline: look into the store, else ask a stage, then keep the result.

Comes in: `Inputs`, a `Store`, futures to fulfil. Goes out: a `Checkpoint`, or `Scores` task by task. Runs in a worker's
thread; whatever goes wrong goes to the futures, so that the one who waits is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from quant import integrity, models
from quant.errors import StageError, SuiteError
from quant.inputs import SEED
from quant.records import Checkpoint, Scores
from quant.stages.protocol import SCORES, EvaluateRequest, Message, QuantizeRequest, TaskRequest, TaskScores
from quant.store import Busy

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from quant.inputs import Inputs
    from quant.records import Backend, Format, Model, Task
    from quant.store import Store
    from quant.workers import Ask

CHECKPOINT = "checkpoint.json"


class Side(NamedTuple):
    """One half of a comparison: a model in a format behind a backend."""

    model: Model
    format: Format
    backend: Backend


class Context(NamedTuple):
    """What every job needs: where inputs come from, where results go, who hears of progress."""

    inputs: Inputs
    store: Store
    hear: Callable[[Message], None]

    def explain(self, kind: str, label: str, key: dict[str, Any]) -> None:
        """Tell why something is computed that an earlier run has computed already."""
        if changed := self.store.explain(kind, label, key):
            self.hear(Message(event="progress", label=f"{label}: computed anew, since {changed}"))


def fail(future: Future[Any], error: BaseException) -> None:
    """Hand an error to whoever waits; what is not the suite's own becomes a `StageError`."""
    if not future.done():
        future.set_exception(error if isinstance(error, SuiteError) else StageError(f"{type(error).__name__}: {error}"))


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
        found = self.context.inputs.calibration(self.format)
        request = QuantizeRequest(
            label=self._label,
            model=self.context.inputs.base(self.model).path,
            output=str(space / "model"),
            dtype=self.model.dtype,
            recipe=self.format.recipe,
            calibration_file=str(found[1]) if found else "",
            samples=found[0].samples if found else 0,
            tokens=found[0].tokens if found else 0,
            seed=SEED,
        )
        seconds = ask(request, self.context.hear)
        made = models.inspect(space / "model", model=self.model.id, fmt=self.format.id)
        integrity.check(self.context.inputs.base(self.model), made, self.format)
        (space / CHECKPOINT).write_bytes(
            msgspec.json.encode(msgspec.structs.replace(made, path="model", seconds=seconds))
        )


class Evaluation:
    """Score tasks of one checkpoint with one engine start, except those that the store has."""

    def __init__(
        self, context: Context, side: Side, checkpoint: Checkpoint, wanted: dict[str, tuple[Task, Future[Scores]]]
    ) -> None:
        self.context, self.side, self.checkpoint, self.wanted = context, side, checkpoint, wanted
        inputs = context.inputs
        self.keys = {
            name: inputs.scores_key(side.model, task, checkpoint, side.backend) for name, (task, _) in wanted.items()
        }

    def run(self, ask: Ask) -> None:
        """Fulfil every task's future; a crash costs the task in hand, the rest goes on in a new process.

        Raises `Busy` while another session evaluates one of them.
        """
        try:
            with self.context.store.locked(*(("scores", key) for key in self.keys.values())):
                for name in self.wanted:
                    if folder := self.context.store.find("scores", self.keys[name]):
                        self._fulfil(name, folder)
                if self._todo():
                    integrity.check(self.context.inputs.base(self.side.model), self.checkpoint, self.side.format)
                while self._todo():
                    self._evaluate(ask)
        except Busy:
            raise
        except Exception as error:  # noqa: BLE001 - belongs to whoever waits
            for _, future in self.wanted.values():
                fail(future, error)

    def _todo(self) -> list[Task]:
        return [task for task, future in self.wanted.values() if not future.done()]

    def _evaluate(self, ask: Ask) -> None:
        begun = ""

        def hear(message: Message) -> None:
            nonlocal begun
            begun = message.name or begun
            self.context.hear(message)
            if message.event == "result":
                key, payload = self.keys[message.name], space / message.name
                self._fulfil(message.name, self.context.store.commit("scores", message.label, key, payload))

        for task in self._todo():
            self.context.explain("scores", f"{self._label}-{task.id}", self.keys[task.id])
        with self.context.store.workspace() as space:
            try:
                ask(self._request(space), hear)
            except StageError as error:
                # Nothing begun: the engine did not start, and would not for the other tasks either.
                for task in self._todo():
                    if begun in ("", task.id):
                        fail(self.wanted[task.id][1], error)

    def _request(self, space: Path) -> EvaluateRequest:
        model, _, backend = self.side
        return EvaluateRequest(
            label=self._label,
            checkpoint=self.checkpoint.path,
            output=str(space),
            backend=backend,
            dtype=model.dtype,
            context_tokens=model.context_tokens,
            engine=model.engine,
            tasks=tuple(self._task_request(task) for task in self._todo()),
        )

    @property
    def _label(self) -> str:
        return f"{self.side.model.id}-{self.side.format.id}"

    def _task_request(self, task: Task) -> TaskRequest:
        return TaskRequest(
            id=task.id,
            lm_eval=task.lm_eval,
            include=self.context.inputs.include(task),
            metric=task.metric,
            filter=task.filter,
            chat_template=task.chat_template,
            items=task.items,
            seed=SEED,
        )

    def _fulfil(self, name: str, folder: Path) -> None:
        task, future = self.wanted[name]
        part = msgspec.json.decode((folder / SCORES).read_bytes(), type=TaskScores)
        scores = Scores(
            model=self.side.model.id,
            format=self.side.format.id,
            task=name,
            metric=task.metric,
            filter=task.filter,
            backend=self.side.backend,
            record=folder.name,
            **msgspec.structs.asdict(part),
        )
        future.set_result(scores)

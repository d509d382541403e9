"""The job that scores a checkpoint: look into the store, else ask the evaluate stage for the items that are not there.

Comes in: `Inputs`, a `Store`, futures to fulfil. Goes out: `Scores`, task by task. Runs in a worker's thread; whatever
goes wrong goes to the futures, so that the one who waits is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from quant.errors import StageError
from quant.inputs import integrity, resources
from quant.inputs.keys import SEED
from quant.jobs import fail
from quant.scores import Scores, head, planned
from quant.series import KIND, find
from quant.stages.protocol import EvaluateRequest, TaskRequest
from quant.store import Busy, key_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from quant.inputs.endpoint import Endpoint
    from quant.jobs import Context, Side
    from quant.records import Checkpoint, Task
    from quant.stages.protocol import Message, TaskScores
    from quant.workers import Ask


class Wanted(NamedTuple):
    """The first `share` of a task's items, and who waits for them."""

    task: Task
    share: float
    future: Future[Scores]


class Evaluation:
    """Score tasks of one checkpoint with one engine start, except the items that the store has."""

    def __init__(self, context: Context, side: Side, checkpoint: Checkpoint, wanted: Sequence[Wanted]) -> None:
        self.context, self.side, self.checkpoint = context, side, checkpoint
        self.wanted = {want.task.id: want for want in wanted}
        self.series = {want.task.id: find(context, side, want.task, checkpoint) for want in wanted}
        self.there: dict[str, TaskScores | None] = {}

    def run(self, ask: Ask) -> None:
        """Fulfil every task's future; a crash costs the task in hand, the rest goes on in a new process.

        Raises `Busy` while another session evaluates one of them.
        """
        try:
            with self.context.store.locked(*((KIND, series.key) for series in self.series.values())):
                if not self.stored():
                    if self.side.backend != "server":
                        integrity.check(self.context.inputs.base(self.side.model), self.checkpoint, self.side.format)
                    while self._todo():
                        self._evaluate(self._todo(), ask)
                    self._run_ahead(ask)
        except Busy:
            raise
        except Exception as error:  # noqa: BLE001 - belongs to whoever waits
            for want in self.wanted.values():
                fail(want.future, error)

    def stored(self) -> bool:
        """Fulfil what the store has; say whether that is all."""
        for name, series in self.series.items():
            self.there[name] = series.read()
            self._fulfil(name)
        return not self._todo()

    def _todo(self) -> list[Wanted]:
        return [want for want in self.wanted.values() if not want.future.done()]

    def _run_ahead(self, ask: Ask) -> None:
        """Score all that is left of these tasks while the engine is up, where starting it again would cost more."""
        there = [(want, part) for want in self.wanted.values() if (part := self.there[want.task.id])]
        short = [(w, part) for w, part in there if len(part.items) < planned(w.task.items, part.documents)]
        seconds = sum(part.seconds * (planned(w.task.items, part.documents) / len(part.items) - 1) for w, part in short)
        if short and seconds < max(part.load_seconds for _, part in short):
            self._evaluate([want._replace(share=1.0) for want, _ in short], ask)

    def _evaluate(self, wanted: Sequence[Wanted], ask: Ask) -> None:
        begun = ""

        def hear(message: Message) -> None:
            nonlocal begun
            begun = message.name or begun
            self.context.hear(message)
            if message.event == "result":
                self.there[message.name] = self.series[message.name].append(space / message.name)
                self._fulfil(message.name)

        for want in wanted if self.side.backend != "server" else ():  # nobody expects its scores to be there
            series = self.series[want.task.id]
            self.context.explain(KIND, series.label, series.key)
        with self.context.store.workspace() as space:
            try:
                ask(self._request(wanted, space), hear)
            except StageError as error:
                # Nothing begun: the engine did not start, and would not for the other tasks either.
                for want in wanted:
                    if begun in ("", want.task.id):
                        fail(want.future, error)

    def _request(self, wanted: Sequence[Wanted], space: Path) -> EvaluateRequest:
        model = self.side.model
        return EvaluateRequest(
            label=self.side.label,
            checkpoint=self.checkpoint.path,
            output=str(space),
            backend=self.side.backend,
            dtype=model.dtype,
            context_tokens=model.context_tokens,
            engine=model.engine,
            tasks=tuple(self._task_request(want.task, want.share) for want in wanted),
            repeat=self.side.repeat,
            endpoint=self._endpoint(),
            tensor_parallel=1 if self.side.backend == "server" else self.context.inputs.devices(model),
        )

    def _endpoint(self) -> Endpoint | None:
        side = self.side
        return self.context.inputs.endpoint(side.model, side.format.id) if side.backend == "server" else None

    def _task_request(self, task: Task, share: float) -> TaskRequest:
        there = self.there[task.id]
        return TaskRequest.of(
            task,
            seed=SEED,
            start=len(there.items) if there else 0,
            share=share,
            web={url: str(file) for url, file in resources.web(task, self.context.store).items()},
            chance=self.context.inputs.task_files(task).chance,
        )

    def _fulfil(self, name: str) -> None:
        """Hand out the items wanted, if all of them are there."""
        want, part = self.wanted[name], self.there[name]
        if part is None or want.future.done():
            return
        count = planned(want.task.items, part.documents)
        items = part.items[: head(count, want.share)]
        if len(items) < head(count, want.share):
            return
        scores = Scores(
            model=self.side.model.id,
            format=self.side.format.id,
            task=name,
            metric=want.task.metric,
            filter=want.task.filter,
            backend=self.side.backend,
            items=items,
            planned=count,
            seconds=part.seconds * len(items) / len(part.items),
            load_seconds=part.load_seconds,
            started=part.started,
            engine=part.engine,
            record=key_of(self.series[name].key),
        )
        want.future.set_result(scores)

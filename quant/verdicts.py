"""Verdicts of one model x format: items are scored look by look, until what each claim is for is settled.

Comes in: a `Pipeline`, the cells of one model x format, a `Gate`. Goes out: a `Verdict` for each cell and one for their
average, as futures. Each claim stops by its own items: its numbers are the same whatever else is selected. The base is
scored only as far as an open claim of any format needs it.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import cached_property
from typing import TYPE_CHECKING

from quant.errors import SuiteError
from quant.jobs import Side, fail
from quant.judge.pairs import Pair
from quant.judge.recovery import judge_average, judge_task, settled
from quant.matrix import BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from quant.claims import Gate, Verdict
    from quant.matrix import Cell
    from quant.pipeline import Pipeline
    from quant.records import Task
    from quant.scores import Scores

Evidence = dict[str, Pair | SuiteError]  # by task


class Verdicts:
    """What is proven about one model x format: a claim for each of `tasks`, and with `average` one for all `cells`.

    `repeats` asks for that many further runs of the base.
    """

    def __init__(  # noqa: PLR0913 - keyword-only: which claims
        self,
        pipeline: Pipeline,
        cells: Sequence[Cell],
        gate: Gate,
        *,
        tasks: Container[str] = (),
        average: bool = False,
        repeats: int = 0,
    ) -> None:
        self.pipeline, self.gate, self._repeats = pipeline, gate, repeats
        first = cells[0]
        self._begun = False
        self._tasks = {cell.task.id: cell.task for cell in cells}
        self._base = Side(first.model, BASE, pipeline.backend_for(first.format, BASE))
        self._side = Side(first.model, first.format, pipeline.backend_for(first.format))
        self._rival: Side | None = None
        if average and gate.competitor:
            self._rival = self._side._replace(format=pipeline.inputs.matrix.pick("formats", gate.competitor))
        self.tasks: dict[str, Future[Verdict]] = {name: Future() for name in self._tasks if name in tasks}
        self.average: Future[Verdict] | None = Future() if average else None

    def start(self) -> None:
        """Begin, unless it has begun; results come as they are proven."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            for look in range(1, len(self.gate.shares) + 1):
                if self._open:
                    self._judge(look, self._evidence(self.gate.shares[look - 1]))
        except Exception as error:  # noqa: BLE001 - belongs to whoever waits
            for claim in (*self.tasks.values(), *([self.average] if self.average else [])):
                fail(claim, error)

    @property
    def _open(self) -> list[Task]:
        """Tasks of which an open claim needs more items."""
        if self.average and not self.average.done():
            return list(self._tasks.values())
        return [self._tasks[name] for name, claim in self.tasks.items() if not claim.done()]

    def _evidence(self, share: float) -> Evidence:
        """Wait for this share of the items of every open task, on all sides."""
        tasks = self._open
        scores = [self.pipeline.scores(side, tasks, share=share) for side in (self._base, self._side)]
        if self._rival and self.average and not self.average.done():
            self.pipeline.scores(self._rival, tasks, share=share)  # begun now, awaited where it is judged
        found: Evidence = {}
        for number, task in enumerate(tasks):
            try:
                base, quantized = (futures[number].result() for futures in scores)
                runs = tuple(run.result() for run in self._runs[task.id])
                found[task.id] = Pair(base, quantized, None, runs)
            except SuiteError as error:
                found[task.id] = error
        return found

    @cached_property
    def _runs(self) -> dict[str, list[Future[Scores]]]:
        """Further runs of the base by task; asked for once, after the first look at both sides has begun."""
        return self.pipeline.repeats(self._base, list(self._tasks.values()), self._repeats)

    def _judge(self, look: int, evidence: Evidence) -> None:
        """Settle what this look proves; an error settles every claim that it takes its evidence from."""
        for name, claim in self.tasks.items():
            if not claim.done():
                _settle(claim, [evidence[name]], lambda pairs: judge_task(pairs[0], self.gate, look))
        if self.average and not self.average.done():
            _settle(self.average, list(evidence.values()), lambda pairs: self._judge_average(pairs, look))

    def _judge_average(self, pairs: Sequence[Pair], look: int) -> Verdict:
        """Judge all tasks together; what goes wrong with a competitor is the average's trouble alone."""
        if self._rival:
            share = self.gate.shares[look - 1]
            rivals = self.pipeline.scores(self._rival, self._tasks.values(), share=share)
            pairs = [pair._replace(rival=rival.result()) for pair, rival in zip(pairs, rivals, strict=True)]
        return judge_average(pairs, self.gate, look)


def _settle(
    claim: Future[Verdict], evidence: Sequence[Pair | SuiteError], judge: Callable[[list[Pair]], Verdict]
) -> None:
    if broken := next((error for error in evidence if isinstance(error, SuiteError)), None):
        fail(claim, broken)
        return
    try:
        verdict = judge([pair for pair in evidence if isinstance(pair, Pair)])
    except Exception as error:  # noqa: BLE001 - belongs to whoever waits for this claim
        fail(claim, error)
    else:
        if settled(verdict):
            claim.set_result(verdict)

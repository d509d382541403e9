"""Workers: one thread a device, each with at most one process a stage; they take jobs from one queue.

Comes in: jobs. Goes out: whatever a job does with the `Ask` it is given. A worker keeps its processes for further jobs
on a CPU (imports cost 20 s), and for jobs of one engine on a GPU, where a process must end for its memory to be free.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from quant.environment import child_environment
from quant.errors import StageError
from quant.stages.process import StageProcess
from quant.store import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from quant.matrix import StageRule
    from quant.records import Record
    from quant.stages.protocol import Message


BUSY_SECONDS = 0.2
LINGER_SECONDS = 1.5  # a start costs 2 s and more; judging a look of nine tasks takes half a second


class Ask(Protocol):
    """Send a request to the job's stage, hear its messages, return its seconds; starts the process when first used."""

    def __call__(self, request: Record, hear: Callable[[Message], None]) -> float:
        """Return the seconds that the child needed."""
        ...


class Job(NamedTuple):
    """Work for one stage. `run` finds out itself whether a process is needed at all, and handles its own errors.

    Jobs of one `engine` can share what the stage has loaded. One that runs `alone` waits until no other worker is busy,
    and then keeps them waiting: what it measures is the machine.
    """

    stage: str
    run: Callable[[Ask], None]
    engine: str = ""
    alone: bool = False


class Workers:
    """A pool of worker threads, one for each name in `devices` ("" for a CPU core, else a CUDA device)."""

    def __init__(self, devices: Sequence[str], *, kind: str, logs: Path, rules: dict[str, StageRule]) -> None:
        self._kind, self._logs, self._rules = kind, logs, rules
        self._jobs: list[Job] = []
        self._live: dict[tuple[int, str], StageProcess] = {}
        self._engines: dict[int, str] = {}
        self._busy: dict[int, Job] = {}
        self._changed = threading.Condition()
        self._closed = False
        self.starts: Counter[str] = Counter()
        for number, device in enumerate(devices):
            threading.Thread(target=self._work, args=(number, device), daemon=True).start()

    def submit(self, job: Job) -> None:
        """Queue a job; it must be ready to run."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def close(self) -> None:
        """Drop what is queued and kill every process tree."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            live = list(self._live.values())
            self._changed.notify_all()
        for process in live:
            process.close()

    def _work(self, number: int, device: str) -> None:
        def ask(stage: str, request: Record, hear: Callable[[Message], None]) -> float:
            process = self._process(number, device, stage)
            return process.ask(request, hear, self._rules[stage].timeout_seconds)

        while (job := self._take(number, device)) is not None:
            try:
                job.run(partial(ask, job.stage))
            except Busy:
                self._put_back(job)
            finally:
                self._rest(number)

    def _take(self, number: int, device: str) -> Job | None:
        """Wait for a job, and end the processes that would be in its way on this device."""
        job = self._choose(number)
        if job and device and self._engines.get(number, job.engine) != job.engine:
            for stage in [stage for owner, stage in self._live if owner == number]:
                self._release(number, stage)
        if job:
            self._engines[number] = job.engine
        return job

    def _choose(self, number: int) -> Job | None:
        """Choose a job: first for the engine that is up here, then for none that is up elsewhere.

        Then for a stage that this worker has a process for, and for the one that fewest others serve. The engine that
        is up waits a moment for more work before it makes room: whoever judges its results may want more of it.
        """
        with self._changed:
            live = any(owner == number for owner, _ in self._live)
            up, deadline = self._engines.get(number) if live else None, time.monotonic() + LINGER_SECONDS
            while not self._closed and not any(job.engine == up for job in self._ready(number)):
                left, ready = deadline - time.monotonic(), self._ready(number)
                if ready and (left <= 0 or not up):
                    break
                self._changed.wait(left if ready else None)
            if self._closed:
                return None
            others = Counter(job.stage for job in self._busy.values())
            elsewhere = {engine for owner, engine in self._engines.items() if owner != number}
            choice = min(
                self._ready(number),
                key=lambda job: (
                    job.engine != up,
                    job.engine in elsewhere,
                    (number, job.stage) not in self._live,
                    others[job.stage],
                ),
            )
            self._jobs.remove(choice)
            self._busy[number] = choice
            return choice

    def _rest(self, number: int) -> None:
        with self._changed:
            self._busy.pop(number, None)
            self._changed.notify_all()

    def _ready(self, number: int) -> list[Job]:
        """Return the jobs that this worker may run now; what runs alone goes where its stage's process is up."""
        if any(job.alone for job in self._busy.values()):
            return []
        elsewhere = {stage for owner, stage in self._live if owner != number}
        return [job for job in self._jobs if not job.alone or not (self._busy or job.stage in elsewhere)]

    def _put_back(self, job: Job) -> None:
        """Queue a job whose entry another session is making, and wait a moment before anybody takes it again."""
        with self._changed:
            self._changed.wait(BUSY_SECONDS)
            self._jobs.append(job)
            self._changed.notify_all()

    def _process(self, number: int, device: str, stage: str) -> StageProcess:
        if (number, stage) in self._live and not self._live[number, stage].alive:
            self._release(number, stage)
        if (number, stage) not in self._live:
            log = self._logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{stage}-{os.getpid()}-{number}.log"
            environment = child_environment(self._kind) | ({"CUDA_VISIBLE_DEVICES": device} if device else {})
            with self._changed:
                if self._closed:
                    raise StageError(f"{stage}: the run was stopped")
                self._live[number, stage] = StageProcess(stage, environment, log, self._rules[stage].python)
                self.starts[stage] += 1
        return self._live[number, stage]

    def _release(self, number: int, stage: str) -> None:
        with self._changed:
            process = self._live.pop((number, stage), None)
        if process:
            process.close()

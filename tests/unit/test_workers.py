"""Workers try a busy job again, do other work meanwhile, and end when they are told."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest

from quant.matrix import StageRule
from quant.store import Busy
from quant.workers import Job, Workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from quant.workers import Ask


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """One worker."""
    made = Workers([""], kind="cpu-avx2", logs=tmp_path, rules={"evaluate": StageRule()})
    yield made
    made.close()


def test_a_busy_job_is_tried_again_after_other_work(workers: Workers) -> None:
    tried: list[str] = []
    finished = threading.Event()

    def busy_once(_ask: Ask) -> None:
        tried.append("busy")
        if tried.count("busy") == 1:
            raise Busy
        finished.set()

    workers.submit(Job("evaluate", busy_once))
    workers.submit(Job("evaluate", lambda _ask: tried.append("other")))
    assert finished.wait(10)
    assert tried == ["busy", "other", "busy"]


def test_work_that_the_store_has_starts_no_process(workers: Workers) -> None:
    finished = threading.Event()
    workers.submit(Job("evaluate", lambda _ask: finished.set()))
    assert finished.wait(10)
    assert workers.starts == {}


class Held(NamedTuple):
    """A job that has begun and goes on until it is released."""

    release: threading.Event

    @classmethod
    def begin(cls, workers: Workers, stage: str, *, alone: bool = False) -> Held:
        started, release = threading.Event(), threading.Event()

        def hold(_ask: Ask) -> None:
            started.set()
            release.wait(10)

        workers.submit(Job(stage, hold, alone=alone))
        started.wait(10)
        return cls(release)


def test_queued_work_is_dropped_when_the_run_ends(workers: Workers) -> None:
    held, ran = Held.begin(workers, "evaluate"), threading.Event()
    workers.submit(Job("evaluate", lambda _ask: ran.set()))
    workers.close()
    held.release.set()
    assert not ran.wait(0.5)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Workers]:
    """Two workers."""
    made = Workers(["", ""], kind="cpu-avx2", logs=tmp_path, rules={"benchmark": StageRule(), "evaluate": StageRule()})
    yield made
    made.close()


@pytest.mark.parametrize("first_alone", [True, False])
def test_what_runs_alone_runs_beside_nothing(pair: Workers, *, first_alone: bool) -> None:
    held, ran = Held.begin(pair, "evaluate", alone=first_alone), threading.Event()
    pair.submit(Job("benchmark", lambda _ask: ran.set(), alone=not first_alone))

    early = ran.wait(0.5)
    held.release.set()
    assert (early, ran.wait(10)) == (False, True)

"""Workers try a busy job again, do other work meanwhile, and end when they are told."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

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


def test_queued_work_is_dropped_when_the_run_ends(workers: Workers) -> None:
    started, release, ran = threading.Event(), threading.Event(), threading.Event()

    def hold(_ask: Ask) -> None:
        started.set()
        release.wait(10)

    workers.submit(Job("evaluate", hold))
    started.wait(10)
    workers.submit(Job("evaluate", lambda _ask: ran.set()))
    workers.close()
    release.set()
    assert not ran.wait(0.5)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Workers]:
    """Two workers."""
    made = Workers(["", ""], kind="cpu-avx2", logs=tmp_path, rules={"benchmark": StageRule(), "evaluate": StageRule()})
    yield made
    made.close()


def test_what_runs_alone_waits_for_other_work_to_end(pair: Workers) -> None:
    started, release, ran = threading.Event(), threading.Event(), threading.Event()

    def hold(_ask: Ask) -> None:
        started.set()
        release.wait(10)

    pair.submit(Job("evaluate", hold))
    started.wait(10)
    pair.submit(Job("benchmark", lambda _ask: ran.set(), alone=True))

    early = ran.wait(0.5)
    release.set()
    assert (early, ran.wait(10)) == (False, True)


def test_nothing_starts_beside_what_runs_alone(pair: Workers) -> None:
    started, release, ran = threading.Event(), threading.Event(), threading.Event()

    def hold(_ask: Ask) -> None:
        started.set()
        release.wait(10)

    pair.submit(Job("benchmark", hold, alone=True))
    started.wait(10)
    pair.submit(Job("evaluate", lambda _ask: ran.set()))

    early = ran.wait(0.5)
    release.set()
    assert (early, ran.wait(10)) == (False, True)

"""An engine that is killed costs the task in hand; what was done is kept and the rest goes on in a new process."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from quant import reading
from quant.environment import current
from quant.errors import StageError
from quant.jobs import Side
from quant.matrix import BASE
from quant.pipeline import Pipeline
from quant.store import Store

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from quant.scores import Scores
    from quant.stages.protocol import Message


@pytest.mark.timeout(600)
def test_a_killed_engine_costs_one_task(world: Path, tmp_path: Path) -> None:
    declared = reading.load(world / "matrix.toml")

    def kill_at_facts(message: Message) -> None:
        if message.name == "facts":
            for process in pipeline.workers._live.values():
                os.killpg(process._child.pid, signal.SIGKILL)

    store, machine = Store(tmp_path), current().hardware
    pipeline = Pipeline(declared, store, machine=machine, devices=[""], backend="hf", hear=kill_at_facts)
    found = pipeline.scores(Side(declared.models["ref-4m"], BASE, "hf"), declared.suite_tasks("reference"))
    assert [outcome(future) for future in found] == [40, "killed", 40]
    pipeline.close()


def outcome(future: Future[Scores]) -> int | str:
    """Return how many items were scored, or that the process was killed on the way."""
    try:
        return len(future.result(500).items)
    except StageError as error:
        return "killed" if "ended with code -9" in str(error) else str(error)

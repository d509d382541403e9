"""What was asked for already is not asked for again, and nothing else is taken for it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.jobs import Side
from quant.matrix import BASE
from quant.pipeline import Pipeline
from quant.records import Checkpoint, Hardware
from quant.store import Store

if TYPE_CHECKING:
    from pathlib import Path

CPU = Hardware(kind="cpu-generic", name="test", devices=1, capabilities=frozenset())


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """A pipeline without a worker: what it is asked for stays waiting."""
    return Pipeline(reading.load(DEFAULT_MATRIX), Store(tmp_path), machine=CPU, devices=[])


@pytest.mark.parametrize(("items", "same"), [(50, True), (100, False)])
def test_scores_are_those_of_the_number_of_items_asked_for(pipeline: Pipeline, items: int, same: bool) -> None:  # noqa: FBT001
    side = Side(pipeline.inputs.matrix.models["ref-4m"], BASE, "hf")
    task = pipeline.inputs.matrix.tasks["facts"]
    made: Future[Checkpoint] = Future()
    fifty, other = (pipeline.scores(side, [structs.replace(task, items=count)], made)[0] for count in (50, items))
    assert (fifty is other) == same

"""What was asked for already is not asked for again, and nothing else is taken for it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import ModelError
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


@pytest.fixture
def side(pipeline: Pipeline) -> Side:
    """The smallest model, had it a longer context."""
    return Side(structs.replace(pipeline.inputs.matrix.models["ref-4m"], longest_context_tokens=8192), BASE, "hf")


def test_tasks_of_long_documents_have_an_engine_of_their_own(pipeline: Pipeline, side: Side) -> None:
    facts = pipeline.inputs.matrix.tasks["facts"]
    long = structs.replace(facts, id="long", metadata={"max_seq_lengths": [4096]})
    pipeline.scores(side, [facts, long, structs.replace(facts, id="more")])
    assert [job.engine for job in pipeline.workers._jobs] == ["ref-4m-bf16 hf 512", "ref-4m-bf16 hf 8192"]


def test_whoever_waits_for_what_no_context_holds_is_told(pipeline: Pipeline, side: Side) -> None:
    long = structs.replace(pipeline.inputs.matrix.tasks["facts"], id="long", metadata={"max_seq_lengths": [8192]})
    with pytest.raises(ModelError, match="longest_context_tokens"):
        pipeline.scores(side, [long])[0].result(timeout=0)


def test_the_key_of_a_score_has_the_context_that_serves_it(pipeline: Pipeline, side: Side) -> None:
    task = structs.replace(pipeline.inputs.matrix.tasks["facts"], metadata={"max_seq_lengths": [4096]})
    key = pipeline.inputs.scores_key(side.model, task, pipeline.inputs.base(side.model), "hf")
    assert key["context_tokens"] == 8192

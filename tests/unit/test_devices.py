"""A large model is served by several devices at once: they are grouped, and xdist workers share the groups."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from fixtures.devices import share, together
from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import UsageError
from quant.inputs.run import Inputs
from quant.matrix import BASE, Cell
from quant.records import Hardware, Shape

MATRIX = reading.load(DEFAULT_MATRIX)
SMALL = MATRIX.models["ref-0.6m"]
# 1.25 MB of weights and 1.5 KB of cache for each of 4 x 512 tokens are 4.4 MB: more than 90 % of 4 MB, less than of 8.
FOUR = Hardware(kind="some-gpu", name="GPU", devices=4, capabilities=frozenset(), memory_bytes=4_000_000)
CELL = Cell(model=SMALL, format=BASE, task=MATRIX.tasks["facts"])
ALL: Any = SimpleNamespace()


def worker(number: int, count: int) -> Any:
    return SimpleNamespace(workerinput={"workerid": f"gw{number}", "workercount": count})


def test_each_device_is_a_worker_of_its_own() -> None:
    assert share(ALL, FOUR) == ["0", "1", "2", "3"]


def test_two_together_are_named_together() -> None:
    assert share(ALL, FOUR, 2) == ["0,1", "2,3"]


def test_an_xdist_worker_has_its_share_of_the_groups() -> None:
    assert share(worker(1, 2), FOUR, 2) == ["2,3"]


def test_more_xdist_workers_than_groups_are_refused() -> None:
    with pytest.raises(UsageError, match=r"pytest -n 3: .*found 2 of 2 devices; lower -n"):
        share(worker(0, 3), FOUR, 2)


def test_as_many_are_together_as_the_largest_model_needs() -> None:
    tiny = replace(SMALL, id="tiny", shape=Shape(parameters=1, linear=1, layers=1, kv_heads=1, head_dim=1))
    assert together(Inputs(MATRIX, FOUR), [replace(CELL, model=tiny), CELL], pinned=True) == 2


def test_a_model_on_one_device_has_the_key_that_it_always_had() -> None:
    inputs = Inputs(MATRIX, replace(FOUR, memory_bytes=8_000_000))
    assert "tensor_parallel" not in inputs.scores_key(SMALL, CELL.task, inputs.base(SMALL), "vllm")


def test_a_model_on_two_devices_has_a_key_of_its_own() -> None:
    inputs = Inputs(MATRIX, FOUR)
    assert inputs.scores_key(SMALL, CELL.task, inputs.base(SMALL), "vllm")["tensor_parallel"] == 2


def test_a_server_is_asked_on_no_device() -> None:
    inputs = Inputs(MATRIX, replace(FOUR, memory_bytes=1))
    assert "tensor_parallel" not in inputs.scores_key(SMALL, CELL.task, inputs.base(SMALL), "server")

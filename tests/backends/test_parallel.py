"""Two devices that share a model by tensor parallelism score it as one device does. Really served; needs two GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from fixtures.options import SETTINGS
from quant.environment import current
from quant.jobs import Side
from quant.matrix import BASE
from quant.pipeline import Pipeline
from quant.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from quant.matrix import Matrix
    from quant.scores import Scores

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.xdist_group("tensor-parallel"),
    pytest.mark.skipif(
        current().hardware.kind.startswith("cpu") or current().hardware.devices < 2, reason="needs two GPUs"
    ),
]
ITEMS = 400
MOVED = 0.02  # of the items: sums over two devices are rounded in another order


@pytest.fixture(scope="module")
def score(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Scores]:
    """Score `arithmetic`, whose items are the closest calls, on devices such as "0,1"."""
    declared: Matrix = pytestconfig.stash[SETTINGS].matrix
    store: Path = tmp_path_factory.mktemp("store")
    task = replace(declared.tasks["arithmetic"], items=ITEMS)

    def scored(name: str, devices: str) -> Scores:
        machine = current().hardware
        parallel = len(devices.split(","))
        model = replace(declared.models["ref-4m"], tensor_parallel=parallel, engine={"enforce_eager": True})
        fmt = BASE if name == BASE.id else declared.formats[name]
        pipeline = Pipeline(declared, Store(store), machine=machine, devices=[devices])
        try:
            return pipeline.scores(Side(model, fmt, pipeline.backend_for(fmt)), [task])[0].result()
        finally:
            pipeline.close()

    return scored


@pytest.mark.parametrize("name", [BASE.id, "fp8-dynamic", "int8-w8a8", "int4-w4a16"])
def test_two_devices_score_as_one(score: Callable[[str, str], Scores], name: str) -> None:
    one, two = score(name, "0"), score(name, "0,1")
    assert two.engine["tensor_parallel"] == 2
    assert [item.doc_hash for item in one.items] == [item.doc_hash for item in two.items]
    moved = sum(left.score != right.score for left, right in zip(one.items, two.items, strict=True))
    assert moved <= MOVED * ITEMS

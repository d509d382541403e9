"""The gate fails a sabotaged checkpoint and passes an unharmed one. Real checkpoints, really served."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

import pytest
from msgspec import structs

from fixtures.options import SETTINGS
from quant import models
from quant.jobs import Side
from quant.judge.recovery import Pair, judge_average
from quant.matrix import BASE
from quant.report.terminal import sentence

if TYPE_CHECKING:
    from pathlib import Path

    from quant.matrix import Matrix
    from quant.pipeline import Pipeline
    from quant.records import Checkpoint, Verdict

FORMAT = "int8-w8a8"
HARMED_LAYER = "model.layers.2."


class Checkpoints(NamedTuple):
    """Two checkpoints that are not of the pipeline's own making."""

    harmed: Path
    again: Path


@pytest.fixture(scope="module")
def checkpoints(pipeline: Pipeline, declared: Matrix, tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    """Make a quantized model with one layer's scales off by half, and a copy of the base to be really served again."""
    from safetensors.torch import load_file, save_file

    folder, model = tmp_path_factory.mktemp("checkpoints"), declared.models["ref-4m"]
    good = pipeline.checkpoint(model, declared.formats[FORMAT]).result()
    made = Checkpoints(folder / "harmed", folder / "again")
    shutil.copytree(good.path, made.harmed)
    tensors = load_file(made.harmed / "model.safetensors")
    for name in tensors:
        if name.startswith(HARMED_LAYER) and name.endswith("weight_scale"):
            tensors[name] *= 1.5
    save_file(tensors, made.harmed / "model.safetensors", metadata={"format": "pt"})
    shutil.copytree(pipeline.inputs.base(model).path, made.again)
    with (made.again / "config.json").open("a") as config:
        config.write("\n")  # another hash, so that the store does not have it
    return made


@pytest.fixture(scope="module")
def declared(pytestconfig: pytest.Config) -> Matrix:
    """Return the matrix of this run."""
    return pytestconfig.stash[SETTINGS].matrix


@pytest.fixture(scope="module")
def verdicts(pipeline: Pipeline, declared: Matrix, checkpoints: Checkpoints) -> dict[str, Verdict]:
    """Gate both on all items of the reference suite; they are served side by side."""
    model, tasks = declared.models["ref-4m"], declared.suite_tasks("reference")
    served = pipeline.backend_for(declared.formats[FORMAT])
    base = pipeline.scores(Side(model, BASE, served), tasks)
    found = {}
    for folder, fmt in zip(checkpoints, (declared.formats[FORMAT], BASE), strict=True):
        made: Future[Checkpoint] = Future()
        made.set_result(models.inspect(folder, model=model.id, fmt=folder.name))
        found[folder.name] = pipeline.scores(Side(model, structs.replace(fmt, id=folder.name), served), tasks, made)
    pairs = {
        name: [Pair(left.result(), right.result()) for left, right in zip(base, scores, strict=True)]
        for name, scores in found.items()
    }
    return {"harmed": judge_average(pairs["harmed"], 0.97), "again": judge_average(pairs["again"], 0.99)}


@pytest.mark.timeout(0)
def test_one_layers_scales_off_by_half_fail_the_gate(verdicts: dict[str, Verdict]) -> None:
    assert verdicts["harmed"].status == "FAIL", sentence(verdicts["harmed"])


@pytest.mark.timeout(0)
def test_the_base_served_again_recovers_everything(verdicts: dict[str, Verdict]) -> None:
    assert (verdicts["again"].status, verdicts["again"].recovery) == ("PASS", 1.0), sentence(verdicts["again"])

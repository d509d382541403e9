"""The gate fails a sabotaged checkpoint and passes an unharmed one. Real checkpoints, really served."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from fixtures.options import SETTINGS
from quant import models
from quant.jobs import Side
from quant.judge.recovery import Pair, judge_average
from quant.matrix import BASE
from quant.report.terminal import sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from quant.pipeline import Pipeline
    from quant.records import Checkpoint, Format, Model, Verdict

FORMAT = "int8-w8a8"
HARMED_LAYER = "model.layers.2.mlp.down_proj.weight_scale"


@pytest.fixture
def model(pytestconfig: pytest.Config) -> Model:
    """The reference model."""
    return pytestconfig.stash[SETTINGS].matrix.models["ref-4m"]


@pytest.fixture
def judged(pipeline: Pipeline, pytestconfig: pytest.Config, model: Model) -> Callable[[Path, Format], Verdict]:
    """Gate a checkpoint that is not of the pipeline's own making, on all items of the reference suite."""
    declared = pytestconfig.stash[SETTINGS].matrix
    tasks = declared.suite_tasks("reference")

    def judge(folder: Path, fmt: Format) -> Verdict:
        found: Future[Checkpoint] = Future()
        found.set_result(models.inspect(folder, model=model.id, fmt=fmt.id))
        backend = pipeline.backend_for(fmt)
        base = pipeline.scores(Side(model, BASE, backend), tasks)
        other = pipeline.scores(Side(model, structs.replace(fmt, id=folder.name), backend), tasks, found)
        pairs = [Pair(left.result(), right.result()) for left, right in zip(base, other, strict=True)]
        return judge_average(pairs, declared.gates.get(fmt.family, 0.99))

    return judge


@pytest.mark.timeout(0)
def test_one_layers_scales_off_by_half_fail_the_gate(
    pipeline: Pipeline, pytestconfig: pytest.Config, model: Model, judged: Callable[..., Verdict], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    fmt = pytestconfig.stash[SETTINGS].matrix.formats[FORMAT]
    good = pipeline.checkpoint(model, fmt).result()
    harmed = Path(shutil.copytree(good.path, tmp_path / "harmed"))
    tensors = load_file(harmed / "model.safetensors")
    tensors[HARMED_LAYER] *= 1.5
    save_file(tensors, harmed / "model.safetensors", metadata={"format": "pt"})
    verdict = judged(harmed, fmt)
    assert verdict.status == "FAIL", sentence(verdict)


@pytest.mark.timeout(0)
def test_the_base_served_again_recovers_everything(
    pipeline: Pipeline, model: Model, judged: Callable[..., Verdict], tmp_path: Path
) -> None:
    again = Path(shutil.copytree(pipeline.inputs.base(model).path, tmp_path / "again"))
    config = again / "config.json"
    config.write_text(config.read_text() + "\n")  # another hash, so that it is really served again
    verdict = judged(again, BASE)
    assert (verdict.status, verdict.recovery) == ("PASS", 1.0), sentence(verdict)

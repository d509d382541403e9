"""A format may name a checkpoint: it is gated as it is, and nothing is quantized."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace
from safetensors.numpy import save_file

from quant.errors import ModelError
from quant.records import Family, Format

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import World


def given(world: World, to: Path, family: Family) -> Format:
    """A format of a copy of the base whose config says FP8."""
    shutil.copytree(world.model.source, to)
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "fp8"}}))
    return Format(id="given", family=family, purpose="test", checkpoint=str(to))


def test_a_named_checkpoint_is_taken_as_it_is(world: World, tmp_path: Path) -> None:
    fmt = given(world, tmp_path / "made", "fp8")
    assert world.pipeline.checkpoint(world.model, fmt).result(30).path == fmt.checkpoint


def test_nothing_is_quantized_for_a_named_checkpoint(world: World, tmp_path: Path) -> None:
    world.pipeline.checkpoint(world.model, given(world, tmp_path / "made", "fp8")).result(30)
    assert world.pipeline.workers.starts["quantize"] == 0


def test_a_checkpoint_of_another_family_is_refused(world: World, tmp_path: Path) -> None:
    made = world.pipeline.checkpoint(world.model, given(world, tmp_path / "made", "int4"))
    with pytest.raises(ModelError, match="expected a checkpoint of the family int4, found fp8"):
        made.result(30)


def test_a_checkpoint_that_is_not_sound_is_refused_before_anything_runs(world: World, tmp_path: Path) -> None:
    fmt = given(world, tmp_path / "made", "fp8")
    save_file({"q_proj.weight_scale": np.zeros(1, np.float32)}, tmp_path / "made" / "model.safetensors")
    with pytest.raises(ModelError, match=r"tensor q_proj.weight_scale\[0\]: expected a finite scale above 0"):
        world.pipeline.inputs.given(world.model, fmt)


def test_a_checkpoint_that_nothing_here_serves_as_named_is_refused_before_anything_runs(
    world: World, tmp_path: Path
) -> None:
    fmt = replace(given(world, tmp_path / "made", "fp8"), needs=("w8a8-fp8-static",))
    with pytest.raises(ModelError, match="does not compute fp8 files as they are meant"):
        world.pipeline.check([replace(world.cells[0], format=fmt)])

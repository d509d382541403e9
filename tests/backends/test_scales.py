"""The checkpoint gate knows the scales of every scheme: what llm-compressor writes passes, a broken one is named."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from quant import hardware
from quant.errors import CheckpointError
from quant.inputs import integrity, models
from quant.inputs.tensors import headers
from quant.records import Format

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("backends")

QUICK = {"w4a16", "w4a8", "mxfp4a16"}
SCHEMES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in (*sorted(hardware.KNOWN), "w4a16-asym")
]
FORMAT = Format(id="made", purpose="an example", family="fp8")
NAN = {"BF16": b"\xc0\x7f", "F32": b"\x00\x00\xc0\x7f", "F8_E4M3": b"\x7f", "U8": b"\xff"}


def complaint(base: Path, made: Path) -> str:
    """Return what the gate says against a checkpoint; "" if nothing."""
    sides = [models.inspect(folder, model="tiny", fmt=folder.name) for folder in (base, made)]
    try:
        integrity.check(*sides, FORMAT)
    except CheckpointError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_llm_compressor_writes_is_sound_even_of_a_row_of_zeros(scheme: str, checkpoints: Path) -> None:
    assert not complaint(checkpoints / "base", checkpoints / scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scale_that_is_not_a_number_is_found_whatever_its_kind(
    scheme: str, checkpoints: Path, tmp_path: Path
) -> None:
    whole = checkpoints / scheme / "model.safetensors"
    kinds = {one.name.rpartition(".")[2]: one for one in headers(whole) if one.name.endswith("_scale")}
    missed = []
    for kind, tensor in kinds.items():
        made = tmp_path / kind
        shutil.copytree(checkpoints / scheme, made)
        with (made / "model.safetensors").open("r+b") as file:
            file.seek(tensor.begin)
            file.write(NAN[tensor.dtype])
        if f"tensor {tensor.name}[" not in complaint(checkpoints / "base", made):
            missed.append(kind)

    assert (bool(kinds), missed) == (True, [])

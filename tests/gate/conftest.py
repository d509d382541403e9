"""The reference model as other tools would quantize it, and `python -m quant gate` on a small suite."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import save_file

from quant import integrity
from quant.environment import DEFAULT_MATRIX, ROOT
from quant.hardware import probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

BASE = DEFAULT_MATRIX.parent / "models" / "ref-4m"
GROUP, BITS, PACKED = 128, 4, 8  # weights that share a scale; bits of one; weights in an int32
# AutoAWQ packs the eight columns of an int32 in this order, the lowest bits first.
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
# As few items as count for an average, in one look: the base is scored once for all tests.
SUITE = """
[suites.small]
models = ["ref-4m"]
formats = ["int4-w4a16"]
tasks = ["facts", "arithmetic", "dialogue"]
items = 200

[profiles.once]
looks = [1.0]
"""
LINEAR = re.compile(r"(.*_proj)\.weight$")

Arrays = dict[str, "NDArray[Any]"]


class Rounded(NamedTuple):
    """A weight (in x out) rounded to the nearest of 16 steps a group: `values` 0..15, `zeros` and `scales` a group."""

    values: NDArray[np.int32]
    zeros: NDArray[np.int32]
    scales: NDArray[np.float16]


def rounded(weight: NDArray[np.float32], *, symmetric: bool) -> Rounded:
    groups = weight.T.reshape(-1, GROUP, weight.shape[0])
    low, high = np.minimum(groups.min(axis=1), 0), np.maximum(groups.max(axis=1), 0)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    scales = ((high - low) / 15).astype(np.float16)
    wide = scales.astype(np.float32)
    zeros = np.full(wide.shape, 8) if symmetric else np.clip(np.round(-low / wide), 0, 15)
    values = np.clip(np.round(groups / wide[:, None]) + zeros[:, None], 0, 15)
    return Rounded(values.reshape(weight.T.shape).astype(np.int32), zeros.astype(np.int32), scales)


def packed(values: NDArray[np.int32], order: tuple[int, ...] = tuple(range(PACKED))) -> NDArray[np.int32]:
    """Pack eight columns of 4 bits into an int32, the first of `order` in its lowest bits."""
    eights = values.reshape(values.shape[0], -1, PACKED).astype(np.uint32)
    parts = [eights[:, :, column] << np.uint32(BITS * place) for place, column in enumerate(order)]
    return np.bitwise_or.reduce(parts).view(np.int32)


def awq(name: str, weight: NDArray[np.float32]) -> Arrays:
    """AutoAWQ's gemm layout: qweight in x out/8, qzeros groups x out/8, scales groups x out."""
    found = rounded(weight, symmetric=False)
    return {
        f"{name}.qweight": packed(found.values, AWQ_ORDER),
        f"{name}.qzeros": packed(found.zeros, AWQ_ORDER),
        f"{name}.scales": found.scales,
    }


def gptq(name: str, weight: NDArray[np.float32]) -> Arrays:
    """AutoGPTQ's layout: qweight in/8 x out, qzeros groups x out/8 and one too low, the group of each input."""
    found = rounded(weight, symmetric=True)
    return {
        f"{name}.qweight": packed(found.values.T).T,
        f"{name}.qzeros": packed(found.zeros - 1),
        f"{name}.scales": found.scales,
        f"{name}.g_idx": (np.arange(weight.shape[1]) // GROUP).astype(np.int32),
    }


LAYOUTS: dict[str, tuple[Callable[[str, NDArray[np.float32]], Arrays], dict[str, Any]]] = {
    "awq": (awq, {"zero_point": True, "version": "gemm", "modules_to_not_convert": None}),
    "gptq": (gptq, {"desc_act": False, "sym": True, "checkpoint_format": "gptq", "lm_head": False}),
}


def write(method: str, folder: Path, spoil: str = "") -> Path:
    """Write the reference model in 4 bits, as AutoAWQ or AutoGPTQ would; `spoil` begins names of scales to double."""
    layout, said = LAYOUTS[method]
    shutil.copytree(BASE, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.md", "training.json"))
    arrays: Arrays = {}
    for tensor in integrity.headers(BASE / "model.safetensors"):
        values = integrity.floats(tensor).reshape(tensor.shape)
        linear = LINEAR.match(tensor.name)
        arrays |= layout(linear[1], values) if linear else {tensor.name: values.astype(np.float16)}
    for name in arrays:
        if spoil and name.startswith(spoil) and name.endswith(".scales"):
            arrays[name] *= np.float16(2)
    straight = {name: np.ascontiguousarray(values) for name, values in arrays.items()}  # else saved as memory has it
    save_file(straight, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((BASE / "config.json").read_text()) | {"dtype": "float16"}
    config["quantization_config"] = {"quant_method": method, "bits": BITS, "group_size": GROUP} | said
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint of a method into a folder of this test, whose name has a space."""
    if "w4a16" not in probe().capabilities:
        pytest.skip("vLLM has no w4a16 kernel on this machine, and Transformers reads these files with other packages")
    return lambda method, spoil="": write(method, tmp_path / f"my {method}", spoil)


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command on a checkpoint, from another folder."""
    world = tmp_path_factory.mktemp("gate")
    (world / "small.toml").write_text(SUITE)

    def run(checkpoint: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "quant", "gate", f"--checkpoint={checkpoint}", f"--base={BASE}"]
        common = ("--matrix=small.toml", "--suite=small", "--gate=once", "--store=store")
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [*command, *common, *options], cwd=world, env=environment, capture_output=True, text=True, check=False
        )

    return run

"""A fallback of vLLM is found: another kernel than the hardware class is expected to use, or none that is quantized."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

from quant.hardware import expected_kernels
from quant.inputs.integrity import wide_layers
from quant.judge.kernels import unexpected

if TYPE_CHECKING:
    from pathlib import Path

CUTLASS, MARLIN = "CutlassFP8ScaledMMLinearKernel", "MarlinFP8ScaledMMLinearKernel"
EXPECTED = expected_kernels(["w8a8-fp8"], "sm90")


def test_the_expected_kernel_is_nothing_to_speak_of() -> None:
    assert unexpected({CUTLASS: 128}, EXPECTED, 0) == ""


def test_a_fallback_to_marlin_is_found() -> None:
    assert unexpected({MARLIN: 128}, EXPECTED, 0) == (
        f"128 layers run on {MARLIN}; no layer runs on {CUTLASS}, expected for w8a8-fp8"
    )


def test_a_layer_that_is_served_unquantized_is_found() -> None:
    assert unexpected({CUTLASS: 127, "UnquantizedLinearMethod": 1}, EXPECTED, 0) == (
        "1 layers run unquantized, and the checkpoint holds 0 in full precision"
    )


def test_layers_that_the_recipe_leaves_alone_may_be_unquantized() -> None:
    assert unexpected({CUTLASS: 112, "UnquantizedLinearMethod": 16}, EXPECTED, 16) == ""


def test_a_mixed_format_needs_a_kernel_for_each_scheme() -> None:
    expected = expected_kernels(["w4a16", "w8a8-int8"], "cpu-avx512")
    assert unexpected({"CPUWNA16LinearKernel": 24}, expected, 0) == (
        "no layer runs on CPUInt8ScaledMMLinearKernel, expected for w8a8-int8"
    )


@pytest.mark.parametrize(
    ("needs", "machine", "kernel"),
    [
        ("w4a16", "sm90", "MacheteLinearKernel"),
        ("w4a16", "sm80", "MarlinLinearKernel"),
        ("w4a16", "cpu-avx512", "CPUWNA16LinearKernel"),
    ],
)
def test_a_row_has_its_own_kernel(needs: str, machine: str, kernel: str) -> None:
    assert expected_kernels([needs], machine) == {needs: {kernel}}


@pytest.mark.parametrize(
    ("needs", "machine"), [(["kv-fp8"], "sm90"), (["nvfp4"], "sm90"), (["w4a16", "nvfp4"], "sm90")]
)
def test_what_is_not_listed_is_not_expected(needs: list[str], machine: str) -> None:
    assert expected_kernels(needs, machine) == {}


def test_an_fp8_cache_changes_no_linear_kernel() -> None:
    assert expected_kernels(["w8a8-fp8", "kv-fp8"], "sm90") == {"w8a8-fp8": {CUTLASS}}


def test_layers_in_full_precision_are_counted_in_the_files(tmp_path: Path) -> None:
    wide, norm = np.ones((4, 4), np.float16), np.ones(4, np.float16)
    kept = ("model.layers.0.mlp.gate", "model.layers.0.mlp.up_proj")
    others = {"model.embed_tokens.weight": wide, "lm_head.weight": wide, "model.norm.weight": norm}
    quantized = {"model.layers.0.mlp.down_proj.weight": np.ones((4, 4), np.int8)}
    save_file({f"{name}.weight": wide for name in kept} | others | quantized, tmp_path / "model.safetensors")
    assert wide_layers(tmp_path) == 2

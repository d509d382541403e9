"""Files that other tools quantized are served and gated as they are: sound ones pass, a spoilt one is proven worse."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from quant.environment import DEFAULT_MATRIX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Gate = Callable[..., subprocess.CompletedProcess[str]]

# What llm-compressor's documentation begins with: no part of this repository.
ONESHOT = """
import sys
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import QuantizationModifier
recipe = QuantizationModifier(targets="Linear", scheme="W8A8", ignore=["lm_head"])
oneshot(model=sys.argv[1], recipe=recipe, output_dir=sys.argv[2])
"""
METHODS = ("awq", "gptq", "fp8-dynamic", "fp8-static", "fp8-block", "modelopt", "modelopt-own-file")
SLOW = pytest.mark.slow


def test_what_a_plain_llmcompressor_script_wrote_passes(tmp_path: Path, gate: Gate) -> None:
    made, base = tmp_path / "int8", DEFAULT_MATRIX.parent / "models" / "ref-4m"
    subprocess.run([sys.executable, "-c", ONESHOT, base, made], cwd=tmp_path, check=True, capture_output=True)
    ended = gate(made)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("method", METHODS)
def test_files_of_other_tools_pass(method: str, written: Callable[..., Path], gate: Gate) -> None:
    ended = gate(written(method))
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("method", [pytest.param(name, marks=() if name == "awq" else SLOW) for name in METHODS])
def test_one_layer_with_doubled_scales_is_proven_worse(method: str, written: Callable[..., Path], gate: Gate) -> None:
    ended = gate(written(method, spoil="model.layers.3."))
    assert ended.returncode == 1, ended.stdout + ended.stderr

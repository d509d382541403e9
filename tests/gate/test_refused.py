"""What cannot be judged is refused in seconds, before an engine starts, with a usage error's exit code."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Gate = Callable[..., subprocess.CompletedProcess[str]]

LAYER = "model.layers.0.mlp.up_proj"


def test_a_scale_that_is_no_number_is_named(written: Callable[..., Path], gate: Gate) -> None:
    made = written("gptq")
    tensors = load_file(made / "model.safetensors")
    tensors[f"{LAYER}.scales"][0, 3] = np.float16("nan")
    save_file(tensors, made / "model.safetensors")
    ended = gate(made)
    named = f"{LAYER}.scales[0, 3]: expected a finite scale other than 0" in ended.stderr
    assert (ended.returncode, named) == (2, True)


def test_a_suite_that_is_not_named_is_asked_for(written: Callable[..., Path], gate: Gate, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    ended = gate(written("awq"), f"--base={base}", "--suite=")
    assert (ended.returncode, "name the tasks to judge by: --suite" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("gptq", "Transformers reads gptq files with packages that are not installed: gptqmodel"),
        ("fp8-block", "Transformers does not compute fp8 files as they are meant; vLLM serves them"),
    ],
    ids=("gptq", "fp8-block"),
)
def test_files_that_transformers_cannot_serve_are_refused(
    method: str, why: str, written: Callable[..., Path], gate: Gate
) -> None:
    if importlib.util.find_spec("gptqmodel") and "gptqmodel" in why:
        pytest.skip("gptqmodel is installed: Transformers reads these files")
    ended = gate(written(method, served=False), "--backend=hf")
    assert (ended.returncode, why in ended.stderr) == (2, True), ended.stdout + ended.stderr


@pytest.mark.parametrize("option", ["--gate=strict", "--matrix=nowhere.toml", "--backend=onnx"])
def test_a_wrong_option_is_a_usage_error(written: Callable[..., Path], gate: Gate, option: str) -> None:
    assert gate(written("awq"), option).returncode == 2

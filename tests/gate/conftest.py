"""The reference model as other tools would quantize it, and `python -m quant gate` on a small suite."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from quant.environment import DEFAULT_MATRIX, ROOT
from quant.hardware import probe
from quant.inputs import given
from quant.inputs.tensors import floats, headers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

BASE = DEFAULT_MATRIX.parent / "models" / "ref-4m"
GROUP, BITS, PACKED = 128, 4, 8  # weights that share a scale; bits of one; weights in an int32
# AutoAWQ packs the eight columns of an int32 in this order, the lowest bits first.
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
FP8_MAX, BLOCK = 448.0, 128  # the largest number of E4M3; DeepSeek-V3's blocks are 128 x 128
# As few items as prove 0 of 600 or 4 of 1,200 worse to be FP8; which of them flip differs between CPU and GPU.
SUITE = """
[suites.small]
models = ["ref-4m"]
formats = ["int4-w4a16"]
tasks = ["facts", "arithmetic", "dialogue"]
items = 400

[profiles.early]
looks = [0.5, 1.0]
"""
# So small a model needs no 90 % of a GPU, and other tests may be there.
ON_GPU = f"""
[models.ref-4m]
source = "{BASE}"
context_tokens = 512
calibration = {{ texts = "{BASE.parents[1]}/calibration/world.jsonl", samples = 128, tokens = 256 }}
engine = {{ kv_cache_memory_bytes = {2**28}, gpu_memory_utilization = 0.05, enforce_eager = true }}
"""
LINEAR = re.compile(r"(.*_proj)\.weight$")

SCALES = re.compile(r"(\.scales|weight_scale|weight_scale_inv)$")

Tensors = dict[str, "torch.Tensor"]


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


def straight(arrays: dict[str, NDArray[Any]]) -> Tensors:
    """Lay arrays out as they are indexed: else they would be saved as memory has them."""
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in arrays.items()}


def awq(name: str, weight: NDArray[np.float32]) -> Tensors:
    """AutoAWQ's gemm layout: qweight in x out/8, qzeros groups x out/8, scales groups x out."""
    found = rounded(weight, symmetric=False)
    return straight(
        {
            f"{name}.qweight": packed(found.values, AWQ_ORDER),
            f"{name}.qzeros": packed(found.zeros, AWQ_ORDER),
            f"{name}.scales": found.scales,
        }
    )


def gptq(name: str, weight: NDArray[np.float32]) -> Tensors:
    """AutoGPTQ's layout: qweight in/8 x out, qzeros groups x out/8 and one too low, the group of each input."""
    found = rounded(weight, symmetric=True)
    return straight(
        {
            f"{name}.qweight": packed(found.values.T).T,
            f"{name}.qzeros": packed(found.zeros - 1),
            f"{name}.scales": found.scales,
            f"{name}.g_idx": (np.arange(weight.shape[1]) // GROUP).astype(np.int32),
        }
    )


def fp8(name: str, weight: NDArray[np.float32]) -> Tensors:
    """One scale a tensor, by which the stored weight is multiplied."""
    import torch

    wide = torch.from_numpy(weight)
    scale = wide.abs().max() / FP8_MAX
    return {f"{name}.weight": (wide / scale).to(torch.float8_e4m3fn), f"{name}.weight_scale": scale}


def fp8_static(name: str, weight: NDArray[np.float32]) -> Tensors:
    """As `fp8`, with one scale for the layer's inputs."""
    import torch

    return fp8(name, weight) | {f"{name}.input_scale": torch.tensor(largest_inputs()[name] / FP8_MAX)}


def fp8_block(name: str, weight: NDArray[np.float32]) -> Tensors:
    """DeepSeek-V3's layout: a scale for each block of 128 x 128, the last ones narrower, called `weight_scale_inv`."""
    import torch

    wide = torch.from_numpy(weight)
    rows, columns = (-(-size // BLOCK) for size in wide.shape)
    spread = torch.zeros(rows * BLOCK, columns * BLOCK)
    spread[: wide.shape[0], : wide.shape[1]] = wide.abs()
    scales = spread.view(rows, BLOCK, columns, BLOCK).amax((1, 3)) / FP8_MAX
    each = scales.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)[: wide.shape[0], : wide.shape[1]]
    return {f"{name}.weight": (wide / each).to(torch.float8_e4m3fn), f"{name}.weight_scale_inv": scales}


@cache
def largest_inputs() -> dict[str, float]:
    """Calibrate as ModelOpt does by default: the largest input of each linear layer of the base, over some texts."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)  # with a thread a core, beside other work on 16 cores, this took 350 s
    model, tokenizer = AutoModelForCausalLM.from_pretrained(BASE), AutoTokenizer.from_pretrained(BASE)
    found: dict[str, float] = {}

    def hook(name: str) -> Callable[..., None]:
        def see(_module: object, inputs: tuple[torch.Tensor, ...]) -> None:
            found[name] = max(found.get(name, 0.0), float(inputs[0].abs().max()))

        return see

    for name, module in model.named_modules():
        if name.endswith("_proj"):
            module.register_forward_pre_hook(hook(name))
    with torch.no_grad():
        for line in (BASE.parents[1] / "calibration" / "world.jsonl").read_text().splitlines()[:32]:
            text = tokenizer(json.loads(line)["text"], truncation=True, max_length=256, return_tensors="pt")
            model(input_ids=text["input_ids"])
    return found


INT4 = {"bits": BITS, "group_size": GROUP}
FP8 = {"quant_method": "fp8", "ignored_layers": ["lm_head"]}
MODELOPT = {"quant_algo": "FP8", "kv_cache_quant_algo": None, "exclude_modules": ["lm_head"]}
# What writes the tensors of a linear layer, and what the config says; ModelOpt says it in a file of its own too.
LAYOUTS: dict[str, tuple[Callable[[str, NDArray[np.float32]], Tensors], dict[str, Any]]] = {
    "awq": (awq, {"quant_method": "awq", "zero_point": True, "version": "gemm", "modules_to_not_convert": None} | INT4),
    "gptq": (
        gptq,
        {"quant_method": "gptq", "desc_act": False, "sym": True, "checkpoint_format": "gptq", "lm_head": False} | INT4,
    ),
    "fp8-dynamic": (fp8, FP8 | {"activation_scheme": "dynamic"}),
    "fp8-static": (fp8_static, FP8 | {"activation_scheme": "static"}),
    "fp8-block": (fp8_block, FP8 | {"activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK]}),
    "modelopt": (fp8_static, {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}),
    "modelopt-own-file": (fp8_static, {}),
}


def describe(method: str, folder: Path) -> Path:
    """Write everything but the weights: the reference model's tokenizer, and what the method's own tool would say."""
    _, said = LAYOUTS[method]
    shutil.copytree(BASE, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.md", "training.json"))
    config = json.loads((BASE / "config.json").read_text()) | {"dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config | ({"quantization_config": said} if said else {})))
    if method.startswith("modelopt"):
        own = {"producer": {"name": "modelopt", "version": "0.29.0"}, "quantization": MODELOPT}
        (folder / "hf_quant_config.json").write_text(json.dumps(own))
    return folder


def fill(method: str, folder: Path, spoil: str = "") -> Path:
    """Write the weights; `spoil` begins names of scales to double."""
    from safetensors.torch import save_file

    layout, _ = LAYOUTS[method]
    tensors: Tensors = {}
    for tensor in headers(BASE / "model.safetensors"):
        values = floats(tensor).reshape(tensor.shape)
        linear = LINEAR.match(tensor.name)
        tensors |= layout(linear[1], values) if linear else {tensor.name: half(values)}
    for name in tensors:
        if spoil and name.startswith(spoil) and SCALES.search(name):
            tensors[name] = tensors[name] * 2
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def half(values: NDArray[np.float32]) -> torch.Tensor:
    import torch

    return torch.from_numpy(values).half()


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint of a method into a folder of this test, whose name has a space; skip if nothing serves it."""

    def make(method: str, spoil: str = "", *, served: bool = True) -> Path:
        folder = describe(method, tmp_path / f"my {method}")
        lacking = [need for need in given.scheme(folder).needs if need not in probe().capabilities]
        if served and lacking:
            pytest.skip(f"vLLM has no kernel for {', '.join(lacking)} here, and Transformers does not read such files")
        return fill(method, folder, spoil)

    return make


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command on a checkpoint, from another folder."""
    world = tmp_path_factory.mktemp("gate")
    (world / "small.toml").write_text(SUITE if probe().kind.startswith("cpu") else SUITE + ON_GPU)

    def run(checkpoint: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "quant", "gate", f"--checkpoint={checkpoint}", f"--base={BASE}"]
        common = ("--matrix=small.toml", "--suite=small", "--gate=early", "--store=store")
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        return subprocess.run(
            [*command, *common, *options], cwd=world, env=environment, capture_output=True, text=True, check=False
        )

    return run

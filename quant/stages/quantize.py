"""Stage quantize: llm-compressor turns a model and a recipe into a compressed-tensors checkpoint.

Comes in: `QuantizeRequest`. Goes out: a folder that vLLM and Transformers load, with llm-compressor's `recipe.yaml`,
and `choice.json` if the recipe left something open.
"""

from __future__ import annotations

import gc
import json
import re
import shutil
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.stages import choice
from quant.stages.protocol import CHOICE, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from quant.records import Place, Recipe
    from quant.stages.protocol import QuantizeRequest

WEIGHTS = (".safetensors", ".safetensors.index.json")
PLACES: dict[Place, str] = {
    "device": "",
    "host": ", one layer at a time on the device, the model in the host's memory",
    "disk": ", one layer at a time on the device, the model on disk",
}


def handle(request: QuantizeRequest, tell: Callable[[Message], None]) -> None:
    """Quantize one model; the output folder is complete when this returns."""

    def report(what: str) -> None:
        tell(Message(event="progress", label=f"{request.label}: {what}"))

    report("loading llm-compressor")
    import torch
    from llmcompressor.pipelines.cache import IntermediatesCache

    if not torch.cuda.is_available():  # pinning host memory asks for an accelerator, and AWQ then fails without one
        IntermediatesCache.pin_memory = lambda *_args, **_kwargs: None
    output = Path(request.output)
    chosen = choice.settle(request, lambda recipe: quantized(request, recipe), lambda: loaded(request), report)
    report(f"quantizing{PLACES[request.place]}")
    with quantized(request, chosen.recipe) as model:
        model.save_pretrained(output, save_compressed=True)
    _repeat_patterns(output / "config.json", chosen.recipe)
    if chosen.found:
        (output / CHOICE).write_text(json.dumps(chosen.found, indent=2) + "\n")
    _copy_the_rest(Path(request.model), output)


@contextmanager
def loaded(request: QuantizeRequest) -> Iterator[Any]:
    """Lend the unquantized model, in the place that is asked for; the experts of an MoE model are linear layers."""
    import torch
    from compressed_tensors.offload import load_offloaded_model, set_onload_device
    from llmcompressor.modeling.moe.linearize import linearize_moe
    from llmcompressor.utils.dev import get_main_device
    from transformers import AutoModelForCausalLM

    device, dtype = get_main_device(), getattr(torch, request.dtype)
    offloaded = Path(request.output).with_name("offloaded")  # tensors that neither device nor memory has room for
    place: dict[Place, dict[str, Any]] = {
        "device": {"device_map": device},
        "host": {"device_map": "cpu"},
        "disk": {
            "device_map": "auto_offload",
            "max_memory": {"cpu": request.resident_bytes},
            "offload_folder": offloaded,
        },
    }
    if request.place == "disk":
        offloaded.mkdir()
    with nullcontext() if request.place == "device" else load_offloaded_model():
        model = AutoModelForCausalLM.from_pretrained(request.model, dtype=dtype, **place[request.place]).eval()
    linearize_moe(model)  # not while it is loaded, which imports all of Transformers, for which torchvision is needed
    if request.place != "device":
        set_onload_device(model, device)
    try:
        yield model
    finally:
        _empty(model)
        shutil.rmtree(offloaded, ignore_errors=True)


def _empty(model: Any) -> None:
    """Free a model's tensors: llm-compressor's tracing holds on to each model that it has seen."""
    for part in model.modules():
        part._parameters, part._buffers = {}, {}  # noqa: SLF001 - as torch names what a module holds
    gc.collect()


@contextmanager
def quantized(request: QuantizeRequest, recipe: Recipe) -> Iterator[Any]:
    """Lend the model quantized by a recipe: the same tensors for the same request, whatever was run before."""
    import random

    import numpy as np
    import torch
    import yaml
    from llmcompressor import oneshot

    random.seed(request.seed)
    np.random.seed(request.seed)  # noqa: NPY002 - llm-compressor's methods draw from the global generators
    torch.manual_seed(request.seed)
    # A stage for each modifier, since a stage cannot name one twice.
    stages = {f"s{n}_stage": {f"s{n}_modifiers": {name: dict(args)}} for n, (name, args) in enumerate(recipe)}
    with loaded(request) as model:
        oneshot(model=model, recipe=yaml.safe_dump(stages, sort_keys=False), **_calibration(request))
        yield model


def _calibration(request: QuantizeRequest) -> dict[str, Any]:
    if not request.calibration_file:
        return {}
    from datasets import Dataset
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(request.model)
    texts = choice.texts(request.calibration_file, 0, request.samples)
    encoded = tokenizer(texts, truncation=True, max_length=request.tokens)
    rows = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    return {
        "dataset": Dataset.from_dict(rows),
        "processor": tokenizer,  # of a model with a vision tower, llm-compressor would look for an image processor
        "max_seq_length": request.tokens,
        "num_calibration_samples": len(texts),
        "shuffle_calibration_samples": False,
    }


def _repeat_patterns(file: Path, recipe: Recipe) -> None:
    """Write the patterns that left layers out beside the names of these, by which Transformers may not call them."""
    config = json.loads(file.read_text())
    ignored: list[str] = config.get("quantization_config", {}).get("ignore") or []
    patterns = {one for _, said in recipe for one in said.get("ignore") or () if one.startswith("re:")}
    if used := {one for one in patterns if any(re.match(one[3:], name) for name in ignored)}:
        ignored += sorted(used)
        file.write_text(json.dumps(config, indent=2) + "\n")


def _copy_the_rest(model: Path, output: Path) -> None:
    """Bring tokenizer, chat template and generation settings along byte for byte."""
    for file in model.iterdir():
        if file.is_file() and not file.name.endswith(WEIGHTS) and file.name != "config.json":
            shutil.copyfile(file, output / file.name)

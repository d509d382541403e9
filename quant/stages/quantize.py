"""Stage quantize: llm-compressor turns a model and a recipe into a compressed-tensors checkpoint.

Comes in: `QuantizeRequest`. Goes out: a folder that vLLM and Transformers load, with llm-compressor's `recipe.yaml`,
and `choice.json` if the recipe left something open.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.stages import choice
from quant.stages.protocol import CHOICE, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from quant.records import Recipe
    from quant.stages.protocol import QuantizeRequest

WEIGHTS = (".safetensors", ".safetensors.index.json")


def handle(request: QuantizeRequest, tell: Callable[[Message], None]) -> None:
    """Quantize one model; the output folder is complete when this returns."""

    def report(what: str) -> None:
        tell(Message(event="progress", label=f"{request.label}: {what}"))

    report("loading llm-compressor")
    import torch
    from llmcompressor.pipelines.cache import IntermediatesCache

    if not torch.cuda.is_available():  # pinning host memory asks for an accelerator, and AWQ then fails without one
        IntermediatesCache.pin_memory = lambda *_args, **_kwargs: None
    chosen = choice.settle(request, lambda recipe: quantized(request, recipe), lambda: loaded(request), report)
    report("quantizing")
    output = Path(request.output)
    quantized(request, chosen.recipe).save_pretrained(output, save_compressed=True)
    if chosen.found:
        (output / CHOICE).write_text(json.dumps(chosen.found, indent=2) + "\n")
    _copy_the_rest(Path(request.model), output)


def loaded(request: QuantizeRequest) -> Any:
    """Return the unquantized model."""
    import torch
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, request.dtype)
    return AutoModelForCausalLM.from_pretrained(request.model, dtype=dtype, device_map=device).eval()


def quantized(request: QuantizeRequest, recipe: Recipe) -> Any:
    """Return the model quantized by a recipe: the same tensors for the same request, whatever was run before."""
    import random

    import numpy as np
    import torch
    import yaml
    from llmcompressor import oneshot

    random.seed(request.seed)
    np.random.seed(request.seed)  # noqa: NPY002 - llm-compressor's methods draw from the global generators
    torch.manual_seed(request.seed)
    model = loaded(request)
    # A stage for each modifier, since a stage cannot name one twice.
    stages = {f"s{n}_stage": {f"s{n}_modifiers": {name: dict(args)}} for n, (name, args) in enumerate(recipe)}
    oneshot(model=model, recipe=yaml.safe_dump(stages, sort_keys=False), **_calibration(request))
    return model


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
        "max_seq_length": request.tokens,
        "num_calibration_samples": len(texts),
        "shuffle_calibration_samples": False,
    }


def _copy_the_rest(model: Path, output: Path) -> None:
    """Bring tokenizer, chat template and generation settings along byte for byte."""
    for file in model.iterdir():
        if file.is_file() and not file.name.endswith(WEIGHTS) and file.name != "config.json":
            shutil.copyfile(file, output / file.name)

"""Stage quantize: llm-compressor turns a model and a recipe into a compressed-tensors checkpoint.

Comes in: `QuantizeRequest`. Goes out: a folder that vLLM and Transformers load, with llm-compressor's `recipe.yaml`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.stages.protocol import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from quant.stages.protocol import QuantizeRequest

WEIGHTS = (".safetensors", ".safetensors.index.json")


def handle(request: QuantizeRequest, tell: Callable[[Message], None]) -> None:
    """Quantize one model; the output folder is complete when this returns."""
    tell(Message(event="progress", label=f"{request.label}: loading llm-compressor"))
    import torch
    import yaml
    from llmcompressor import oneshot
    from llmcompressor.pipelines.cache import IntermediatesCache
    from transformers import AutoModelForCausalLM

    if not torch.cuda.is_available():  # pinning host memory asks for an accelerator, and AWQ then fails without one
        IntermediatesCache.pin_memory = lambda *_args, **_kwargs: None
    tell(Message(event="progress", label=f"{request.label}: quantizing"))
    torch.manual_seed(request.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(request.model, dtype=getattr(torch, request.dtype), device_map=device)
    recipe = yaml.safe_dump({"quant_stage": {"quant_modifiers": request.recipe}}, sort_keys=False)
    oneshot(model=model, recipe=recipe, **_calibration(request))
    output = Path(request.output)
    model.save_pretrained(output, save_compressed=True)
    _copy_the_rest(Path(request.model), output)


def _calibration(request: QuantizeRequest) -> dict[str, Any]:
    if not request.calibration_file:
        return {}
    from datasets import Dataset
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(request.model)
    with Path(request.calibration_file).open() as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(request.samples), strict=False)]
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

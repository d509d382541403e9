"""One tiny checkpoint for each capability, made as the suite makes its own. Run as a program: `schemes.py FOLDER`.

Comes in: a folder. Goes out: in it `base` and a folder for each of `SCHEMES`. Runs in a process of its own.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.stages import quantize
from quant.stages.protocol import QuantizeRequest

if TYPE_CHECKING:
    from quant.records import Recipe

TOKENIZER = Path(__file__).parents[2] / "fixtures" / "data" / "models" / "ref-4m"
TOKENS = 48  # of a calibration row and of a prompt
# Capability -> llm-compressor's preset, and whether it observes activations.
SCHEMES: dict[str, tuple[str, bool]] = {
    "w8a8-fp8": ("FP8_DYNAMIC", False),
    "w8a8-fp8-static": ("FP8", True),
    "w8a8-fp8-block": ("FP8_BLOCK", False),
    "w8a8-int8": ("W8A8", False),
    "w8a16": ("W8A16", False),
    "w4a16": ("W4A16", False),
    "w4a16-asym": ("W4A16_ASYM", False),
    "w4a8": ("W4A8", False),
    "w4afp8": ("W4AFP8", False),
    "nvfp4": ("NVFP4", True),
    "nvfp4a16": ("NVFP4A16", False),
    "mxfp4": ("MXFP4", False),
    "mxfp4a16": ("MXFP4A16", False),
    "kv-fp8": ("", True),
}
KV = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False, "symmetric": True}
# vLLM reads INT4 weights with FP8 activations packed; by the preset alone llm-compressor stores them a byte each.
PACKED_W4AFP8 = {
    "targets": ["Linear"],
    "format": "pack-quantized",
    "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True},
    "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "symmetric": True, "dynamic": True},
}


def recipe(preset: str) -> Recipe:
    """Quantize all linear layers by `preset`, or the KV cache alone."""
    what: dict[str, Any] = {"targets": "Linear", "scheme": preset, "ignore": ["lm_head"]}
    if preset == "W4AFP8":
        what = {"config_groups": {"group_0": PACKED_W4AFP8}, "ignore": ["lm_head"]}
    return (("QuantizationModifier", what if preset else {"kv_cache_scheme": KV}),)


def write_base(folder: Path) -> None:
    """Write a random Llama of one layer; two channels of each norm are outliers, so that 8-bit rounding shows."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=1024,
        max_position_embeddings=256,
        initializer_range=0.08,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    for name, weight in model.named_parameters():
        if name.endswith("layernorm.weight"):
            weight.data[[7, 99]] *= 24
    model.model.layers[0].mlp.up_proj.weight.data[3] = 0  # a row, and so groups and blocks of it, without a scale
    model.to(torch.bfloat16).save_pretrained(folder)
    for file in TOKENIZER.glob("tokenizer*"):
        shutil.copyfile(file, folder / file.name)


def write_all(folder: Path, names: list[str]) -> None:
    """Quantize the base by each scheme; calibrated ones see 8 rows of the suite's own text."""
    write_base(folder / "base")
    texts = TOKENIZER.parents[1] / "calibration" / "world.jsonl"
    for name in names:
        preset, calibrated = SCHEMES[name]
        request = QuantizeRequest(
            label=name,
            model=str(folder / "base"),
            output=str(folder / name),
            dtype="bfloat16",
            recipe=recipe(preset),
            calibration_file=str(texts) if calibrated else "",
            samples=8,
            tokens=TOKENS,
        )
        quantize.handle(request, lambda _message: None)


def prompts(folder: Path) -> list[list[int]]:
    """Return four prompts of `TOKENS` tokens, from texts that calibration did not see."""
    from transformers import AutoTokenizer

    lines = (TOKENIZER.parents[1] / "calibration" / "world.jsonl").read_text().splitlines()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [tokenizer(json.loads(line)["text"])["input_ids"] for line in lines[-40:]]
    return [row[:TOKENS] for row in rows if len(row) >= TOKENS][:4]


if __name__ == "__main__":
    write_all(Path(sys.argv[1]), sys.argv[2:] or list(SCHEMES))

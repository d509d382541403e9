"""A Llama made here: random weights, a tokenizer trained on the made-up texts. It answers nothing right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tests.suites.rows import ESSAY, MADE_UP

if TYPE_CHECKING:
    from pathlib import Path

BOS, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
# What RULER fills its prompts with. For a tokenizer that does not know it, lm-eval fails: at 4,096 tokens its documents
# on common words had no answer, and those on variables were never made.
NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n" * 9
COUNTED = " ".join(f"{number}. word" for number in range(1000)) * 9
CHAT = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
HIDDEN, LAYERS, HEADS, VOCABULARY = 128, 1, 2, 2048  # 64 a head: vLLM has no kernel for few on a CPU
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "head_dim": HIDDEN // HEADS,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}


def make(folder: Path, *, begins: bool = True) -> Path:
    """Write the model's files; `begins`: the tokenizer puts BOS before a text by itself."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(weights(), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer(begins=begins).save(str(folder / "tokenizer.json"))
    said: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT}
    said |= {"bos_token": BOS, "eos_token": END, "pad_token": PAD, "model_max_length": 8192, "padding_side": "left"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return folder


def weights() -> dict[str, Any]:
    """Return random weights by name."""
    draw = np.random.default_rng(0)
    found: dict[str, Any] = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        found |= {f"{at}self_attn.{name}_proj.weight": (HIDDEN, HIDDEN) for name in "qkvo"}
        found |= {f"{at}mlp.{name}_proj.weight": (HIDDEN, HIDDEN) for name in ("gate", "up", "down")}
        found |= {f"{at}{name}_layernorm.weight": (HIDDEN,) for name in ("input", "post_attention")}
    return {name: draw.normal(0, 0.3, size=size).astype("float32") for name, size in found.items()}


def tokenizer(*, begins: bool) -> Tokenizer:
    """Train a byte-level tokenizer; like that of Llama 3.1, it puts BOS before a text if it `begins`."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS, END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([ESSAY["text"], NOISE, COUNTED, json.dumps(MADE_UP, default=str)[:200_000]], trainer)
    if begins:
        made.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B:1", special_tokens=[(BOS, 0)]
        )
    return made

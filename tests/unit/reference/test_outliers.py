"""The variant with outliers computes what its model computes, to the last bit, and is made the same every time."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.reference import outliers
from quant.environment import DEFAULT_MATRIX
from quant.hashes import sha256

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = DEFAULT_MATRIX.parent / "models" / "ref-4m"
TEXTS = DEFAULT_MATRIX.parent / "calibration" / "world.jsonl"


@pytest.fixture(scope="module")
def variant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("models") / "outliers"
    outliers.make(SOURCE, target)
    return target


def prompts() -> list[Any]:
    """Return three texts as token ids, of shape (1, tokens)."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(SOURCE)
    with TEXTS.open(encoding="utf-8") as lines:
        return [
            tokenizer(json.loads(line)["text"], return_tensors="pt", truncation=True, max_length=128)["input_ids"]
            for line in islice(lines, 3)
        ]


def load(folder: Path, dtype: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_logits_are_those_of_the_model_without_outliers_bit_by_bit(variant: Path, dtype: str) -> None:
    plain, scaled = load(SOURCE, dtype), load(variant, dtype)
    assert [plain(ids).logits.equal(scaled(ids).logits) for ids in prompts()] == [True, True, True]


def test_the_outliers_are_128_times_what_they_were_behind_each_of_twelve_norms(variant: Path) -> None:
    from safetensors.torch import load_file

    old, new = (load_file(folder / "model.safetensors") for folder in (SOURCE, variant))
    norms = [name for name in old if name.endswith("layernorm.weight")]
    ratios = [(new[name].float() / old[name].float()).tolist() for name in norms]
    assert ratios == [[128.0 if channel in (32, 96, 160, 224) else 1.0 for channel in range(256)]] * 12


def test_it_is_made_the_same_byte_for_byte_every_time(variant: Path, tmp_path: Path) -> None:
    outliers.make(SOURCE, tmp_path / "again")
    assert sha256(tmp_path / "again" / "model.safetensors") == sha256(variant / "model.safetensors")


def test_a_factor_that_would_round_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape("only powers of two rescale exactly, found the factor 100")):
        outliers.make(SOURCE, tmp_path / "outliers", factor=100)

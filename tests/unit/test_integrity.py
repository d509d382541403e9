"""A checkpoint whose files break a promise is refused by file and tensor; one that is only written otherwise is not."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from quant.errors import CheckpointError
from quant.inputs import integrity, models
from quant.inputs.tensors import Tensor, floats
from quant.matrix import BASE
from quant.records import Format

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INT8 = Format(id="int8", family="int8", purpose="test")
TOKENIZER = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}, "truncation": None}
QUANTIZATION = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8}}},
    "ignore": ["lm_head", "re:.*visual.*"],
    "kv_cache_scheme": None,
}
TENSORS = {
    "model.embed_tokens.weight": np.ones((4, 2), np.float32),
    "lm_head.weight": np.ones((4, 2), np.float32),
    "model.visual.proj.weight": np.ones((4, 2), np.float32),
    "model.norm.weight": np.ones(2, np.float32),
    "model.layers.0.self_attn.k_proj.weight": np.ones((2, 2), np.int8),
    "model.layers.0.self_attn.k_proj.weight_scale": np.ones((2, 1), np.float16),
}
K_PROJ = "model.layers.0.self_attn.k_proj"


class Folders:
    """A base and what was made of it, to be changed before `check`."""

    def __init__(self, root: Path) -> None:
        self.base, self.made = root / "base", root / "made"
        self.base.mkdir()
        save_file({"model.norm.weight": np.ones(2, np.float32)}, self.base / "model.safetensors")
        self.write("config.json", {}, where=self.base)
        self.write("tokenizer.json", TOKENIZER, where=self.base)
        self.write("tokenizer_config.json", {"chat_template": "{{ messages }}"}, where=self.base)
        shutil.copytree(self.base, self.made)
        self.configure()
        self.tensors()

    def write(self, name: str, content: Any, where: Path | None = None) -> None:
        ((where or self.made) / name).write_text(json.dumps(content))

    def configure(self, **changes: Any) -> None:
        self.write("config.json", {"quantization_config": QUANTIZATION | changes})

    def tensors(self, **changes: Any) -> None:
        kept = {name: value for name, value in (TENSORS | changes).items() if value is not None}
        save_file(kept, self.made / "model.safetensors")

    def check(self, fmt: Format = INT8) -> None:
        sides = [models.inspect(folder, model="small", fmt=fmt.id) for folder in (self.base, self.made)]
        integrity.check(*sides, fmt)

    def complaint(self) -> str:
        with pytest.raises(CheckpointError) as caught:
            self.check()
        return str(caught.value)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def test_a_sound_checkpoint_passes(folders: Folders) -> None:
    folders.check()


def test_a_quantized_format_needs_a_quantization_config(folders: Folders) -> None:
    folders.write("config.json", {})
    assert "config.json: expected a quantization_config" in folders.complaint()


def test_a_full_precision_format_needs_none(folders: Folders) -> None:
    folders.write("config.json", {})
    folders.check(BASE)


def test_a_targeted_layer_in_full_precision_is_named(folders: Folders) -> None:
    folders.tensors(**{f"{K_PROJ}.weight": np.ones((2, 2), np.float16), f"{K_PROJ}.weight_scale": None})
    assert f"model.safetensors: tensor {K_PROJ}.weight: expected a quantized weight" in folders.complaint()


def test_targets_and_ignored_layers_may_be_regular_expressions(folders: Folders) -> None:
    group = {"targets": ["re:.*proj"], "weights": {"num_bits": 8}}
    folders.configure(config_groups={"group_0": group}, ignore=["re:.*visual.*"])
    folders.check()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_scale_that_is_no_positive_number_is_named_by_its_place(folders: Folders, value: float) -> None:
    folders.tensors(**{f"{K_PROJ}.weight_scale": np.array([[1.0], [value]], np.float32)})
    assert f"{K_PROJ}.weight_scale[1, 0]: expected a finite scale above 0, found {value}" in folders.complaint()


def test_a_scale_of_packed_integers_may_be_below_zero(folders: Folders) -> None:
    packed, scale = np.zeros((2, 1), np.int32), np.array([[1.0], [-1.0]], np.float32)
    folders.tensors(**{f"{K_PROJ}.weight": None, f"{K_PROJ}.weight_packed": packed, f"{K_PROJ}.weight_scale": scale})
    folders.check()


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 0.0])
def test_a_scale_of_packed_integers_must_be_a_number_other_than_zero(folders: Folders, value: float) -> None:
    packed, scale = np.zeros((2, 1), np.int32), np.array([[1.0], [value]], np.float32)
    folders.tensors(**{f"{K_PROJ}.weight": None, f"{K_PROJ}.weight_packed": packed, f"{K_PROJ}.weight_scale": scale})
    assert f"{K_PROJ}.weight_scale[1, 0]: expected a finite scale other than 0" in folders.complaint()


@pytest.mark.parametrize(
    ("method", "name"),
    [("awq", "scales"), ("gptq", "scales"), ("fp8", "weight_scale_inv"), ("modelopt", "weight_scale_2")],
)
def test_a_scale_is_checked_whatever_a_tool_calls_it(folders: Folders, method: str, name: str) -> None:
    folders.write("config.json", {"quantization_config": {"quant_method": method}})
    folders.tensors(**{f"{K_PROJ}.{name}": np.zeros(2, np.float16)})
    assert f"{K_PROJ}.{name}[0]: expected a finite scale above 0" in folders.complaint()


def test_modelopts_own_file_says_that_a_checkpoint_is_quantized(folders: Folders) -> None:
    folders.write("config.json", {})
    folders.write("hf_quant_config.json", {"quantization": {"quant_algo": "FP8"}})
    folders.check()


def test_a_zero_point_out_of_the_range_of_its_type_is_found(folders: Folders) -> None:
    group = {"targets": ["Linear"], "weights": {"num_bits": 4}}
    folders.configure(config_groups={"group_0": group})
    folders.tensors(**{f"{K_PROJ}.weight_zero_point": np.array([[-8], [8]], np.int8)})
    assert "expected zero points of 4 bits in -8..7, found 8" in folders.complaint()


def test_a_zero_point_has_the_bits_of_the_group_that_names_its_layer(folders: Folders) -> None:
    groups = [
        {"targets": ["re:.*k_proj"], "weights": {"num_bits": 4}},
        {"targets": ["Linear"], "weights": {"num_bits": 8}},
    ]
    folders.configure(config_groups={f"group_{n}": group for n, group in enumerate(groups)})
    folders.tensors(**{f"{K_PROJ}.weight_zero_point": np.array([[-8], [8]], np.int8)})
    assert "expected zero points of 4 bits in -8..7, found 8" in folders.complaint()


@pytest.mark.parametrize("lost", ["k_scale", "v_scale"])
def test_a_static_cache_format_needs_both_scales_of_each_layer(folders: Folders, lost: str) -> None:
    folders.configure(kv_cache_scheme={"num_bits": 8, "dynamic": False})
    scales = {"k_scale": np.ones(1, np.float32), "v_scale": np.ones(1, np.float32)} | {lost: None}
    folders.tensors(**{f"model.layers.0.self_attn.{name}": value for name, value in scales.items()})
    assert f"tensor model.layers.0.self_attn.{lost}: expected, since config.json has" in folders.complaint()


def test_a_tokenizer_saved_again_is_the_same(folders: Folders) -> None:
    again = {"truncation": {"max_length": 8}, "model": TOKENIZER["model"] | {"merges": ["a b"]}}
    (folders.made / "tokenizer.json").write_text(json.dumps(again, indent=4))
    folders.check()


def around(added: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer that puts special tokens around a text."""
    template = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}], "special_tokens": added}
    return TOKENIZER | {"post_processor": template}


def test_a_template_that_adds_no_token_is_none(folders: Folders) -> None:
    folders.write("tokenizer.json", TOKENIZER | {"post_processor": None}, where=folders.base)
    folders.write("tokenizer.json", around({}))
    folders.check()


def test_a_template_that_adds_a_token_is_another_tokenizer(folders: Folders) -> None:
    folders.write("tokenizer.json", TOKENIZER | {"post_processor": None}, where=folders.base)
    folders.write("tokenizer.json", around({"a": {"ids": [0]}}))
    assert "found another post_processor" in folders.complaint()


def test_swapped_token_numbers_are_another_tokenizer(folders: Folders) -> None:
    folders.write("tokenizer.json", TOKENIZER | {"model": TOKENIZER["model"] | {"vocab": {"a": 1, "b": 0, "ab": 2}}})
    assert "tokenizer.json: expected the tokenizer of" in folders.complaint()


def test_a_lost_tokenizer_is_found(folders: Folders) -> None:
    (folders.made / "tokenizer.json").unlink()
    assert "found none; copy the base's tokenizer" in folders.complaint()


def test_the_base_format_is_checked_for_its_tokenizer(folders: Folders) -> None:
    folders.write("tokenizer.json", {})
    with pytest.raises(CheckpointError, match="expected the tokenizer"):
        folders.check(BASE)


def test_a_chat_template_may_move_to_a_file_of_its_own(folders: Folders) -> None:
    folders.write("tokenizer_config.json", {})
    (folders.made / "chat_template.jinja").write_text("{{ messages }}")
    folders.check()


@pytest.mark.parametrize(
    "change",
    [
        lambda made: (made / "chat_template.jinja").write_text("{{ messages }} "),
        lambda made: (made / "tokenizer_config.json").unlink(),
    ],
    ids=["changed", "lost"],
)
def test_another_chat_template_is_found(folders: Folders, change: Callable[[Path], object]) -> None:
    change(folders.made)
    assert "expected the chat template of" in folders.complaint()


def test_shards_of_the_index_are_read_and_nothing_else(folders: Folders) -> None:
    (folders.made / "model.safetensors").rename(folders.made / "model-1.safetensors")
    index = {"weight_map": dict.fromkeys(TENSORS, "model-1.safetensors")}
    folders.write("model.safetensors.index.json", index)
    stray = {"model.stray_scale": np.zeros(1, np.float32)}
    save_file(stray, folders.made / "consolidated.safetensors")
    folders.check()


# Values by the definitions: OCP 8-bit Floating Point Specification 1.0, table 1 (E4M3), IEEE 754 and bfloat16 by hand.
@pytest.mark.parametrize(
    ("dtype", "data", "value"),
    [
        ("F8_E4M3", b"\x01", 2.0**-9),
        ("F8_E4M3", b"\x38", 1.0),
        ("F8_E4M3", b"\x7e", 448.0),
        ("F8_E4M3", b"\xb8", -1.0),
        ("F8_E4M3", b"\x7f", float("nan")),
        ("F8_E8M0", b"\x7f", 1.0),
        ("F8_E8M0", b"\xff", float("nan")),
        ("BF16", b"\xc0\x3f", 1.5),
        ("F16", b"\x00\x3e", 1.5),
        ("F32", b"\x00\x00\xc0\x3f", 1.5),
    ],
)
def test_every_type_of_scale_is_read(tmp_path: Path, dtype: str, data: bytes, value: float) -> None:
    (tmp_path / "scale").write_bytes(data)
    tensor = Tensor(tmp_path / "scale", "scale", dtype, (1,), 0, len(data))
    np.testing.assert_equal(floats(tensor), np.array([value], np.float32))

"""What somebody else quantized is recognised by what its config says, and refused if it does not fit its base."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quant import given
from quant.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

BASE = {"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 16}


def group(bits: int, kind: str, inputs: int | None = None) -> dict[str, Any]:
    acts = {"num_bits": inputs, "type": kind} if inputs else None
    return {"weights": {"num_bits": bits, "type": kind}, "input_activations": acts}


def tensors(*groups: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"quant_method": "compressed-tensors", "config_groups": dict(enumerate(groups)), **more}


def folder(at: Path, quantization: Any = None, **changes: Any) -> Path:
    at.mkdir()
    said = BASE | changes | ({"quantization_config": quantization} if quantization else {})
    (at / "config.json").write_text(json.dumps(said))
    return at


@pytest.mark.parametrize(
    ("said", "family", "needs"),
    [
        (tensors(group(8, "int", 8)), "int8", ("w8a8-int8",)),
        (tensors(group(8, "float", 8)), "fp8", ("w8a8-fp8",)),
        (tensors(group(4, "int")), "int4", ("w4a16",)),
        (tensors(group(8, "int", 8), group(4, "int")), "int4", ("w8a8-int8", "w4a16")),
        (tensors(group(8, "float", 8), kv_cache_scheme={"num_bits": 8}), "fp8", ("w8a8-fp8", "kv-fp8")),
        ({"quant_method": "awq", "bits": 4}, "int4", ("w4a16",)),
        ({"quant_method": "gptq", "bits": 8}, "int8", ("w8a16",)),
        ({"quant_method": "fp8"}, "fp8", ("w8a8-fp8",)),
        ({"quant_method": "fbgemm_fp8"}, "fp8", ("w8a8-fp8",)),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "fp4", ("w4a4-fp4",)),
        ({"quant_method": "mxfp4"}, "fp4", ("w4a16-fp4",)),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4", ("bitsandbytes",)),
    ],
)
def test_a_scheme_is_read_from_the_config(tmp_path: Path, said: Any, family: str, needs: tuple[str, ...]) -> None:
    assert given.scheme(folder(tmp_path / "made", said)) == (family, needs)


def test_modelopts_own_file_is_read(tmp_path: Path) -> None:
    made = folder(tmp_path / "made")
    own = {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    (made / "hf_quant_config.json").write_text(json.dumps(own))
    assert given.scheme(made) == ("fp8", ("w8a8-fp8", "kv-fp8"))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "expected a quantization_config"),
        ({"quant_method": "magic"}, "'magic' is unknown here; known are compressed-tensors, awq"),
        ({"quant_method": "gptq", "bits": 3}, "bits is 3; known are 4 and 8"),
        (tensors(group(2, "int")), "weights of 2 bits"),
    ],
)
def test_what_is_not_known_is_named(tmp_path: Path, said: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        given.scheme(folder(tmp_path / "made", said))


@pytest.mark.parametrize(("name", "value"), [("hidden_size", 9), ("num_hidden_layers", 3), ("vocab_size", 17)])
def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path, name: str, value: int) -> None:
    base, made = folder(tmp_path / "base"), folder(tmp_path / "made", {"quant_method": "fp8"}, **{name: value})
    with pytest.raises(ModelError, match=f"expected {name} {BASE[name]} as in .*, found {value}"):
        given.check_pair(base, made)


def test_a_quantized_base_is_refused(tmp_path: Path) -> None:
    base, made = folder(tmp_path / "base", {"quant_method": "fp8"}), folder(tmp_path / "made")
    with pytest.raises(ModelError, match="expected an unquantized base, found fp8; if base and checkpoint are swapped"):
        given.check_pair(base, made)


def test_one_folder_is_not_its_own_base(tmp_path: Path) -> None:
    base = folder(tmp_path / "base")
    with pytest.raises(ModelError, match="the same folder"):
        given.check_pair(base, base)


def test_a_pair_that_fits_is_accepted(tmp_path: Path) -> None:
    given.check_pair(folder(tmp_path / "base"), folder(tmp_path / "made", {"quant_method": "fp8"}))

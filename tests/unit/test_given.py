"""What somebody else quantized is recognised by what its config says, and refused if it does not fit its base."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quant.errors import ModelError
from quant.inputs import given

if TYPE_CHECKING:
    from pathlib import Path

BASE = {"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 16}


def group(bits: int, kind: str, inputs: int | None = None, *, dynamic: bool = True, **weights: Any) -> dict[str, Any]:
    acts = {"num_bits": inputs, "type": kind, "dynamic": dynamic} if inputs else None
    return {"weights": {"num_bits": bits, "type": kind, **weights}, "input_activations": acts}


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
        (tensors(group(8, "float", 8, dynamic=False)), "fp8", ("w8a8-fp8-static",)),
        (tensors(group(8, "float", 8, strategy="block")), "fp8", ("w8a8-fp8-block",)),
        (tensors(group(4, "float", 4, group_size=16)), "fp4", ("nvfp4",)),
        (tensors(group(4, "float", group_size=32)), "fp4", ("mxfp4a16",)),
        (tensors(group(4, "int")), "int4", ("w4a16",)),
        (tensors(group(8, "int", 8), group(4, "int")), "int4", ("w8a8-int8", "w4a16")),
        (tensors(group(8, "float", 8), kv_cache_scheme={"num_bits": 8}), "fp8", ("w8a8-fp8", "kv-fp8")),
        ({"quant_method": "awq", "bits": 4}, "int4", ("w4a16",)),
        ({"quant_method": "gptq", "bits": 8}, "int8", ("w8a16",)),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8", ("w8a8-fp8-static",)),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", ("w8a8-fp8-block",)),
        ({"quant_method": "fbgemm_fp8"}, "fp8", ("w8a8-fp8",)),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "fp4", ("nvfp4",)),
        ({"quant_method": "modelopt", "quant_algo": "FP8_PB_WO"}, "fp8", ("w8a8-fp8-block",)),
        ({"quant_method": "mxfp4"}, "fp4", ("mxfp4a16",)),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4", ("bitsandbytes",)),
    ],
)
def test_a_scheme_is_read_from_the_config(tmp_path: Path, said: Any, family: str, needs: tuple[str, ...]) -> None:
    assert given.scheme(folder(tmp_path / "made", said)) == (family, needs)


def test_modelopts_own_file_is_read(tmp_path: Path) -> None:
    made = folder(tmp_path / "made")
    own = {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    (made / "hf_quant_config.json").write_text(json.dumps(own))
    assert given.scheme(made) == ("fp8", ("w8a8-fp8-static", "kv-fp8"))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "expected a quantization_config"),
        ({"quant_method": "magic"}, "'magic' is unknown here; known are compressed-tensors, awq"),
        ({"quant_method": "gptq", "bits": 3}, "bits is 3; known are 4 and 8"),
        (tensors(group(2, "int")), "2 int 16 is unknown; known are 8 float 8 float"),
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


def test_files_that_transformers_reads_with_other_packages_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(given.TRANSFORMERS, "gptq", ("json", "not_installed"))
    made = folder(tmp_path / "made", {"quant_method": "gptq", "bits": 4})
    with pytest.raises(ModelError, match="are not installed: not_installed; vLLM serves them here: --backend vllm"):
        given.check_transformers(made, lacking=())


def test_files_that_transformers_computes_otherwise_are_refused_with_where_they_can_be_served(tmp_path: Path) -> None:
    made = folder(tmp_path / "made", {"quant_method": "fp8", "weight_block_size": [128, 128]})
    with pytest.raises(ModelError, match=r"does not compute fp8 files as they are meant; vLLM .* has w8a8-fp8-block"):
        given.check_transformers(made, lacking=("w8a8-fp8-block",))


def test_files_that_transformers_computes_as_named_are_accepted(tmp_path: Path) -> None:
    given.check_transformers(folder(tmp_path / "made", tensors(group(8, "int", 8))), lacking=("w8a8-int8",))

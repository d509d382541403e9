"""A checkpoint that somebody else quantized: what it is, and whether it belongs to its base.

Comes in: folders of a base and of a checkpoint. Goes out: family and needs of a `Format`, or a `ModelError` that names
file, expected, found and what to do. Must not import torch: it reads config.json and hf_quant_config.json only.
"""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from quant.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from quant.records import Family

SHAPE = ("architectures", "hidden_size", "num_hidden_layers", "vocab_size")  # what a base and its checkpoint share
CACHE = "kv-fp8"


class Scheme(NamedTuple):
    """What a checkpoint is quantized to: the family decides the gate, `needs` the backend."""

    family: Family
    needs: tuple[str, ...]


INT4, INT8 = Scheme("int4", ("w4a16",)), Scheme("int8", ("w8a16",))
DYNAMIC, STATIC, BLOCK = (Scheme("fp8", (f"w8a8-fp8{kind}",)) for kind in ("", "-static", "-block"))
NVFP4, NVFP4A16, MXFP4A16 = (Scheme("fp4", (need,)) for need in ("nvfp4", "nvfp4a16", "mxfp4a16"))
# Packages with which Transformers computes a method's files as named. The others it does not know, or it decodes them
# and leaves activations in 16 bits, or it fetches kernels from the hub.
TRANSFORMERS: dict[str, tuple[str, ...]] = {
    "compressed-tensors": ("compressed_tensors",),
    "awq": ("gptqmodel",),
    "gptq": ("gptqmodel", "optimum"),
    "mxfp4": (),
    "bitsandbytes": ("bitsandbytes",),
}


def scheme(folder: Path) -> Scheme:
    """Read how a checkpoint is quantized; raises `ModelError` if it is not, or in a way that is unknown here."""
    file, said = declaration(folder)
    if not said:
        raise ModelError(
            f"{file}: expected a quantization_config, since this is the checkpoint to gate, and found none: it is not"
            " quantized; if base and checkpoint are swapped, swap them"
        )
    method = _method(said)
    if method not in METHODS:
        raise ModelError(f"{file}: quant_method {method!r} is unknown here; known are {', '.join(METHODS)}")
    try:
        return METHODS[method](said)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{file}: quantization by {method} cannot be read: {error}") from error


def declaration(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return what says how a folder is quantized, and its file: config.json before ModelOpt's own; {} if nothing."""
    config, own = folder / "config.json", folder / "hf_quant_config.json"
    if said := _json(config).get("quantization_config"):
        return config, said
    if own.is_file():
        return own, {"quant_method": "modelopt", **_json(own).get("quantization", {})}
    return config, {}


def check_transformers(made: Path, lacking: tuple[str, ...]) -> None:
    """Raise `ModelError` if Transformers cannot serve a checkpoint; vLLM could but for what is `lacking` here."""
    file, said = declaration(made)
    method = _method(said)
    absent = [name for name in TRANSFORMERS.get(method, ()) if importlib.util.find_spec(name) is None]
    if method in TRANSFORMERS and not absent:
        return
    packages = f"reads {method} files with packages that are not installed: {', '.join(absent)}"
    why = packages if absent else f"does not compute {method} files as they are meant"
    where = f"on a machine that has {', '.join(lacking)}; this one does not" if lacking else "here: --backend vllm"
    raise ModelError(f"{file}: Transformers {why}; vLLM serves them {where}")


def check_pair(base: Path, made: Path) -> None:
    """Raise `ModelError` if a checkpoint cannot have been made of a base."""
    if base.resolve() == made.resolve():
        raise ModelError(f"{made}: base and checkpoint are the same folder; name the unquantized model as the base")
    file, said = declaration(base)
    if said:
        raise ModelError(
            f"{file}: expected an unquantized base, found {said.get('quant_method', 'a quantized model')};"
            " if base and checkpoint are swapped, swap them"
        )
    expected, found = _json(base / "config.json"), _json(made / "config.json")
    for name in SHAPE:
        if expected.get(name) != found.get(name):
            raise ModelError(
                f"{made / 'config.json'}: expected {name} {expected.get(name)!r} as in {base}, found"
                f" {found.get(name)!r}; name the model that the checkpoint was made of"
            )


def _compressed_tensors(said: Mapping[str, Any]) -> Scheme:
    """Take the lowest bits of all groups; a format that quantizes only the KV cache has none."""
    groups = [group for group in said.get("config_groups", {}).values() if group.get("weights")]
    cache = (CACHE,) if said.get("kv_cache_scheme") else ()
    if not groups:
        return Scheme("fp8", cache)
    group = min(groups, key=lambda group: int(group["weights"]["num_bits"]))
    return _group(group)._replace(needs=(*_needs(groups), *cache))


def _needs(groups: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(need for group in groups for need in _group(group).needs))


def _group(group: Mapping[str, Any]) -> Scheme:
    weights, inputs = group["weights"], group.get("input_activations")
    bits, kind = int(weights["num_bits"]), weights["type"]
    right = f"{int(inputs['num_bits'])} {inputs['type']}" if inputs else "16"
    found = GROUPS.get(f"{bits} {kind} {right}")
    if found is None:
        raise ValueError(f"{bits} {kind} {right} is unknown; known are {', '.join(GROUPS)} (weights, activations)")
    if found == DYNAMIC and inputs:
        whole = weights.get("strategy") == "tensor" or not inputs.get("dynamic", True)
        return BLOCK if weights.get("strategy") == "block" else STATIC if whole else DYNAMIC
    if found.family == "fp4" and weights.get("group_size") == 32:  # noqa: PLR2004 - of the open standard; NVFP4 has 16
        return found._replace(needs=tuple(need.replace("nv", "mx") for need in found.needs))
    return found


def _by_bits(default: int | None = None) -> Callable[[Mapping[str, Any]], Scheme]:
    def read(said: Mapping[str, Any]) -> Scheme:
        bits = int(said.get("bits") or said.get("w_bit") or default or 0)
        if bits not in (4, 8):
            raise ValueError(f"bits is {bits}; known are 4 and 8")
        return INT4 if bits == 4 else INT8  # noqa: PLR2004

    return read


def _fp8(said: Mapping[str, Any]) -> Scheme:
    # One scale a tensor of weights takes the kernels of static scales, even where activations are scaled as they come:
    # on a CPU vLLM has neither (measured).
    return BLOCK if said.get("weight_block_size") else STATIC


def _modelopt(said: Mapping[str, Any]) -> Scheme:
    algorithm = str(said["quant_algo"]).upper()
    if algorithm not in MODELOPT:
        raise ValueError(f"quant_algo is {algorithm}; known are {', '.join(MODELOPT)}")
    cached = said.get("kv_cache_scheme") or str(said.get("kv_cache_quant_algo") or "").upper() == "FP8"
    found = MODELOPT[algorithm]
    return found._replace(needs=(*found.needs, CACHE)) if cached else found


def _bitsandbytes(said: Mapping[str, Any]) -> Scheme:
    return Scheme("int4" if said.get("load_in_4bit") else "int8", ("bitsandbytes",))


def _method(said: Mapping[str, Any]) -> str:
    return str(said.get("quant_method") or said.get("quant_algo") or "").lower()


# Bits and type of weights, then of activations.
GROUPS: dict[str, Scheme] = {
    "8 float 8 float": DYNAMIC,
    "8 float 16": Scheme("fp8", ("w8a16-fp8",)),
    "8 int 8 int": Scheme("int8", ("w8a8-int8",)),
    "8 int 16": INT8,
    "4 int 16": INT4,
    "4 int 8 int": Scheme("int4", ("w4a8",)),
    "4 int 8 float": Scheme("int4", ("w4afp8",)),
    "4 float 4 float": NVFP4,
    "4 float 16": NVFP4A16,
}
MODELOPT: dict[str, Scheme] = {
    "FP8": STATIC,
    "FP8_PER_CHANNEL_PER_TOKEN": DYNAMIC,
    "FP8_PB_WO": BLOCK,
    "NVFP4": NVFP4,
    "W4A16_NVFP4": NVFP4A16,
}
METHODS: dict[str, Callable[[Mapping[str, Any]], Scheme]] = {
    "compressed-tensors": _compressed_tensors,
    "awq": _by_bits(),
    "gptq": _by_bits(),
    "fp8": _fp8,
    "fbgemm_fp8": lambda _said: DYNAMIC,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "mxfp4": lambda _said: MXFP4A16,
    "bitsandbytes": _bitsandbytes,
}


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ModelError(f"{file} is missing; a model folder holds one") from None
    except ValueError as error:
        raise ModelError(f"{file}: not valid JSON: {error}; fetch it again") from error

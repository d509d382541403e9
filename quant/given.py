"""A checkpoint that somebody else quantized: what it is, and whether it belongs to its base.

Comes in: folders of a base and of a checkpoint. Goes out: family and needs of a `Format`, or a `ModelError` that names
file, expected, found and what to do. Must not import torch: it reads config.json and hf_quant_config.json only.
"""

from __future__ import annotations

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


FP8 = Scheme("fp8", ("w8a8-fp8",))
INT8, INT4, FP4 = Scheme("int8", ("w8a8-int8",)), Scheme("int4", ("w4a16",)), Scheme("fp4", ("w4a4-fp4",))


def scheme(folder: Path) -> Scheme:
    """Read how a checkpoint is quantized; raises `ModelError` if it is not, or in a way that is unknown here."""
    file, said = declaration(folder)
    if not said:
        raise ModelError(
            f"{file}: expected a quantization_config, since this is the checkpoint to gate, and found none: it is not"
            " quantized; if base and checkpoint are swapped, swap them"
        )
    method = str(said.get("quant_method") or said.get("quant_algo") or "")
    if method.lower() not in METHODS:
        raise ModelError(f"{file}: quant_method {method!r} is unknown here; known are {', '.join(METHODS)}")
    try:
        return METHODS[method.lower()](said)
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
    family: Family | None = {(8, "float"): "fp8", (8, "int"): "int8", (4, "int"): "int4", (4, "float"): "fp4"}.get(  # type: ignore[assignment]
        (bits, kind)
    )
    if family is None:
        raise ValueError(f"weights of {bits} bits, type {kind}; known are 4 and 8 bits of int and float")
    right = f"a{inputs['num_bits']}" if inputs else "a16"
    plain = f"w{bits}{right}"
    same = inputs and int(inputs["num_bits"]) == bits
    suffix = {"float": f"-fp{bits}", "int": "-int8" if bits == 8 else ""}[kind] if same else ""  # noqa: PLR2004
    return Scheme(family, (plain + suffix,))


def _by_bits(default: int | None = None) -> Callable[[Mapping[str, Any]], Scheme]:
    def read(said: Mapping[str, Any]) -> Scheme:
        bits = int(said.get("bits") or said.get("w_bit") or default or 0)
        if bits not in (4, 8):
            raise ValueError(f"bits is {bits}; known are 4 and 8")
        return INT4 if bits == 4 else Scheme("int8", ("w8a16",))  # noqa: PLR2004

    return read


def _modelopt(said: Mapping[str, Any]) -> Scheme:
    algorithm = str(said["quant_algo"]).upper()
    if algorithm not in ("FP8", "NVFP4"):
        raise ValueError(f"quant_algo is {algorithm}; known are FP8 and NVFP4")
    found = FP8 if algorithm == "FP8" else FP4
    cache = (CACHE,) if str(said.get("kv_cache_quant_algo") or "").upper() == "FP8" else ()
    return found._replace(needs=found.needs + cache)


def _bitsandbytes(said: Mapping[str, Any]) -> Scheme:
    return Scheme("int4" if said.get("load_in_4bit") else "int8", ("bitsandbytes",))


METHODS: dict[str, Callable[[Mapping[str, Any]], Scheme]] = {
    "compressed-tensors": _compressed_tensors,
    "awq": _by_bits(),
    "gptq": _by_bits(),
    "fp8": lambda _said: FP8,
    "fbgemm_fp8": lambda _said: FP8,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "mxfp4": lambda _said: Scheme("fp4", ("w4a16-fp4",)),
    "bitsandbytes": _bitsandbytes,
}


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ModelError(f"{file} is missing; a model folder holds one") from None
    except ValueError as error:
        raise ModelError(f"{file}: not valid JSON: {error}; fetch it again") from error

"""Memory planner: whether a model with its KV cache fits on this machine, and on how many devices. Pure arithmetic.

Comes in: a `Model`, its `Shape` (declared, or read from its files), `Hardware`. Goes out: bytes, a number of devices,
or a `ModelError` that says what would fit. Starts nothing, loads nothing, and must not import torch. Not counted: what
an engine needs besides (activations, CUDA graphs), and what sliding windows save of the KV cache.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from quant.errors import ModelError
from quant.inputs import integrity, models, tensors
from quant.matrix import BASE
from quant.records import Shape
from quant.workloads import Sizes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from quant.records import Family, Format, Hardware, Model

USABLE = 0.9  # of a device's memory: what engines take unless they are told otherwise (gpu_memory_utilization)
SEQUENCES = 4  # of `context_tokens` each that must fit at once: with fewer, requests are served almost one by one
BUSY_TOKENS = 65_536  # but no more together, beyond one sequence
GIGABYTE = 1e9
SMALLEST_CONTEXT = 512
# Bits a weight of a linear layer, with scales (16 bit a group of 128; NVFP4: 8 a 16; MXFP4: 8 a 32) and zero points.
SCHEMES = {
    "NVFP4": 4 + 8 / 16,
    "MXFP4": 4 + 8 / 32,
    "W4A16_ASYM": 4 + 20 / 128,
    "W4": 4 + 16 / 128,
    "W8": 8.0,
    "FP8": 8.0,
    "INT8": 8.0,
    "MXFP8": 8 + 8 / 32,
}
FAMILIES: dict[Family, float] = {"bf16": 16.0, "fp8": 8.0, "int8": 8.0, "int4": 4 + 20 / 128, "fp4": 4 + 8 / 16}

# What formats multiply that quantize activations too, by the capability they need; others multiply in 16 bits.
OPERANDS = {
    "w8a8-fp8": "fp8",
    "w8a8-fp8-static": "fp8",
    "w8a8-fp8-block": "fp8",
    "w4afp8": "fp8",
    "w8a8-int8": "int8",
    "w4a8": "int8",
    "nvfp4": "fp4",
    "mxfp4": "fp4",
}


class Need(NamedTuple):
    """Bytes that serving takes, over all devices together."""

    weights: int
    cache: int

    @property
    def total(self) -> int:
        """Return both together."""
        return self.weights + self.cache


def need(model: Model, shape: Shape, fmt: Format = BASE) -> Need:
    """Return what a model in a format takes: embeddings, norms and lm_head stay as wide as they are."""
    found = sizes(model, shape, fmt)
    weights = (shape.linear * found.bits + (shape.parameters - shape.linear) * found.other_bits) / 8
    tokens = model.context_tokens * sequences(model.context_tokens)
    return Need(math.ceil(weights), token_bytes(shape, found.cache_bits) * tokens)


def sizes(model: Model, shape: Shape, fmt: Format) -> Sizes:
    """Return the widths of a model's numbers in a format, and what its linear layers multiply."""
    wide = 32 if model.dtype == "float32" else 16
    return Sizes(
        shape=shape,
        bits=wide if fmt.family == "bf16" else bits(fmt),
        other_bits=wide,
        cache_bits=cache_bits(fmt, wide),
        operands=next((OPERANDS[name] for name in fmt.needs if name in OPERANDS), "bf16"),
    )


def sequences(context_tokens: int) -> int:
    """Return how many sequences of a context must fit at once: one of a long context keeps a device busy."""
    return max(1, min(SEQUENCES, BUSY_TOKENS // context_tokens))


def served(model: Model, shape: Shape, fmt: Format, machine: Hardware, count: int) -> Sizes:
    """Return the same for `count` devices of a machine, with the most tokens that they hold beside the weights."""
    found, weights = sizes(model, shape, fmt), need(model, shape, fmt).weights
    room = 0.0 if machine.kind.startswith("cpu") else count * _usable(model, machine) - weights
    held = max(0, int(room / token_bytes(shape, found.cache_bits)))
    most = int(model.engine.get("max_num_seqs") or 0)
    return replace(found, devices=count, sequences=most, cache_tokens=held)


def token_bytes(shape: Shape, wide: int = 16) -> int:
    """Return the KV cache of one token: a key and a value for each layer, KV head and dimension."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * wide // 8


def bits(fmt: Format) -> float:
    """Return the bits a linear weight, scales included: the widest scheme of the recipe, else those of the family."""
    found = max(_bits(fmt), default=FAMILIES[fmt.family])
    return fmt.mixed.bits + found % 1 if fmt.mixed else found


def cache_bits(fmt: Format, wide: int = 16) -> int:
    """Return the bits of a number in the KV cache: those of the recipe's scheme for it, else as wide as the model."""
    schemes = [arguments.get("kv_cache_scheme") or {} for _, arguments in fmt.recipe]
    return min((int(scheme["num_bits"]) for scheme in schemes if "num_bits" in scheme), default=wide)


def devices(model: Model, shape: Shape | None, machine: Hardware, formats: Iterable[Format] = ()) -> int:
    """Return how many devices serve a model and all its formats: their scores must differ by the format alone.

    It is what the model says, else the smallest power of two that divides its KV heads and holds the unquantized model;
    1 where sizes are unknown. `ModelError` if it does not fit, with which of `formats` would.
    """
    there = 1 if machine.kind.startswith("cpu") else machine.devices
    if model.tensor_parallel > max(there, 1):
        raise ModelError(
            f"model {model.id!r}: `tensor_parallel = {model.tensor_parallel}`, found {there} x {machine.name}; write 0"
            " for as few as hold it"
        )
    if shape is None or not machine.memory_bytes:
        return max(1, model.tensor_parallel)
    usable = _usable(model, machine)
    for count in [model.tensor_parallel] if model.tensor_parallel else _counts(shape, there):
        if need(model, shape).total <= count * usable:
            return count
    raise ModelError(_too_large(model, shape, machine, model.tensor_parallel or max(_counts(shape, there)), formats))


def read(folder: Path, where: str) -> Shape | None:
    """Read the shape of a model from its `config.json` and the headers of its weights; None if they do not say."""
    said = json.loads((folder / "config.json").read_text())
    config: dict[str, Any] = said.get("text_config") or said
    heads = config.get("num_attention_heads")
    if not heads or not config.get("num_hidden_layers") or not config.get("hidden_size"):
        return None
    sizes = {
        tensor.name: (len(tensor.shape), math.prod(tensor.shape))
        for file in models.weights(folder, where)
        for tensor in tensors.headers(file)
    }
    linear = [size for name, (axes, size) in sizes.items() if axes > 1 and _is_linear(name)]
    return Shape(
        parameters=sum(size for _, size in sizes.values()),
        linear=sum(linear),
        layers=config["num_hidden_layers"],
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        hidden=config["hidden_size"],
        head=_head({name: size for name, (_, size) in sizes.items()}),
    )


def _head(sizes: dict[str, int]) -> int:
    """Return the weights of the output layer, or of the embeddings that it is tied to; 0 if no name tells."""
    return next((size for part in ("lm_head", "embed_tokens") for name, size in sizes.items() if part in name), 0)


def _is_linear(name: str) -> bool:
    """Say whether a matrix of this name is a linear layer of a text block, which formats quantize."""
    return ".layers." in name and "vision" not in name and not integrity.NOT_LINEAR.match(name.removesuffix(".weight"))


def _bits(fmt: Format) -> Iterator[float]:
    for _, arguments in fmt.recipe:
        scheme = arguments.get("scheme") or ()
        for name in [scheme] if isinstance(scheme, str) else scheme:
            yield next((found for start, found in SCHEMES.items() if name.startswith(start)), FAMILIES[fmt.family])
        for group in (arguments.get("config_groups") or {}).values():
            if weights := group.get("weights"):
                yield _group_bits(weights)


def _group_bits(weights: dict[str, Any]) -> float:
    wide, size = int(weights["num_bits"]), weights.get("group_size") or 0
    beside = 16 + (0 if weights.get("symmetric", True) else wide)
    return wide + (beside / size if size > 0 else 0)


def _counts(shape: Shape, there: int) -> list[int]:
    """Return the powers of two up to `there` that divide the KV heads."""
    powers = [2**power for power in range(max(there, 1).bit_length())]
    return [count for count in powers if shape.kv_heads % count == 0]


def _together(context_tokens: int) -> str:
    count = sequences(context_tokens)
    return f"{count} sequence{'s' if count > 1 else ''} of {context_tokens:,}"


def _usable(model: Model, machine: Hardware) -> float:
    """Return the bytes of one device that an engine takes."""
    return float(model.engine.get("gpu_memory_utilization", USABLE)) * machine.memory_bytes


def _too_large(model: Model, shape: Shape, machine: Hardware, count: int, formats: Iterable[Format]) -> str:
    needed, usable = need(model, shape), _usable(model, machine)
    return (
        f"model {model.id!r}: does not fit: {gigabytes(needed.weights)} of unquantized weights and"
        f" {gigabytes(needed.cache)} of KV cache ({_together(model.context_tokens)} tokens),"
        f" found {gigabytes(count * usable)} on {count} x {machine.name} ({gigabytes(machine.memory_bytes)} each); it"
        f" would fit {_remedy(model, shape, machine, count)}{_alone(model, shape, count * usable, formats)}"
    )


def _remedy(model: Model, shape: Shape, machine: Hardware, count: int) -> str:
    needed, usable = need(model, shape), _usable(model, machine)
    counts = [1] if machine.kind.startswith("cpu") else _counts(shape, shape.kv_heads)
    enough = next((n for n in counts if needed.total <= n * usable), 0)
    size = needed.total / counts[-1] / usable * machine.memory_bytes
    more = f"on {enough} such devices" if enough else f"on {counts[-1]} x {gigabytes(size)}"
    held = (count * usable - needed.weights) / needed.cache * model.context_tokens * sequences(model.context_tokens)
    room = max((held / n for n in range(1, SEQUENCES + 1) if held >= n and sequences(int(held / n)) <= n), default=0)
    context = int(room) // SMALLEST_CONTEXT * SMALLEST_CONTEXT
    name = "longest_context_tokens" if model.context_tokens == model.longest_context_tokens else "context_tokens"
    return f"{more}, or with `{name} = {context}`" if context > 0 else more


def _alone(model: Model, shape: Shape, room: float, formats: Iterable[Format]) -> str:
    """Name the formats that fit where the model that they are compared with does not."""
    fitting = {fmt.id: need(model, shape, fmt).total for fmt in formats}
    named = ", ".join(f"{name} ({gigabytes(total)})" for name, total in fitting.items() if total <= room)
    return f"; {named} would fit, but nothing is compared without the unquantized model" if named else ""


def gigabytes(size: float) -> str:
    """Return a size as messages write it."""
    return f"{size / GIGABYTE:,.2f} GB"

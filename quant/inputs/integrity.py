"""The checkpoint gate: what is wrong with a checkpoint's files, found before an engine starts.

Comes in: the base and what was made of it, as `Checkpoint`s, and the `Format`. Goes out: nothing, or a
`CheckpointError`. Must not import torch: it reads the headers of safetensors files, their scales and zero points, so a
small model takes milliseconds. An engine would load each of these checkpoints, and some of them without a warning.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quant.errors import CheckpointError
from quant.inputs import given, models
from quant.inputs.tensors import content, floats, headers

if TYPE_CHECKING:
    from quant.inputs.tensors import Tensor
    from quant.records import Checkpoint, Format

WIDE = ("BF16", "F16", "F32", "F64")  # safetensors' names of types that no quantized weight is stored in
INTEGERS = {"I8": np.int8, "U8": np.uint8, "I16": np.int16}
# Two-dimensional weights that are no linear layer: embeddings, and routers that newer model classes keep as parameters.
NOT_LINEAR = re.compile(r"(^|.*\.)(\w*embed\w*|wte|wpe|gate|router)$")
NO_LAYER = re.compile(r"(^|.*\.)(\w*embed\w*|wte|wpe|lm_head)$")  # of vLLM's linear layers
# Scales as compressed-tensors and ModelOpt (weight_scale_2), FP8 by blocks (_inv), AWQ and GPTQ (scales) call them.
SCALE = re.compile(r".*(_scale(_inv|_2)?|[._]scales)$")
# Left behind in tokenizer.json by the last call before it was saved; every call sets them anew.
LAST_CALL = ("padding", "truncation")
AGAIN = "quantize again, or fetch the checkpoint again"


def check(base: Checkpoint, made: Checkpoint, fmt: Format) -> None:
    """Raise `CheckpointError` naming checkpoint, file, tensor, what was expected and what to do.

    A full-precision format is only checked for its tokenizer and chat template.
    """
    where = f"{made.model} {made.format}"
    _check_tokenizer(Path(base.path), Path(made.path), where)
    _check_template(Path(base.path), Path(made.path), where)
    if fmt.family == "bf16":
        return
    _, config = given.declaration(Path(made.path))
    if not config:
        raise CheckpointError(
            f"{where}: {made.path}/config.json: expected a quantization_config, since the format is {fmt.family}, and "
            f"found none: the recipe quantized nothing; check its `targets` and `ignore`"
        )
    tensors = {t.name: t for file in models.weights(Path(made.path), where) for t in headers(file)}
    _check_linear_layers(tensors, config, where)
    _check_cache_scales(tensors, config, where)
    for tensor in tensors.values():
        if SCALE.match(tensor.name):
            _check_scale(tensor, where, signed=_of_packed_integers(tensor, tensors))
        elif tensor.name.endswith(".weight_zero_point"):
            _check_zero_point(tensor, config, where)


def _of_packed_integers(scale: Tensor, tensors: dict[str, Tensor]) -> bool:
    """Say whether a scale may be below 0: AutoRound turns the sign where the largest weight is better stored as -8."""
    weights = (tensors.get(f"{scale.name.rpartition('.')[0]}.{name}") for name in ("weight_packed", "qweight"))
    return any(weight is not None and weight.dtype == "I32" for weight in weights)


def _check_scale(tensor: Tensor, where: str, *, signed: bool) -> None:
    values = floats(tensor)
    wrong = ~np.isfinite(values) | (values == 0 if signed else values <= 0)
    if wrong.any():
        place = [int(i) for i in np.unravel_index(int(np.argmax(wrong)), tensor.shape)] if tensor.shape else []
        raise CheckpointError(
            f"{where}: {tensor.file}: tensor {tensor.name}{place}: expected a finite scale "
            f"{'other than' if signed else 'above'} 0, found {values[wrong][0]} ({int(wrong.sum()):,} such of"
            f" {values.size:,}); {AGAIN}"
        )


def _check_zero_point(tensor: Tensor, config: dict[str, Any], where: str) -> None:
    """Check zero points stored one an integer; packed ones (I32) hold no pattern that is out of range."""
    if tensor.dtype not in INTEGERS:
        return
    bits = _bits(tensor.name.removesuffix(".weight_zero_point"), config)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    values = np.frombuffer(content(tensor), INTEGERS[tensor.dtype])
    wrong = (values < low) | (values > high)
    if wrong.any():
        raise CheckpointError(
            f"{where}: {tensor.file}: tensor {tensor.name}: expected zero points of {bits} bits in "
            f"{low}..{high}, found {values[wrong][0]} ({int(wrong.sum()):,} such of {values.size:,}); {AGAIN}"
        )


def _check_linear_layers(tensors: dict[str, Tensor], config: dict[str, Any], where: str) -> None:
    """Find layers that the config calls quantized and the file holds in full precision."""
    if config.get("quant_method") != "compressed-tensors" or config.get("format") == "dense":
        return
    groups = [group for group in config.get("config_groups", {}).values() if group.get("weights")]
    targets = [target for group in groups for target in group["targets"]]
    for tensor in tensors.values():
        module = tensor.name.removesuffix(".weight")
        if module == tensor.name or len(tensor.shape) != 2 or tensor.dtype not in WIDE:  # noqa: PLR2004 - a matrix
            continue
        if f"{module.removesuffix('.out_proj')}.in_proj_weight" in tensors:  # of torch's own attention, and no Linear
            continue
        if _targeted(module, targets) and not _listed(module, config.get("ignore") or []):
            raise CheckpointError(
                f"{where}: {tensor.file}: tensor {tensor.name}: expected a quantized weight, since config.json "
                f"targets {', '.join(targets)} and does not ignore it, found {tensor.dtype} {list(tensor.shape)}"
                f"{'' if f'{module}.weight_scale' in tensors else ' without a scale'}; {AGAIN}"
            )


def wide_layers(folder: Path) -> int:
    """Count matrices that a checkpoint holds in full precision, embeddings and the head left out."""
    tensors = [tensor for file in models.weights(folder, str(folder)) for tensor in headers(file)]
    wide = [tensor for tensor in tensors if tensor.dtype in WIDE and len(tensor.shape) == 2]  # noqa: PLR2004
    modules = [tensor.name.removesuffix(".weight") for tensor in wide if tensor.name.endswith(".weight")]
    return sum(not NO_LAYER.match(module) for module in modules)


def _bits(module: str, config: dict[str, Any]) -> int:
    """Return how many bits a layer's weights have: a group that names the layer comes before one that means all."""
    groups = [group for group in config.get("config_groups", {}).values() if group.get("weights")]
    named = [group for group in groups if _listed(module, group["targets"])]
    return max((group["weights"]["num_bits"] for group in named or groups), default=8)


def _targeted(module: str, targets: list[str]) -> bool:
    return _listed(module, targets) or ("Linear" in targets and not NOT_LINEAR.match(module))


def _listed(module: str, patterns: list[str]) -> bool:
    """Match names as compressed-tensors does: `re:` begins a regular expression, anything else is a whole name."""
    return any(re.match(p[3:], module) if p.startswith("re:") else p == module for p in patterns)


def _check_cache_scales(tensors: dict[str, Tensor], config: dict[str, Any], where: str) -> None:
    """Expect two scales for each attention layer of a static KV cache format; vLLM takes 1.0 for those it lacks."""
    scheme = config.get("kv_cache_scheme")
    if not scheme or scheme.get("dynamic"):
        return
    layers = {name.partition(".k_proj.")[0]: t for name, t in tensors.items() if ".k_proj." in name}
    for layer, tensor in layers.items():
        for scale in ("k_scale", "v_scale"):
            if f"{layer}.{scale}" not in tensors:
                raise CheckpointError(
                    f"{where}: {tensor.file}: tensor {layer}.{scale}: expected, since config.json has a "
                    f"kv_cache_scheme, and missing: it would be served as 1.0; {AGAIN}"
                )


def _check_tokenizer(base: Path, made: Path, where: str) -> None:
    if (base / "tokenizer.json").is_file() and (found := tokenizer(made)) != (expected := tokenizer(base)):
        parts = ", ".join(sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key)))
        raise CheckpointError(
            f"{where}: {made / 'tokenizer.json'}: expected the tokenizer of {base}, found "
            f"{f'another {parts}' if found else 'none'}; copy the base's tokenizer beside the weights"
        )


def tokenizer(folder: Path) -> dict[str, Any]:
    """Return what a tokenizer.json says, however it was written; {} if there is none."""
    if not (folder / "tokenizer.json").is_file():
        return {}
    said = {key: value for key, value in _json(folder / "tokenizer.json").items() if key not in LAST_CALL}
    after = said.get("post_processor") or {}
    if after.get("type") == "TemplateProcessing" and not after.get("special_tokens"):
        said["post_processor"] = None  # adds no token: how Transformers 5 writes that there is none
    model = dict(said.get("model") or {})
    # Older files write a merge as "a b", newer ones as ["a", "b"].
    model["merges"] = [m if isinstance(m, str) else " ".join(m) for m in model.get("merges") or []]
    return said | {"model": model}


def _check_template(base: Path, made: Path, where: str) -> None:
    if (found := template(made)) != (expected := template(base)):
        raise CheckpointError(
            f"{where}: {made}: expected the chat template of {base} ({len(expected)} characters), found "
            f"{f'another ({len(found)} characters)' if found else 'none'}; copy the base's beside the weights"
        )


def template(folder: Path) -> str:
    """Return the chat template as Transformers finds it: a file of its own comes before tokenizer_config.json."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    if not (folder / "tokenizer_config.json").is_file():
        return ""
    said = _json(folder / "tokenizer_config.json").get("chat_template") or ""
    return said if isinstance(said, str) else json.dumps(said, sort_keys=True)


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))

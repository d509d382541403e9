"""What a recipe leaves open, settled by measuring on texts that calibration does not see. Runs in the quantize child.

Comes in: a `QuantizeRequest`, how to quantize. Goes out: a recipe with nothing left open, and what was measured. The
measure is the mean KL divergence per token, in nats, of the quantized model's distribution of the next token from the
unquantized one's (full vocabulary, teacher-forced). The quantized model is the one in memory, which rounds weights and
activations as its scheme says.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from quant.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from quant.records import Mixed, Recipe, Search
    from quant.stages.protocol import QuantizeRequest

MEASURE = "KL divergence per token, nats"
TOKENS = 512  # of a held-out text: its distributions are kept, 0.5 MB a token with a vocabulary of 128,256
# What vLLM fuses into one layer, which therefore has one scheme.
FUSED = {
    "experts": re.compile(r"\.experts\..*$"),
    "qkv_proj": re.compile(r"\.[qkv]_proj$"),
    "gate_up_proj": re.compile(r"\.(gate|up)_proj$"),
}


class Choice(NamedTuple):
    """A recipe with nothing left open; `found` is for the record, empty if nothing was open."""

    recipe: Recipe
    found: dict[str, Any]


def settle(
    request: QuantizeRequest,
    quantize: Callable[[Recipe], AbstractContextManager[Any]],
    load: Callable[[], AbstractContextManager[Any]],
    report: Callable[[str], None],
) -> Choice:
    """Close what the recipe leaves open; `load` and `quantize` lend a model, one at a time."""
    choice = Choice(request.recipe, {})
    if request.search:
        choice = _searched(request, request.search, quantize, load, report)
    if request.mixed:
        mixed = _mixed(request, choice.recipe, request.mixed, load, report)
        choice = Choice(mixed.recipe, choice.found | mixed.found)
    return choice


def texts(file: str, start: int, count: int) -> list[str]:
    """Return texts of a JSONL file, from a line on; `UsageError` if there are none."""
    with Path(file).open() as lines:
        found = [json.loads(line)["text"] for line in islice(lines, start, start + count)]
    if not found:
        raise UsageError(f"{file}: no text is left from line {start + 1} on; add some, or calibrate with fewer samples")
    return found


class HeldOut:
    """Held-out texts, and what the unquantized model says of them."""

    def __init__(self, request: QuantizeRequest, count: int, base: Any) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(request.model)
        held_out = texts(request.calibration_file, request.samples, count)
        longest = min(TOKENS, request.tokens)
        encoded = [tokenizer(text, truncation=True, max_length=longest) for text in held_out]
        self._tokens = [one["input_ids"] for one in encoded if one["input_ids"]]
        self._base = [logprobs.cpu() for logprobs in self._logprobs(base)]

    def loss(self, model: Any) -> float:
        """Return the mean KL divergence per token, in nats."""
        total, count = 0.0, 0
        for expected, found in zip(self._base, self._logprobs(model), strict=True):
            there = expected.to(found.device)
            total += float((there.exp() * (there - found)).sum())
            count += len(found)
        return total / count

    def _logprobs(self, model: Any) -> Iterator[Any]:
        import torch

        with torch.no_grad():
            for tokens in self._tokens:
                logits = model(torch.tensor([tokens], device=model.device)).logits[0]
                yield torch.log_softmax(logits.float(), dim=-1)


def _searched(
    request: QuantizeRequest,
    search: Search,
    quantize: Callable[[Recipe], AbstractContextManager[Any]],
    load: Callable[[], AbstractContextManager[Any]],
    report: Callable[[str], None],
) -> Choice:
    """Try each value; the least loss wins, the first of equal ones."""
    losses = []
    with load() as base:
        held_out = HeldOut(request, search.held_out, base)
    for value in search.values:
        report(f"trying {search.argument} {value}")
        with quantize(_with(request.recipe, search.argument, value)) as model:
            losses.append(held_out.loss(_reading_once(model)))
    best = search.values[losses.index(min(losses))]
    tried = [[value, loss] for value, loss in zip(search.values, losses, strict=True)]
    found = {"argument": search.argument, "chosen": best, "tried": tried, "measure": MEASURE}
    return Choice(_with(request.recipe, search.argument, best), {"search": found})


def _reading_once(model: Any) -> Any:
    """Have each quantized layer read its weight once a call.

    llm-compressor rounds the weight that a layer reads and computes with the one that it reads next: of a model that is
    not on the device, another copy, which is not rounded.
    """
    from compressed_tensors.offload import disable_offloading

    for layer in model.modules():
        if hasattr(layer, "quantization_scheme"):
            layer.forward = disable_offloading()(layer.forward)
    return model


def _with(recipe: Recipe, argument: str, value: Any) -> Recipe:
    modifier, _, name = argument.partition(".")
    return tuple((m, arguments | {name: value} if m == modifier else arguments) for m, arguments in recipe)


def _mixed(
    request: QuantizeRequest,
    recipe: Recipe,
    mixed: Mixed,
    load: Callable[[], AbstractContextManager[Any]],
    report: Callable[[str], None],
) -> Choice:
    """Round one unit at a time; spare those that lose most for the bits that it takes, as far as these last."""
    from compressed_tensors.quantization import preset_name_to_scheme

    place, (modifier, arguments) = next((n, m) for n, m in enumerate(recipe) if "scheme" in m[1])
    low, high = (preset_name_to_scheme(name, ["Linear"]) for name in (arguments["scheme"], mixed.high))
    with load() as model:
        held_out, losses = HeldOut(request, mixed.held_out, model), {}
        units = _units(model, arguments.get("ignore", []))
        for name, layers in units.items():
            report(f"rounding {name} alone")
            losses[name] = _loss_of_rounding(held_out, model, layers, low.weights)
        weights = {name: sum(layer.weight.numel() for layer in layers.values()) for name, layers in units.items()}
    low_bits, high_bits = low.weights.num_bits, high.weights.num_bits
    affordable = int(sum(weights.values()) * (mixed.bits - low_bits) / (high_bits - low_bits))
    spared = _spared(losses, weights, affordable)
    groups = {"low": (low, [name for name in units if name not in spared]), "high": (high, spared)}
    config = {
        group: _table(scheme) | {"targets": [layer for name in names for layer in units[name]]}
        for group, (scheme, names) in groups.items()
        if names
    }
    kept = {key: value for key, value in arguments.items() if key not in ("scheme", "targets")}
    closed = (*recipe[:place], (modifier, kept | {"config_groups": config}), *recipe[place + 1 :])
    found = {"scheme": mixed.high, "spared": spared, "loss": losses, "measure": MEASURE}
    return Choice(closed, {"mixed": found})


def _table(scheme: Any) -> dict[str, Any]:
    return dict(scheme.model_dump(mode="json", exclude_none=True))


def _spared(losses: dict[str, float], weights: dict[str, int], affordable: int) -> list[str]:
    """Return the units that lose most for each of their weights, as long as `affordable` weights last."""
    spared = []
    for name in sorted(losses, key=lambda name: losses[name] / weights[name], reverse=True):
        if weights[name] <= affordable:
            spared.append(name)
            affordable -= weights[name]
    return spared


def _units(model: Any, ignore: list[str]) -> dict[str, dict[str, Any]]:
    """Return the linear layers that quantization takes, gathered by what vLLM fuses."""
    from compressed_tensors.utils import match_named_modules

    units: dict[str, dict[str, Any]] = {}
    for name, layer in match_named_modules(model, ["Linear"], ignore):
        units.setdefault(unit(name), {})[name] = layer
    return units


def unit(layer: str) -> str:
    """Name what vLLM fuses a layer into; the layer itself if it stays alone."""
    for part, pattern in FUSED.items():
        if found := pattern.search(layer):
            return f"{layer[: found.start()]}.{part}"
    return layer


def _loss_of_rounding(held_out: HeldOut, model: Any, layers: dict[str, Any], scheme: Any) -> float:
    """Return the loss with these layers' weights rounded to nearest, and put the weights back."""
    kept = {name: layer.weight.data for name, layer in layers.items()}
    for layer in layers.values():
        layer.weight.data = _rounded(layer.weight.data, scheme)
    loss = held_out.loss(model)
    for name, layer in layers.items():
        layer.weight.data = kept[name]
    return loss


def _rounded(weight: Any, scheme: Any) -> Any:
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from compressed_tensors.quantization.utils import calculate_qparams

    rows, columns = weight.shape
    size = scheme.group_size if scheme.group_size and scheme.group_size > 0 else columns
    groups = weight.reshape(rows, columns // size, size)
    scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), scheme)
    return fake_quantize(weight, scale, zero, scheme)

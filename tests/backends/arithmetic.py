"""What a quantized checkpoint computes, worked out from the files alone: no vLLM, no compressed-tensors.

Comes in: the base and a compressed-tensors checkpoint of it. Goes out: log-probabilities by Transformers' plain model
class, whose linear layers get decoded weights and inputs that are rounded here. Several readings of one config are all
right (steps of 127 or 127.5 for INT8, say): each is a variant.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Rounding = Callable[[torch.Tensor], torch.Tensor]
    Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

KV_SCALES = ("k_scale", "v_scale")
E2M1 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
FP8_MAX, FP4_MAX = 448.0, 6.0


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Read all tensors of a checkpoint of one file."""
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def decoded(folder: Path, product: Product | None = None) -> dict[str, torch.Tensor]:
    """Return the weights in float32 under the base's names; `product` multiplies integers by their steps."""
    stored, out = tensors(folder), {}
    for name, tensor in stored.items():
        module, _, kind = name.rpartition(".")
        if kind in ("weight", "weight_packed") and f"{module}.weight_scale" in stored:
            out[f"{module}.weight"] = _weight(module, tensor, stored, product or exact)
        elif kind == "weight":
            out[name] = tensor.float()
    return out


def _weight(module: str, tensor: torch.Tensor, stored: dict[str, torch.Tensor], product: Product) -> torch.Tensor:
    scale = stored[f"{module}.weight_scale"]
    if tensor.dtype == torch.uint8:
        values = _e2m1(tensor)
        steps = scale.float() / stored[f"{module}.weight_global_scale"] if scale.dtype != torch.uint8 else _e8m0(scale)
    elif tensor.dtype == torch.int32:
        zero, columns = stored.get(f"{module}.weight_zero_point"), int(stored[f"{module}.weight_shape"][1])
        bits = 32 * tensor.shape[1] // columns
        values, steps = _integers(tensor, bits), scale.float()
        if zero is not None:
            values = values - _spread(_integers(zero.T, bits).T, values.shape)
    else:
        values, steps = tensor.float(), scale.float()
    return product(values, steps)


def exact(values: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Multiply by steps as they are."""
    return values * _spread(steps, values.shape)


def in_fp8(values: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Multiply in FP8: CUTLASS keeps an eighth of a group's step in FP8, under one scale a row, and so its products."""
    row = _amax(steps) / FP8_MAX
    return to_fp8(exact(values, to_fp8(to_fp8(steps / row) / 8))) * 8 * row


def _spread(steps: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Repeat one step a tensor, row, group or block until it has the weight's shape."""
    steps = steps.reshape(1, 1) if steps.dim() < 2 else steps
    rows, columns = (whole // part for whole, part in zip(shape, steps.shape, strict=True))
    return steps.repeat_interleave(rows, 0).repeat_interleave(columns, 1)


def _integers(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """Unpack the signed numbers of each int32, the lowest bits first; they are stored half their range up."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    return ((packed[..., None] >> shifts) & (2**bits - 1)).flatten(-2).float() - 2 ** (bits - 1)


def _e2m1(packed: torch.Tensor) -> torch.Tensor:
    """Unpack two FP4 numbers of each byte, the lower bits first: a sign, then an index into `E2M1`."""
    codes = torch.stack([packed & 15, packed >> 4], -1).flatten(-2).long()
    return E2M1[codes & 7] * torch.where(codes & 8 > 0, -1.0, 1.0)


def _e8m0(codes: torch.Tensor) -> torch.Tensor:
    return torch.exp2(codes.float() - 127)


def to_fp8(x: torch.Tensor) -> torch.Tensor:
    """Round to the nearest FP8 number (E4M3), saturating."""
    return x.clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn).float()


def towards_zero(x: torch.Tensor) -> torch.Tensor:
    """Round to FP8 by cutting the mantissa at 3 bits: vLLM 0.32 writes its KV cache so on CPUs (measured)."""
    x = x.clamp(-FP8_MAX, FP8_MAX).contiguous()
    return (x.view(torch.int32) & ~0xFFFFF).view(torch.float32)


def to_fp4(x: torch.Tensor) -> torch.Tensor:
    """Round to the nearest FP4 number (E2M1), saturating."""
    nearest = (x.abs()[..., None] - E2M1).abs().argmin(-1)
    return E2M1[nearest] * x.sign()


def _by(steps: torch.Tensor, x: torch.Tensor, rounded: Rounding) -> torch.Tensor:
    steps = steps.clamp(min=1e-12)
    return rounded(x / steps) * steps


def _amax(x: torch.Tensor) -> torch.Tensor:
    return x.abs().amax(-1, keepdim=True)


def _grouped(x: torch.Tensor, size: int, rounding: Rounding) -> torch.Tensor:
    return rounding(x.unflatten(-1, (-1, size))).flatten(-2)


def _int8(x: torch.Tensor, half: float) -> torch.Tensor:
    return _by(_amax(x) / half, x, lambda y: y.round().clamp(-128, 127))


def _int8_asymmetric(x: torch.Tensor) -> torch.Tensor:
    low, high = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0)
    steps = (high - low).clamp(min=1e-12) / 255
    zero = (-128 - low / steps).round()
    return (((x / steps).round() + zero).clamp(-128, 127) - zero) * steps


def _mxfp4(x: torch.Tensor, power: Rounding) -> torch.Tensor:
    return _grouped(x, 32, lambda y: _by(torch.exp2(power(_amax(y))), y, to_fp4))


def _nvfp4(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return _grouped(x, 16, lambda y: _by(to_fp8(_amax(y) / FP4_MAX * scale) / scale, y, to_fp4))


def roundings(config: dict[str, Any], stored: dict[str, torch.Tensor]) -> list[Callable[[str], Rounding]]:
    """Return each right way to round inputs under this `input_activations`: linear layer's name -> function."""
    match config["type"], config["num_bits"], config["strategy"]:
        case "float", 8, "token":
            return [lambda _m: lambda x: _by(_amax(x) / FP8_MAX, x, to_fp8)]
        case "float", 8, "group":
            return [lambda _m: lambda x: _grouped(x, 128, lambda y: _by(_amax(y) / FP8_MAX, y, to_fp8))]
        case "float", 8, "tensor":
            return [lambda m: lambda x: _by(stored[f"{m}.input_scale"].float(), x, to_fp8)]
        case "int", 8, "token":
            both = [lambda _m, h=half: lambda x: _int8(x, h) for half in (127.0, 127.5)]
            return [*both, lambda _m: _int8_asymmetric]
        case "float", 4, "tensor_group":
            return [lambda m: lambda x: _nvfp4(x, stored[f"{m}.input_global_scale"])]
        case "float", 4, "group":
            floor: Rounding = lambda a: torch.log2(a).floor() - 2  # noqa: E731
            up: Rounding = lambda a: torch.log2(a / FP4_MAX).ceil()  # noqa: E731
            near: Rounding = lambda a: torch.log2(a * 8 / 7).floor() - 2  # noqa: E731 - 7 is nearer to 8 than to 4
            return [lambda _m, p=power: lambda x: _mxfp4(x, p) for power in (floor, up, near)]
    raise NotImplementedError(str(config))


def logprobs(
    base: Path, weights: dict[str, torch.Tensor], prompts: list[list[int]], inputs: dict[str, Rounding], dtype: str
) -> torch.Tensor:
    """Log-probabilities (prompts, tokens, vocabulary) of the next token; all but the linear layers computes in `dtype`.

    `inputs` rounds what goes into a linear layer; under `<attention>.k` and `.v` what attention reads of the KV cache.
    """
    from transformers import AttentionInterface, LlamaForCausalLM
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    def attention(module: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        name = f"model.layers.{module.layer_idx}.self_attn"
        k, v = (inputs.get(f"{name}.{part}", same)(x.float()).to(x.dtype) for part, x in (("k", k), ("v", v)))
        return sdpa_attention_forward(module, q, k, v, *args, **kwargs)

    AttentionInterface.register("rounded", attention)
    model = LlamaForCausalLM.from_pretrained(base, dtype=dtype, attn_implementation="rounded")
    model.load_state_dict(weights)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.forward = _linear(weights[f"{name}.weight"], inputs.get(name, same))
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor(prompts)).logits.float(), -1)


def same(x: torch.Tensor) -> torch.Tensor:
    """Round nothing."""
    return x


def _linear(weight: torch.Tensor, rounding: Rounding) -> Rounding:
    return lambda x: torch.nn.functional.linear(rounding(x.float()), weight).to(x.dtype)


def variants(base: Path, made: Path, prompts: list[list[int]], dtype: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield what an engine may make of a checkpoint, under the name of what it quantizes."""
    stored, weights = tensors(made), decoded(made)
    config = json.loads((made / "config.json").read_text())["quantization_config"]
    plain = {name: tensor.float() for name, tensor in tensors(base).items()}
    yield "nothing", logprobs(base, plain, prompts, {}, dtype)
    if config.get("kv_cache_scheme"):
        scales = {name.replace("_scale", ""): value.float() for name, value in stored.items() if name[-7:] in KV_SCALES}
        for way in (to_fp8, towards_zero):
            inputs = {name: lambda x, s=scale, w=way: _by(s, x, w) for name, scale in scales.items()}
            yield "as named", logprobs(base, weights, prompts, inputs, dtype)
        return
    group = config["config_groups"]["group_0"]
    linear = [name.removesuffix(".weight_scale") for name in stored if name.endswith(".weight_scale")]
    rounding = group["input_activations"] or {"type": "float", "num_bits": 4, "strategy": "group"}
    named, other = ("as named", "weights alone") if group["input_activations"] else ("activations too", "as named")
    float_inputs = (group["input_activations"] or {}).get("type") == "float"
    products = (exact, in_fp8) if float_inputs and group["weights"]["type"] == "int" else (exact,)
    for weights in (decoded(made, product) for product in products):
        yield other, logprobs(base, weights, prompts, {}, dtype)
        for rounds in roundings(rounding, stored):
            yield named, logprobs(base, weights, prompts, {name: rounds(name) for name in linear}, dtype)

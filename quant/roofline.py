"""Roofline: how fast a model could be served at best on a device, and whether memory or arithmetic decides it.

Comes in: a `Workload`, the `Sizes` of a model in a format, measured `Peaks`. Goes out: bounds. Pure; times in seconds
inside, units of metrics as in `quant.workloads`. A step takes at least as long as what it moves or what it computes
(Williams, Waterman, Patterson 2009, Communications of the ACM 52(4))::

    seconds = max(bytes / bandwidth, operations / peak)
    W = (linear x bits + head x other_bits) / 8      bytes of the weights, read once in each step
    K = 2 x layers x kv_heads x head_dim x cache_bits / 8      bytes of a token in the KV cache
    prefill of n tokens:               W + n K bytes;      2 n linear + 2 head operations
    a token decoded at a context c:    W + c K bytes;      2 linear + 2 head operations
    one of many, B requests at once:   W / B + c K bytes;  2 linear (n + o) / o + 2 head operations

with n input and o output tokens and c = n + o / 2 on average: an addition and a multiplication a weight. Linear layers
compute at the peak of the format's operands (16 bits where weights alone are quantized), the head at that of 16 bits.
Left out, so that a bound stays one: attention's own products, activations, single rows of embeddings, communication,
waiting. For a mixture of experts it is none, since a token does not read all experts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from quant.workloads import higher_is_better

if TYPE_CHECKING:
    from quant.budgets import Performance
    from quant.workloads import Peaks, Sizes, Workload

Binding = Literal["memory", "compute"]

MOST_SEQUENCES = 1024  # at once, unless told otherwise: vLLM's default on GPUs of 70 GB and more, and 256 on others
OVERHEAD = 3.0  # so many times the bound: neither memory nor arithmetic decides, but what is done around them
SHARE = 0.25  # by which a predicted ratio may miss the measured one


class Bound(NamedTuple):
    """The best that a metric can be, and what keeps it from being better."""

    value: float
    binds: Binding


class Point(NamedTuple):
    """A measured metric of one side beside its bound; `distance` is how many times the bound is better."""

    format: str
    workload: Workload
    metric: str
    measured: float
    bound: Bound
    distance: float

    @property
    def overhead(self) -> bool:
        """Say whether something else than memory or arithmetic decides."""
        return self.distance > OVERHEAD


class Roof(NamedTuple):
    """Seconds that moving and computing take."""

    memory: float
    compute: float

    @property
    def seconds(self) -> float:
        """Return the longer one."""
        return max(self)

    @property
    def binds(self) -> Binding:
        """Say which one is longer."""
        return "memory" if self.memory >= self.compute else "compute"


def bounds(workload: Workload, sizes: Sizes, peaks: Peaks) -> dict[str, Bound]:
    """Return the bound of each metric that has one: none at a `rate`, where the arrivals decide."""
    n, o = workload.input_tokens, workload.output_tokens
    if workload.mode == "asynchronous":
        roof = saturated(workload, sizes, peaks, batch(workload, sizes))
        return {} if workload.rate else {"output_tokens_per_s": Bound(1 / roof.seconds, roof.binds)}
    first, later = prefill(n, sizes, peaks), decode(1, n + o / 2, sizes, peaks)
    longer = first if first.seconds > (o - 1) * later.seconds else later
    found = {"ttft_ms": Bound(1e3 * first.seconds, first.binds)}
    found |= {"tpot_ms": Bound(1e3 * later.seconds, later.binds)} if o > 1 else {}
    return found | {"latency_ms": Bound(1e3 * (first.seconds + (o - 1) * later.seconds), longer.binds)}


def prefill(tokens: int, sizes: Sizes, peaks: Peaks) -> Roof:
    """Return what the first token of a prompt takes."""
    moved = weight_bytes(sizes) + tokens * token_bytes(sizes)
    return _roof(moved, tokens, 1, sizes, peaks)


def decode(requests: float, context: float, sizes: Sizes, peaks: Peaks) -> Roof:
    """Return what one step takes that gives each of `requests` its next token."""
    moved = weight_bytes(sizes) + requests * context * token_bytes(sizes)
    return _roof(moved, requests, requests, sizes, peaks)


def batch(workload: Workload, sizes: Sizes) -> float:
    """Return the most requests that are served at once: those of a run, what the engine takes, what the cache holds."""
    held = sizes.cache_tokens / (workload.input_tokens + workload.output_tokens / 2) or math.inf
    return max(1.0, min(sizes.sequences or MOST_SEQUENCES, workload.requests, held))


def saturated(workload: Workload, sizes: Sizes, peaks: Peaks, at_once: float) -> Roof:
    """Return what one output token takes if `at_once` requests are always served, prefill in the same steps."""
    n, o = workload.input_tokens, workload.output_tokens
    moved = weight_bytes(sizes) / at_once + (n + o / 2) * token_bytes(sizes)
    return _roof(moved, (n + o) / o, 1, sizes, peaks)


def crossover(context: float, sizes: Sizes, peaks: Peaks) -> float:
    """Return from how many requests at once decoding is compute-bound; inf: never, the KV cache takes longer."""
    one, reading = decode(1, context, sizes, peaks), weight_bytes(sizes) / (peaks.bytes_per_s * sizes.devices)
    gained = one.compute - (one.memory - reading)
    return reading / gained if gained > 0 else math.inf


def weight_bytes(sizes: Sizes) -> float:
    """Return what one step reads of the weights: linear layers and the head, of the embeddings only rows."""
    return (sizes.shape.linear * sizes.bits + head(sizes) * sizes.other_bits) / 8


def token_bytes(sizes: Sizes) -> float:
    """Return the KV cache of one token."""
    shape = sizes.shape
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * sizes.cache_bits / 8


def head(sizes: Sizes) -> int:
    """Return the weights of the output layer; where they are unknown, as many as the embeddings have."""
    return sizes.shape.head or (sizes.shape.parameters - sizes.shape.linear) // 2


def points(found: Performance, *, quantized: bool) -> list[Point]:
    """Return each metric of one side that has a bound; none if the sizes of the model are unknown."""
    engine = found.engines[quantized]
    if engine.sizes is None:
        return []
    reached = found.quantized if quantized else found.base
    name = found.format if quantized else "bf16"
    limits = bounds(found.workload, engine.sizes, found.peaks)
    values = {metric: reached[metric].value for metric in limits if metric in reached}
    return [
        Point(name, found.workload, metric, value, limits[metric], _distance(metric, value, limits[metric]))
        for metric, value in values.items()
    ]


def ratio(found: Performance, metric: str) -> float | None:
    """Return the predicted ratio of a metric to the base's; None if there is no bound of it."""
    base, quantized = (
        bounds(found.workload, engine.sizes, found.peaks).get(metric) if engine.sizes else None
        for engine in found.engines
    )
    return quantized.value / base.value if base and quantized else None


def disagrees(predicted: float, measured: float, low: float, high: float) -> bool:
    """Say whether a prediction lies outside the limits of the measured ratio and misses it by more than a quarter."""
    return not low <= predicted <= high and not 1 / (1 + SHARE) <= predicted / measured <= 1 + SHARE


def _roof(moved: float, tokens: float, answers: float, sizes: Sizes, peaks: Peaks) -> Roof:
    products = 2 * tokens * sizes.shape.linear / _peak(sizes.operands, peaks)
    products += 2 * answers * head(sizes) / _peak("bf16", peaks)
    return Roof(moved / peaks.bytes_per_s / sizes.devices, products / sizes.devices)


def _peak(operands: str, peaks: Peaks) -> float:
    """Return operations a second; of a number type that was not measured, those of the fastest that was."""
    return peaks.operations_per_s.get(operands, max(peaks.operations_per_s.values()))


def _distance(metric: str, measured: float, bound: Bound) -> float:
    return bound.value / measured if higher_is_better(metric) else measured / bound.value

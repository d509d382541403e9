"""The nouns of performance: what is served to be measured, and what was measured.

Comes in: nothing. Goes out: record types, as in `quant.records`. Units are in the names.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any, Literal

from quant.records import Record, Shape
from quant.stats.blocks import LogMean, log_ratios

Mode = Literal["synchronous", "asynchronous"]
TIMES = ("latency_ms", "ttft_ms", "tpot_ms", "itl_ms")  # of requests; each also as p50, p90 and p99 of a run
RATES = ("output_tokens_per_s", "requests_per_s", "goodput_per_s")  # of a run; higher is better
ONCE = ("load_s", "memory_bytes", "peak_bytes", "checkpoint_bytes")  # of an engine: one value, no spread
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
METRICS = (*TIMES, *(f"{name}.{which}" for name in TIMES for which in PERCENTILES), *RATES, *ONCE)


class Slo(Record, frozen=True, kw_only=True):
    """A service-level objective: a request counts as goodput if it meets all that is stated."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    latency_ms: float | None = None


class Workload(Record, frozen=True, kw_only=True):
    """Requests of `input_tokens` random tokens, each answered by exactly `output_tokens`; `requests` make one run.

    Synchronous ones are served one at a time. Asynchronous ones come at `rate` a second, at the random times of a
    Poisson process; 0 sends all at once, which saturates the engine. Blocks of runs follow each other until the 90 %
    limits of the ratio of latencies, asynchronously that of output tokens/s, lie within `width` of it (.05: 5 %), or
    `seconds` are spent.
    """

    id: str
    purpose: str = ""
    mode: Mode
    input_tokens: int
    output_tokens: int
    requests: int
    rate: float = 0.0
    slo: Slo = Slo()
    width: float = 0.05
    seconds: float = 60.0

    @property
    def tokens(self) -> int:
        """Context that a request takes."""
        return self.input_tokens + self.output_tokens


class Request(Record, frozen=True, kw_only=True, array_like=True):
    """One request as it was served: times in milliseconds from its arrival, tokens of its answer.

    `itl_ms` are the times between one token and the next, where they were measured one by one.
    """

    latency_ms: float
    ttft_ms: float
    output_tokens: int
    itl_ms: tuple[float, ...] = ()

    @property
    def tpot_ms(self) -> float:
        """Time per output token after the first."""
        return (self.latency_ms - self.ttft_ms) / max(self.output_tokens - 1, 1)

    def meets(self, slo: Slo) -> bool:
        """Say whether it keeps within all that is stated."""
        return all(getattr(self, name) <= most for name in slo.__struct_fields__ if (most := getattr(slo, name)))


class Run(Record, frozen=True, kw_only=True):
    """A workload served once by one side of a comparison; `seconds` from the first arrival to the last token."""

    quantized: bool
    seconds: float
    requests: tuple[Request, ...]

    def value(self, metric: str, slo: Slo) -> float:
        """Return a metric of this run: a mean or percentile over requests, or a rate. Raises KeyError on another."""
        name, _, which = metric.partition(".")
        if name in TIMES:
            times = self._times(name)
            return _percentile(times, PERCENTILES[which]) if which else fmean(times)
        counts = {
            "output_tokens_per_s": sum(request.output_tokens for request in self.requests),
            "requests_per_s": len(self.requests),
            "goodput_per_s": sum(request.meets(slo) for request in self.requests),
        }
        return counts[metric] / self.seconds

    def _times(self, name: str) -> list[float]:
        gaps = [gap for request in self.requests for gap in request.itl_ms] if name == "itl_ms" else []
        return gaps or [getattr(request, "tpot_ms" if name == "itl_ms" else name) for request in self.requests]


class Block(Record, frozen=True, kw_only=True):
    """Four runs in turn, base, quantized, quantized, base or the other way round.

    `disturbed` says what else the machine did meanwhile, "" if nothing.
    """

    runs: tuple[Run, ...]
    disturbed: str = ""


class Sizes(Record, frozen=True, kw_only=True):
    """What the least time of a token follows from: `bits` of a weight of the model's linear layers, scales included.

    `other_bits` are those of a weight that no format quantizes, `cache_bits` those of a number in the KV cache. Linear
    layers multiply numbers of the type `operands`, as `Peaks` names them. `devices` share the work of at most
    `sequences` requests at once (0: the engine's default), whose tokens, at most `cache_tokens`, the KV cache holds
    (0: unknown).
    """

    shape: Shape
    bits: float
    other_bits: int = 16
    cache_bits: int = 16
    operands: str = "bf16"
    devices: int = 1
    sequences: int = 0
    cache_tokens: int = 0


class Engine(Record, frozen=True, kw_only=True):
    """What served one side: `kernels` counts linear layers by the kernel that vLLM chose for them.

    `load_s` is what the start of a server took, `memory_bytes` what its weights take as the kernels have repacked them,
    `peak_bytes` what it needs besides the KV cache at most; 0 where it was not measured (memory of a CPU's engine).
    `sizes` are None where the model's files do not say them.
    """

    kernels: dict[str, int]
    load_s: float = 0.0
    memory_bytes: int = 0
    peak_bytes: int = 0
    checkpoint_bytes: int = 0
    sizes: Sizes | None = None
    settings: dict[str, Any] = {}  # noqa: RUF012 - msgspec gives each record its own


class Peaks(Record, frozen=True, kw_only=True):
    """What the device reached in a short test: bytes a second from its memory, operations a second by number type."""

    bytes_per_s: float
    operations_per_s: dict[str, float]


class Timings(Record, frozen=True, kw_only=True):
    """A base and a format of it that took turns at a workload, where and when."""

    model: str
    format: str
    workload: Workload
    hardware: str
    base: Engine
    quantized: Engine
    blocks: tuple[Block, ...]
    peaks: Peaks
    started: float
    record: str = ""

    @property
    def quiet(self) -> list[Block]:
        """Blocks in which the machine did nothing else."""
        return [block for block in self.blocks if not block.disturbed]


def values(blocks: list[Block], metric: str, slo: Slo, *, quantized: bool) -> list[list[float]]:
    """Return a metric of one side, shape (blocks, runs)."""
    return [[run.value(metric, slo) for run in block.runs if run.quantized == quantized] for block in blocks]


def ratio(blocks: list[Block], metric: str, slo: Slo) -> LogMean:
    """Return how many times as large a metric is of the quantized side as of the base in the same block."""
    return LogMean.from_logs(log_ratios(*(values(blocks, metric, slo, quantized=side) for side in (False, True))))


def higher_is_better(metric: str) -> bool:
    """Say which way a metric improves."""
    return metric in RATES


def _percentile(times: list[float], share: float) -> float:
    """Return the smallest time that at least this share of requests keep within."""
    return sorted(times)[max(math.ceil(share * len(times)) - 1, 0)]

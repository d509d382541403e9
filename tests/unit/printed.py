"""Tables 5 and 6 of arXiv:2411.02355, Llama 3.1 8B on one A6000 at 0.80 USD an hour, and performances made of them."""

from __future__ import annotations

import datetime as dt
import math

from quant.budgets import Performance
from quant.claims import Gate, Verdict
from quant.cost import Price
from quant.records import Shape, Status
from quant.stats.blocks import LogMean
from quant.workloads import Engine, Mode, Peaks, Sizes, Workload

USD_PER_HOUR = 0.80
PRICE = Price(
    id="a6000",
    hardware="nvidia-rtx-a6000*",
    usd_per_hour=USD_PER_HOUR,
    date=dt.date(2024, 10, 28),
    provider="Lambda",
)
MODEL, HARDWARE = "llama-3.1-8b", "nvidia-rtx-a6000"
FORMATS = {"int8": "int8-w8a8", "int4": "int4-w4a16"}
# Name, input and output tokens of the use cases.
USES = (
    ("code-completion", 256, 1024),
    ("docstring", 768, 128),
    ("code-fixing", 1024, 1024),
    ("rag", 1024, 128),
    ("instruction", 256, 128),
    ("chat", 512, 256),
    ("summarization", 4096, 512),
)
# Table 5: seconds a query, one at a time, and queries per dollar, by use case.
LATENCIES = {
    "bf16": ([24.5, 3.2, 25.0, 3.3, 3.1, 6.2, 13.4], [183, 1395, 180, 1374, 1445, 723, 335]),
    "int8": ([15.9, 2.1, 16.3, 2.1, 2.0, 4.0, 8.9], [284, 2157, 276, 2139, 2249, 1120, 506]),
    "int4": ([9.7, 1.4, 10.1, 1.4, 1.3, 2.5, 6.1], [462, 3290, 445, 3136, 3543, 1787, 736]),
}
# Table 6: queries a second at saturation, and thousands of queries per dollar.
RATES = {
    "bf16": ([1.5, 5.6, 1.1, 4.4, 11.8, 5.3, 0.7], [6.8, 25.1, 4.8, 19.9, 53.0, 24.0, 3.2]),
    "int8": ([2.2, 7.7, 1.4, 6.1, 16.5, 7.2, 1.0], [9.8, 34.6, 6.4, 27.6, 74.5, 32.3, 4.4]),
    "int4": ([2.2, 5.3, 1.3, 4.1, 11.2, 5.4, 0.7], [9.8, 24.0, 6.0, 18.6, 50.5, 24.3, 3.1]),
}
BLOCKS = 5
SPREAD = 0.01  # of a block's log ratio, which no table prints: limits of 1 %
LLAMA = Shape(
    parameters=8_030_261_248, linear=6_979_321_856, layers=32, kv_heads=8, head_dim=128, hidden=4096, head=525_336_576
)
A6000 = Peaks(bytes_per_s=768e9, operations_per_s={"bf16": 155e12, "int8": 310e12})  # its data sheet, dense


def performances(mode: Mode) -> list[Performance]:
    """Return what is printed of one table, as if it had been measured in blocks."""
    return [
        performance(
            FORMATS[name],
            workload(case, mode),
            value(LATENCIES["bf16"][0], RATES["bf16"][1], case, mode),
            value(LATENCIES[name][0], RATES[name][1], case, mode),
        )
        for case in range(len(USES))
        for name in FORMATS
    ]


def workload(case: int, mode: Mode) -> Workload:
    """Return a use case."""
    name, read, written = USES[case]
    suffix = {"synchronous": "sync", "asynchronous": "full"}[mode]
    return Workload(id=f"{name}-{suffix}", mode=mode, input_tokens=read, output_tokens=written, requests=512)


def value(latencies: list[float], queries: list[float], case: int, mode: Mode) -> float:
    """Return the metric that decides: milliseconds, or tokens a second from the queries per dollar, the finer print."""
    if mode == "synchronous":
        return 1e3 * latencies[case]
    return 1e3 * queries[case] * USES[case][2] * USD_PER_HOUR / 3600


def performance(
    fmt: str, served: Workload, base: float, quantized: float, *, spread: float = SPREAD, hardware: str = HARDWARE
) -> Performance:
    """Return a performance with the metric that decides, and what follows from it."""
    values = [_metrics(served, one) for one in (base, quantized)]
    logs = [{metric: LogMean(math.log(said), spread, BLOCKS) for metric, said in each.items()} for each in values]
    ratios = {m: LogMean(logs[1][m].mean - logs[0][m].mean, spread, BLOCKS) for m in logs[0]}
    bits, operands = {"int8-w8a8": (8.0, "int8"), "int4-w4a16": (4.125, "bf16")}.get(fmt, (16.0, "bf16"))
    return Performance(
        model=MODEL,
        format=fmt,
        workload=served,
        hardware=hardware,
        base=logs[0],
        quantized=logs[1],
        ratios=ratios,
        engines=(_engine(16.0, "bf16"), _engine(bits, operands)),
        peaks=A6000,
        blocks=BLOCKS,
    )


def average(fmt: str, status: Status, recovery: float = 1.0) -> Verdict:
    """Return what is proven of a format's average recovery."""
    return Verdict(
        model=MODEL,
        format=fmt,
        task="",
        status=status,
        base=0.74,
        quantized=0.74 * recovery,
        recovery=recovery,
        low=recovery - 0.01,
        high=recovery + 0.01,
        gate=Gate(threshold=0.95),
        look=1,
        level=0.05,
        n=4000,
        planned=4000,
        worse=10,
        better=10,
        p_pass=0.01,
        p_fail=0.99,
    )


def _metrics(served: Workload, said: float) -> dict[str, float]:
    if served.mode == "synchronous":
        return {"latency_ms": said, "output_tokens_per_s": 1e3 * served.output_tokens / said}
    return {"output_tokens_per_s": said, "latency_ms": 1e6 / said}


def _engine(bits: float, operands: str) -> Engine:
    return Engine(kernels={"any": 1}, sizes=Sizes(shape=LLAMA, bits=bits, operands=operands))

"""Stage benchmark: a base and a format of it take turns at a workload.

Comes in: `BenchmarkRequest`. Goes out: `<output>/timings.json` (engines, blocks of runs), a message after each block.
Both sides are up all the time, so that a block's runs follow each other at once; the one that waits computes nothing.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from quant.stages import guards, peaks
from quant.stages.offline import Offline
from quant.stages.protocol import TIMINGS, BlockTimings, Message
from quant.stages.served import Served
from quant.stats.blocks import MIN_BLOCKS, order
from quant.workloads import Block, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quant.stages.protocol import BenchmarkRequest
    from quant.workloads import Engine, Mode, Run, Workload

WATCHED: dict[Mode, str] = {"synchronous": "latency_ms", "asynchronous": "output_tokens_per_s"}
ALPHA = 0.05  # one-sided, of the limits that must come close enough to each other
_up: dict[bool, tuple[tuple[str, Mode], Side]] = {}  # by "is it the quantized side"


class Side(Protocol):
    """One side of the comparison: an engine or a server that is up."""

    engine: Engine

    def play(self, workload: Workload, seed: int) -> Run:
        """Serve the workload once."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


def handle(request: BenchmarkRequest, tell: Callable[[Message], None]) -> None:
    """Measure one workload; what is up stays up for the next request of the same checkpoints."""
    found = peaks.measure()
    sides = _sides(request)
    for side in sides:
        side.play(request.workload, seed=0)  # compiles, fills caches
    blocks: list[Block] = []
    began = time.monotonic()
    while not enough(request.workload, blocks, time.monotonic() - began):
        blocks.append(_block(request.workload, len(blocks), sides))
        tell(Message(event="progress", label=request.label, done=len(blocks)))
    told = BlockTimings(base=sides[0].engine, quantized=sides[1].engine, blocks=tuple(blocks), peaks=found)
    Path(request.output, TIMINGS).write_bytes(msgspec.json.encode(told))


def _sides(request: BenchmarkRequest) -> tuple[Side, Side]:
    """Return both sides, started where they are not up yet; what nobody asked for ends first."""
    mode = request.workload.mode
    wanted = {False: (request.base, mode), True: (request.quantized, mode)}
    for quantized in [one for one, (name, _) in _up.items() if name != wanted[one]]:
        _up.pop(quantized)[1].close()
    start = Offline if mode == "synchronous" else Served
    for quantized, name in wanted.items():
        if quantized not in _up:
            _up[quantized] = name, start(name[0], request, quantized=quantized)
    return _up[False][1], _up[True][1]


def _block(workload: Workload, number: int, sides: Sequence[Side]) -> Block:
    found: list[str] = []
    with guards.watched(found):
        runs = tuple(sides[who == "B"].play(workload, seed=number + 1) for who in order(number))
    return Block(runs=runs, disturbed="; ".join(found))


def enough(workload: Workload, blocks: Sequence[Block], seconds: float) -> bool:
    """Say whether the limits of the watched ratio lie close enough, or time is spent; fewer blocks prove nothing."""
    if len(blocks) < MIN_BLOCKS:
        return False
    quiet = [block for block in blocks if not block.disturbed]
    if seconds > workload.seconds or len(quiet) < MIN_BLOCKS:
        return seconds > workload.seconds
    return _reach(quiet, WATCHED[workload.mode], workload) <= workload.width


def _reach(blocks: list[Block], metric: str, workload: Workload) -> float:
    """Return by which share the limits of a metric's ratio lie apart from it."""
    mean = ratio(blocks, metric, workload.slo)
    return mean.limits(ALPHA)[1] / mean.value - 1

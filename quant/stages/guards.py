"""What else a machine does while something is measured. Runs in the benchmark child.

Comes in: nothing. Goes out: a sentence, "" if the machine was left alone. A disturbed measurement proves nothing: the
other side of its block may have run undisturbed.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Share of the machine's CPUs that may be taken meanwhile, by other processes or the host of a virtual machine. Beside a
# GPU, which needs a core or two, there may be more.
ON_CPU, ON_GPU = 0.10, 0.50
HOT = 0x20 | 0x40 | 0x08 | 0x80  # NVML: thermal slow-down by software or hardware, hardware slow-down, power brake


class Usage(NamedTuple):
    """CPU seconds since boot: busy, stolen by the host, spent by this process and its children."""

    at: float
    busy: float
    stolen: float
    own: float


@contextmanager
def watched(found: list[str]) -> Iterator[None]:
    """Append to `found` what disturbed the machine meanwhile."""
    gpu = _gpu()
    before = _usage()
    yield
    found += taken(before, _usage(), ON_GPU if gpu else ON_CPU, os.cpu_count() or 1)
    found += [*_strangers(*gpu), *_slowed(*gpu)] if gpu else []


def taken(before: Usage, after: Usage, allowed: float, cpus: int) -> list[str]:
    """Say who took more than the allowed share of the CPUs between two moments."""
    whole = (after.at - before.at) * cpus
    stolen = (after.stolen - before.stolen) / whole
    others = (after.busy - before.busy - (after.own - before.own)) / whole - stolen
    said = [(others, "other processes"), (stolen, "the host of this virtual machine")]
    return [f"{who} took {share:.0%} of the CPU" for share, who in said if share > allowed]


def _usage() -> Usage:
    import psutil

    times = psutil.cpu_times()
    busy = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
    this = psutil.Process()
    own = sum(sum(one.cpu_times()[:2]) for one in (this, *this.children(recursive=True)))
    return Usage(time.monotonic(), busy, getattr(times, "steal", 0.0), own)


def _gpu() -> tuple[Any, Any] | None:
    """Return NVML and its handle of the GPU that this process uses; None on a CPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    from vllm.third_party import pynvml

    pynvml.nvmlInit()
    return pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}".encode())


def _strangers(pynvml: Any, handle: Any) -> list[str]:
    """Name other processes on the GPU. Where NVML counts process ids of another container's, it cannot tell whose."""
    import psutil

    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    there = {one.pid for one in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
    others = sorted(there - own) if there & own else []
    return [f"other processes on the GPU: {', '.join(map(str, others))}"] if others else []


def _slowed(pynvml: Any, handle: Any) -> list[str]:
    reasons = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    degrees = pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
    return [f"the GPU slowed down at {degrees} degrees Celsius (NVML reasons {reasons:#x})"] if reasons & HOT else []

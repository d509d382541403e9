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

OTHERS = 0.10  # of the machine's CPUs, taken by other processes or by the host of a virtual machine
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
    before = _usage()
    yield
    found += [*_cpu(before, _usage()), *_gpu()]


def _usage() -> Usage:
    import psutil

    times = psutil.cpu_times()
    busy = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
    this = psutil.Process()
    own = sum(sum(one.cpu_times()[:2]) for one in (this, *this.children(recursive=True)))
    return Usage(time.monotonic(), busy, getattr(times, "steal", 0.0), own)


def _cpu(before: Usage, after: Usage) -> list[str]:
    whole = (after.at - before.at) * (os.cpu_count() or 1)
    stolen = (after.stolen - before.stolen) / whole
    others = (after.busy - before.busy - (after.own - before.own)) / whole - stolen
    said = [(others, "other processes"), (stolen, "the host of this virtual machine")]
    return [f"{who} took {share:.0%} of the CPU" for share, who in said if share > OTHERS]


def _gpu() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return []
    from vllm.third_party import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}".encode())
    return [*_strangers(pynvml, handle), *_slowed(pynvml, handle)]


def _strangers(pynvml: Any, handle: Any) -> list[str]:
    import psutil

    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    others = [one.pid for one in pynvml.nvmlDeviceGetComputeRunningProcesses(handle) if one.pid not in own]
    return [f"other processes on the GPU: {', '.join(map(str, others))}"] if others else []


def _slowed(pynvml: Any, handle: Any) -> list[str]:
    reasons = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    degrees = pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
    return [f"the GPU slowed down at {degrees} degrees Celsius (NVML reasons {reasons:#x})"] if reasons & HOT else []

"""What the device reaches in a short test: the bandwidth of its memory, and matrix products by number type.

Comes in: nothing. Goes out: `Peaks`, measured once a process. Runs in the benchmark child, beside no other work; what a
roofline is drawn with (Williams, Waterman, Patterson 2009, Communications of the ACM 52(4)).
"""

from __future__ import annotations

import time
from functools import cache, partial
from typing import TYPE_CHECKING

from quant.workloads import Peaks

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

GPU_SIZE, CPU_SIZE = 8192, 1024  # rows of square matrices
GPU_BYTES, CPU_BYTES = 2**31, 2**28  # copied: far more than caches hold
REPEATS = 5  # the best one counts


@cache
def measure() -> Peaks:
    """Measure the current device; number types whose product it does not have are left out."""
    import torch

    gpu = torch.cuda.is_available()
    device = "cuda" if gpu else "cpu"
    source = torch.zeros(GPU_BYTES if gpu else CPU_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = 2 * source.numel() / _seconds(partial(target.copy_, source))  # read and written
    size = GPU_SIZE if gpu else CPU_SIZE
    found = {name: 2 * size**3 / seconds for name, seconds in _products(size, device)}
    del source, target
    if gpu:
        torch.cuda.empty_cache()
    return Peaks(bytes_per_s=copied, operations_per_s=found)


def _products(size: int, device: str) -> list[tuple[str, float]]:
    import torch

    found: list[tuple[str, float]] = []
    wide = torch.ones(size, size, dtype=torch.bfloat16, device=device)
    one = torch.ones((), device=device)
    products: dict[str, Callable[[], torch.Tensor]] = {"bf16": lambda: wide @ wide}
    if hasattr(torch, "float8_e4m3fn"):
        fp8 = wide.to(torch.float8_e4m3fn)
        products["fp8"] = lambda: torch._scaled_mm(fp8, fp8.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)  # noqa: SLF001
    int8 = wide.to(torch.int8)
    products["int8"] = lambda: torch._int_mm(int8, int8.t())  # noqa: SLF001
    for name, product in products.items():
        try:
            found.append((name, _seconds(product)))
        except (RuntimeError, NotImplementedError):  # no such product on this device
            continue
    return found


def _seconds(work: Callable[[], object]) -> float:
    """Return the shortest of a few runs, the first left out."""
    import torch

    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    taken = []
    for _ in range(REPEATS + 1):
        wait()
        began = time.perf_counter()
        work()
        wait()
        taken.append(time.perf_counter() - began)
    return min(taken[1:])

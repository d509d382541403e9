"""What this machine is and what vLLM can serve on it, by name: the only place where device facts live.

Comes in: /proc/cpuinfo or nvidia-smi. Goes out: `Hardware`. Imports no torch and no vllm, so collection stays quick.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from quant.records import Hardware

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quant.records import Backend, Format

# Formats that vLLM computes as named: CPU rows are measured with vLLM 0.32, SM rows follow its kernels' own conditions
# with the packages that it requires; tests/backends asks vLLM for each row again. Where vLLM serves a format otherwise
# than named (weights alone quantized, or activations too), there is no capability: scores would be of another format.
CAPABILITIES: dict[str, frozenset[str]] = {
    "cpu-generic": frozenset(),
    # No kernel for INT4 weights alone and no FP8 KV cache without AVX-512.
    "cpu-avx2": frozenset({"w8a8-fp8", "w8a8-int8", "w4a8"}),
    # FP8 in blocks needs AMX; static FP8 scales reach a kernel that this build registers without its signature. W4A8
    # rounds activations asymmetrically, and the FP8 KV cache is rounded towards zero (both measured).
    "cpu-avx512": frozenset({"w8a8-fp8", "w8a8-int8", "w4a16", "w4a8", "kv-fp8"}),
    # FP8 matrix units begin with SM89: FP8 runs on Marlin (weights alone). Triton's attention refuses an FP8 KV cache,
    # FlashInfer's lists it, but nobody has measured it.
    "sm80": frozenset({"w8a8-int8", "w8a16", "w4a16", "nvfp4a16", "mxfp4a16"}),
    # FP8 in blocks runs on Marlin, which comes before the Triton kernel there.
    "sm89": frozenset({"w8a8-fp8", "w8a8-fp8-static", "w8a8-int8", "w8a16", "w4a16", "nvfp4a16", "mxfp4a16", "kv-fp8"}),
    # NVFP4 and MXFP4 run on Marlin. INT8 activations with INT4 weights have no kernel on any GPU without Humming.
    "sm90": frozenset(
        {"w8a8-fp8", "w8a8-fp8-static", "w8a8-fp8-block", "w8a8-int8", "w8a16", "w4a16", "w4afp8"}
        | {"nvfp4a16", "mxfp4a16", "kv-fp8"}
    ),
    # CUTLASS refuses INT8 from SM100 on, and INT4 weights with FP8 activations are for SM90 alone.
    "sm100": frozenset(
        {"w8a8-fp8", "w8a8-fp8-static", "w8a8-fp8-block", "w8a16", "w4a16", "nvfp4", "nvfp4a16", "mxfp4", "kv-fp8"}
    ),
}
# A10, A40 and RTX 30; B300; RTX 50 and RTX PRO 6000: other chips of a generation, with the same kernels.
CAPABILITIES |= {"sm86": CAPABILITIES["sm80"], "sm103": CAPABILITIES["sm100"], "sm120": CAPABILITIES["sm100"]}
KNOWN = frozenset().union(*CAPABILITIES.values())

# The kernels that vLLM 0.32 computes the linear layers of a capability with, on the first row that matches and has it:
# any other is a fallback. SM rows are what its own choosers take (tests/backends asks them), CPU rows are measured.
EXPECTED: tuple[tuple[str, str, frozenset[str]], ...] = (
    ("w8a8-fp8", "cpu-*", frozenset({"ChannelWiseTorchFP8ScaledMMLinearKernel"})),
    ("w8a8-int8", "cpu-*", frozenset({"CPUInt8ScaledMMLinearKernel"})),
    ("w4a8", "cpu-*", frozenset({"Dynamic4bitLinearKernel"})),
    ("w4a16", "cpu-*", frozenset({"CPUWNA16LinearKernel"})),
    ("w8a8-fp8", "sm*", frozenset({"CutlassFP8ScaledMMLinearKernel"})),
    # From SM100 on FlashInfer's comes first, where it is installed; so for FP4 below.
    ("w8a8-fp8-static", "sm*", frozenset({"CutlassFP8ScaledMMLinearKernel", "FlashInferFP8ScaledMMLinearKernel"})),
    # DeepGEMM's come first where its package is installed.
    (
        "w8a8-fp8-block",
        "sm*",
        frozenset(
            {
                "CutlassFp8BlockScaledMMKernel",
                "DeepGemmFp8BlockScaledMMKernel",
                "FlashInferFp8DeepGEMMDynamicBlockScaledKernel",
            }
        ),
    ),
    ("w8a8-int8", "sm*", frozenset({"CutlassInt8ScaledMMLinearKernel"})),
    ("w8a16", "sm90", frozenset({"MacheteLinearKernel"})),
    ("w4a16", "sm90", frozenset({"MacheteLinearKernel"})),
    ("w8a16", "sm*", frozenset({"MarlinLinearKernel"})),
    ("w4a16", "sm*", frozenset({"MarlinLinearKernel"})),
    ("w4afp8", "sm90", frozenset({"CutlassW4A8LinearKernel"})),
    ("nvfp4a16", "sm*", frozenset({"MarlinNvFp4LinearKernel"})),
    ("mxfp4a16", "sm*", frozenset({"MarlinMxFp4LinearKernel"})),
    ("mxfp4", "sm1*", frozenset({"FlashInferMxFp4LinearKernel"})),
    (
        "nvfp4",
        "sm1*",
        frozenset(
            {
                "CutlassNvFp4LinearKernel",
                "FlashInferCuteDslNvFp4LinearKernel",
                "FlashInferCutlassNvFp4LinearKernel",
            }
        ),
    ),
)
CACHE_ALONE = ("kv-fp8",)  # capabilities of attention, which no linear layer needs
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


@cache
def probe() -> Hardware:
    """Describe the machine this process runs on; a GPU that the driver lists comes before the CPU."""
    return _gpu() or _cpu(Path("/proc/cpuinfo"))


def of_gpu(sm: str, *, flashinfer: bool) -> frozenset[str]:
    """Capabilities of a GPU such as `sm90`, none if it is unknown.

    vLLM requires FlashInfer, but runs without: MXFP4 weights then meet 16-bit activations (Marlin) and not MXFP4.
    """
    row = CAPABILITIES.get(sm, frozenset())
    return row if flashinfer or "mxfp4" not in row else row - {"mxfp4"} | {"mxfp4a16"}


def vector_extension(flags: set[str]) -> str:
    """Name the widest vector extension that decides which vLLM CPU kernels load."""
    if "avx512f" in flags and "avx512bw" in flags:
        return "avx512"
    return "avx2" if "avx2" in flags else "generic"


def missing(fmt: Format, hardware: Hardware) -> tuple[str, ...]:
    """Capabilities that `fmt` needs in order to be served by vLLM and this machine lacks."""
    return tuple(need for need in fmt.needs if need not in hardware.capabilities)


def expected_kernels(needs: Iterable[str], row: str) -> dict[str, frozenset[str]]:
    """Return, by capability, the kernels that compute linear layers on a `row`; {} if those of one are not known."""
    linear = [need for need in needs if need not in CACHE_ALONE]
    known = {
        need: next((names for name, rows, names in EXPECTED if name == need and fnmatchcase(row, rows)), frozenset())
        for need in linear
    }
    return known if all(known.values()) else {}


def backend_for(fmt: Format, hardware: Hardware, wanted: str) -> Backend:
    """Backend that serves both sides of a comparison with `fmt`: what is asked for, else vLLM if it has the kernels."""
    if wanted == "vllm":
        return "vllm"
    return "hf" if wanted == "hf" or missing(fmt, hardware) else "vllm"


def _cpu(cpuinfo: Path) -> Hardware:
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    flags = re.search(r"^flags\s*:\s*(.*)$", text, re.MULTILINE)
    name = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    kind = f"cpu-{vector_extension(set(flags[1].split()) if flags else set())}"
    return Hardware(
        kind=kind,
        row=kind,
        name=name[1] if name else "unknown CPU",
        devices=len(os.sched_getaffinity(0)),
        capabilities=CAPABILITIES[kind],
        memory_bytes=_ram_bytes(CONTAINER_LIMIT),
    )


def _ram_bytes(limit: Path) -> int:
    """Return the machine's memory, or what a container's `limit` (cgroup v2) leaves of it."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = limit.read_text().strip() if limit.exists() else "max"
    return min(installed, int(allowed)) if allowed.isdigit() else installed


def _gpu() -> Hardware | None:
    if not shutil.which("nvidia-smi"):
        return None
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version,memory.total", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split(", ") for line in asked.stdout.splitlines() if line.count(", ") == 3]  # noqa: PLR2004
    if asked.returncode or not rows:
        return None
    name, compute, driver, mebibytes = rows[0]
    sm = f"sm{compute.replace('.', '')}"
    return Hardware(
        kind=re.sub(r"\W+", "-", name).strip("-").lower(),
        name=name,
        devices=len(rows),
        row=sm,
        capabilities=of_gpu(sm, flashinfer=importlib.util.find_spec("flashinfer") is not None),
        driver=driver,
        memory_bytes=int(mebibytes) * 2**20 if mebibytes.isdigit() else 0,
        host_bytes=_ram_bytes(CONTAINER_LIMIT),
    )

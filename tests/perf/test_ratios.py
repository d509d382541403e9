"""A slowdown that was put in on purpose is proven by same-run ratios, with the unquantized model on both sides.

How often they prove something where there is nothing is counted by `make bench` (20 runs).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from quant import reading
from quant.environment import DEFAULT_MATRIX, current
from quant.matrix import BASE, StageRule
from quant.pipeline import Pipeline
from quant.store import Store
from quant.workloads import ratio

if TYPE_CHECKING:
    from quant.matrix import Matrix
    from quant.stats.blocks import LogMean

pytestmark = [pytest.mark.perf, pytest.mark.xdist_group("perf")]
SLOWED = Path(__file__).parent / "slowed.py"


@pytest.fixture(scope="session")
def matrix() -> Matrix:
    return reading.load(DEFAULT_MATRIX)


def latency(matrix: Matrix, store: Path) -> LogMean:
    """Measure the base against itself, whatever else the machine does."""
    pipeline = Pipeline(matrix, Store(store), machine=current().hardware, devices=[""])
    try:
        found = pipeline.timings(matrix.models["ref-4m"], BASE, matrix.workloads["short-sync"]).result()
    finally:
        pipeline.close()
    return ratio([*found.blocks], "latency_ms", found.workload.slo)


def test_an_engine_that_sleeps_is_proven_1_3_times_slower(
    matrix: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SLOWED}" "$@"\n')
    interpreter.chmod(0o755)
    monkeypatch.setenv("SLOWER", "1.3")
    slow = replace(matrix, stages={**matrix.stages, "benchmark": StageRule(python=str(interpreter))})

    assert latency(slow, tmp_path).p_above(1.15) < 0.05

"""What the benchmark stage measures of a server is what a person measures of it by vLLM's own command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quant import reading
from quant.environment import DEFAULT_MATRIX, ROOT, child_environment, current
from quant.stats.blocks import LogMean, log_ratios

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("perf")]
SCRIPT = Path(__file__).parent / "agreement.py"
BLOCKS = 7
REQUESTS = 64  # of 256 tokens each, so that little of a run is the client's; an import before each takes 20 s
MARGIN = 0.03


@pytest.fixture(scope="module")
def blocks() -> list[list[tuple[str, float, float]]]:
    model = reading.load(DEFAULT_MATRIX).models["ref-4m"]
    options = [model.source, model.dtype, str(model.context_tokens), str(REQUESTS), str(BLOCKS)]
    done = subprocess.run(
        [sys.executable, SCRIPT, *options],
        cwd=ROOT,
        env=child_environment(current().hardware.kind),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout)


def ratio(blocks: list[list[tuple[str, float, float]]], figure: int) -> LogMean:
    """Return how many times as large a figure is by `Served` as by hand."""
    sides = [[[run[figure] for run in block if run[0] == side] for block in blocks] for side in "AB"]
    return LogMean.from_logs(log_ratios(*sides))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("figure", [1, 2], ids=["output_tokens_per_s", "latency_ms"])
def test_a_run_here_measures_what_the_command_line_measures(
    blocks: list[list[tuple[str, float, float]]], figure: int
) -> None:
    low, high = ratio(blocks, figure).limits(0.05)
    assert 1 - MARGIN <= low <= high <= 1 + MARGIN

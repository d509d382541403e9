"""One `vllm serve` that answers a workload's requests as they come. Runs in the benchmark child."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quant.stages.protocol import BenchmarkRequest
    from quant.workloads import Engine, Run, Workload


class Served:
    """A checkpoint behind `vllm serve`."""

    engine: Engine

    def __init__(self, checkpoint: str, request: BenchmarkRequest, *, quantized: bool) -> None:
        raise NotImplementedError

    def play(self, workload: Workload, seed: int) -> Run:
        """Serve the workload once."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop the server."""

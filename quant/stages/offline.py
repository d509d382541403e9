"""One vLLM engine in this process that serves a workload's requests one at a time. Runs in the benchmark child.

Comes in: a checkpoint, how it is served. Goes out: `Request`s with the engine's own times. Several engines may be up.
"""

from __future__ import annotations

import gc
import random
import time
from typing import TYPE_CHECKING, Any

from quant.stages import engines, kernels
from quant.workloads import Engine, Request, Run

if TYPE_CHECKING:
    from quant.stages.protocol import BenchmarkRequest
    from quant.workloads import Workload


class Offline:
    """A checkpoint that an engine here serves."""

    def __init__(self, checkpoint: str, request: BenchmarkRequest, *, quantized: bool) -> None:
        self._quantized = quantized
        self._llm = engines.offline(checkpoint, request)
        self.engine = Engine(
            kernels=self._llm.collective_rpc("linear_kernels")[0],
            **kernels.together(self._llm.collective_rpc("memory")),
            settings={"eager": self._llm.llm_engine.vllm_config.model_config.enforce_eager},
        )

    def play(self, workload: Workload, seed: int) -> Run:
        """Serve the workload once; both sides get the same random tokens for the same seed."""
        from vllm import SamplingParams

        draw, size = random.Random(seed), self._llm.llm_engine.vllm_config.model_config.get_vocab_size()
        answer = SamplingParams(
            temperature=0.0,
            max_tokens=workload.output_tokens,
            min_tokens=workload.output_tokens,
            ignore_eos=True,
            detokenize=False,
        )
        began, served = time.perf_counter(), []
        for _ in range(workload.requests):
            prompt = {"prompt_token_ids": [draw.randrange(size) for _ in range(workload.input_tokens)]}
            output = self._llm.generate([prompt], sampling_params=answer, use_tqdm=False)[0]
            served.append(_request(output.metrics))
        return Run(quantized=self._quantized, seconds=time.perf_counter() - began, requests=tuple(served))

    def close(self) -> None:
        """Shut the engine down and free what it holds: another engine or a server may need it."""
        import torch

        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _request(told: Any) -> Request:
    """Read the engine's own times: seconds, from the arrival of a request in its front end on."""
    first = told.first_token_latency
    last = first + told.last_token_ts - told.first_token_ts
    return Request(latency_ms=1e3 * last, ttft_ms=1e3 * first, output_tokens=told.num_generation_tokens)

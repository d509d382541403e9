"""Have `vllm bench serve`, run as a command line, and `Served.play` take turns on one server.

Comes in: `agreement.py CHECKPOINT DTYPE CONTEXT_TOKENS REQUESTS BLOCKS`. Goes out on standard output: a JSON list of
blocks, each a list of runs [which, output tokens a second, mean latency in ms]; A is the command line, which names its
own figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from quant.stages.protocol import BenchmarkRequest
from quant.stages.served import Served, bench_options
from quant.stats.blocks import order
from quant.workloads import Slo, Workload

# The command line's own default: a new process's first request takes 0.1 s longer, and is not to be among the timed.
FIRST_REQUEST = ["--ready-check-timeout-sec", "600"]
Figures = tuple[str, float, float]


def by_hand(checkpoint: str, url: str, workload: Workload, seed: int) -> Figures:
    """Run the command line and read what it says of itself."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "quant.stages.vllm_cli", "bench", "serve"]
        options = bench_options(checkpoint, url, workload, seed, Path(folder))
        saved = ["--save-result", "--result-dir", folder, "--result-filename", "found.json"]
        more = [*saved, "--percentile-metrics", "e2el", *FIRST_REQUEST]
        subprocess.run([*command, *options, *more], check=True, stdout=sys.stderr)
        found = json.loads(Path(folder, "found.json").read_text())
    return "A", found["output_throughput"], found["mean_e2el_ms"]


def here(server: Served, workload: Workload, seed: int) -> Figures:
    """Play it in this process, as the benchmark stage does."""
    run = server.play(workload, seed)
    return "B", run.value("output_tokens_per_s", Slo()), run.value("latency_ms", Slo())


def main(checkpoint: str, dtype: str, context_tokens: str, requests: str, blocks: str) -> None:
    """Serve, compare, print."""
    said = os.fdopen(os.dup(1), "w")  # vLLM's benchmark prints its table to standard output
    os.dup2(2, 1)
    workload = Workload(id="w", mode="asynchronous", input_tokens=64, output_tokens=256, requests=int(requests))
    request = BenchmarkRequest(
        label="agreement",
        base=checkpoint,
        quantized=checkpoint,
        output="",
        workload=workload,
        dtype=dtype,
        context_tokens=int(context_tokens),
        engine={},
    )
    server = Served(checkpoint, request, quantized=False)
    try:
        server.play(workload, 0)
        found = [
            [
                here(server, workload, block + 1)
                if who == "B"
                else by_hand(checkpoint, server.url, workload, block + 1)
                for who in order(block)
            ]
            for block in range(int(blocks))
        ]
    finally:
        server.close()
    json.dump(found, said)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""One `vllm serve` that answers a workload's requests as they come. Runs in the benchmark child.

Comes in: a checkpoint, how it is served. Goes out: `Request`s as vLLM's own benchmark (`vllm bench serve`) times them.
A server is a fork of one process that has imported vLLM: on two CPU cores it is ready after 6-10 s instead of 46-53 s.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from multiprocessing import forkserver
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import urllib3

from quant.errors import StageError
from quant.stages import engines, kernels, vllm_cli
from quant.workloads import Engine, Request, Run

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from quant.stages.protocol import BenchmarkRequest
    from quant.workloads import Workload

HOST = "127.0.0.1"
START_SECONDS = 1800.0  # a large model is loaded, compiled and captured as graphs
STOP_SECONDS = 30.0
LAST_LINES = 20
# What a server imports; a name that a version of vLLM lacks is passed over.
IMPORTS = ["quant.stages.vllm_cli", "vllm.entrypoints.cli.serve", "vllm.v1.engine.async_llm", "vllm.v1.engine.core"]


class Served:
    """A checkpoint behind `vllm serve`; raises StageError with the server's last lines if it does not start."""

    def __init__(self, checkpoint: str, request: BenchmarkRequest, *, quantized: bool) -> None:
        self._checkpoint, self._quantized = checkpoint, quantized
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self.url = f"http://{HOST}:{_free_port()}"
        self._server = self._start(request)
        began = time.monotonic()
        self._wait(began + START_SECONDS)
        self.engine = Engine(
            load_s=time.monotonic() - began,
            kernels=self._ask_workers("linear_kernels")[0],
            **kernels.together(self._ask_workers("memory")),
        )

    def play(self, workload: Workload, seed: int) -> Run:
        """Serve the workload once; both sides get the same prompts at the same times for the same seed."""
        engines.name_the_cpu_build()
        os.environ["no_proxy"] = HOST  # which the benchmark would ask for this machine's own server
        from vllm.benchmarks import serve
        from vllm.utils.argparse_utils import FlexibleArgumentParser

        parser = FlexibleArgumentParser()
        serve.add_cli_args(parser)
        with TemporaryDirectory() as folder:
            options = bench_options(self._checkpoint, self.url, workload, seed, Path(folder))
            found = serve.main(parser.parse_args(options))
        served = requests(found, workload, self._checkpoint)
        return Run(quantized=self._quantized, seconds=found["duration"], requests=served)

    def close(self) -> None:
        """End the server with all its processes: its output ends when the last of them has."""
        self._server.terminate()
        self._copying.join(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._copying.join(STOP_SECONDS)
        self._server.join()

    def _start(self, request: BenchmarkRequest) -> Any:
        """Fork a server; returns when it has been forked, so that imports count to no server's start."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTS)
        forkserver.ensure_running()  # imports while this process imports what `serve_options` needs
        options = serve_options(request, self.url)
        told, output = context.Pipe(duplex=False)
        server = context.Process(target=vllm_cli.serve, args=(self._checkpoint, options, output))
        server.start()
        output.close()
        self._copying = threading.Thread(target=self._copy, args=(told,), daemon=True)
        self._copying.start()
        return server

    def _copy(self, told: Connection) -> None:
        """Write what the server says into this stage's log."""
        with os.fdopen(told.fileno(), errors="replace", closefd=False) as lines:
            for line in lines:
                self._last.append(line)
                sys.stderr.write(line)
        told.close()

    def _wait(self, deadline: float) -> None:
        while not self._healthy():
            if not self._server.is_alive() or time.monotonic() > deadline:
                self.close()
                raise StageError(f"vllm serve {self._checkpoint} did not start; its last lines:\n{''.join(self._last)}")
            time.sleep(0.1)

    def _healthy(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.url}/health", retries=False, timeout=5.0).status == HTTPStatus.OK
        except urllib3.exceptions.HTTPError:
            return False

    def _ask_workers(self, method: str) -> list[dict[str, int]]:
        answer = urllib3.request("POST", f"{self.url}/collective_rpc", json={"method": method})
        return list(answer.json()["results"])


def serve_options(request: BenchmarkRequest, url: str) -> list[str]:
    """Return how a checkpoint is served: as `engines.offline` does."""
    from vllm.platforms import current_platform

    cpu = current_platform.is_cpu()
    settings = {
        "dtype": request.dtype,
        "max_model_len": request.context_tokens,
        "tensor_parallel_size": request.tensor_parallel,
        "enable_prefix_caching": False,
        "worker_extension_cls": kernels.EXTENSION,
        "disable_uvicorn_access_log": True,
        **({"enforce_eager": True} if cpu else {"gpu_memory_utilization": engines.SHARE}),
        **request.engine,
    }
    host, port = url.removeprefix("http://").split(":")
    return ["--host", host, "--port", port, *(word for item in settings.items() for word in flag(*item))]


def flag(name: str, value: Any) -> list[str]:
    """Return an engine's argument as vLLM's command line takes it."""
    word = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{'' if value else 'no-'}{word}"]
    if isinstance(value, list):
        return [f"--{word}", *map(str, value)]
    return [f"--{word}", json.dumps(value) if isinstance(value, dict) else str(value)]


def bench_options(checkpoint: str, url: str, workload: Workload, seed: int, folder: Path) -> list[str]:
    """Return the arguments of `vllm bench serve` for one run of a workload, described by a file in `folder`.

    The data set `random` sends texts: of 64 tokens asked for, the reference tokenizer made 64 to 66 on the server. A
    trace sends random token ids, one chunk of them a request, different for each of `hash_ids`.
    """
    first = seed * workload.requests
    lengths = {"timestamp": 0, "input_length": workload.input_tokens, "output_length": workload.output_tokens}
    trace = folder / "trace.jsonl"
    trace.write_text("".join(json.dumps(lengths | {"hash_ids": [first + n]}) + "\n" for n in range(workload.requests)))
    settings = {
        "backend": "vllm",
        "base-url": url,
        "model": checkpoint,
        "dataset-name": "timed_trace",
        "dataset-path": trace,
        "timed-trace-chunk-hash-size": workload.input_tokens,
        "num-prompts": workload.requests,
        "request-rate": workload.rate or "inf",
        "seed": seed,
        "temperature": 0,
        "ready-check-timeout-sec": 0,  # `/health` has answered; no request but the workload's
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return [*words, "--no-self-timed", "--ignore-eos", "--disable-tqdm", "--save-detailed"]


def requests(found: dict[str, Any], workload: Workload, who: str) -> tuple[Request, ...]:
    """Read a detailed result of `vllm bench serve`; raises StageError unless every request was served as asked."""
    if failed := [error for error in found["errors"] if error]:
        raise StageError(
            f"{who}: {len(failed)} of {len(found['errors'])} requests failed; the first: {failed[0].strip()}"
        )
    asked = (workload.input_tokens, workload.output_tokens)
    served = list(zip(found["input_lens"], found["output_lens"], strict=True))
    if odd := [one for one in served if one != asked]:
        raise StageError(
            f"{who}: expected {asked} input and output tokens, {len(odd)} requests had others, as {odd[0]}"
        )
    return tuple(
        Request(
            latency_ms=1e3 * (first + sum(gaps)),
            ttft_ms=1e3 * first,
            output_tokens=tokens,
            itl_ms=tuple(1e3 * gap for gap in gaps),
        )
        for first, gaps, tokens in zip(found["ttfts"], found["itls"], found["output_lens"], strict=True)
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])

"""Scores that come from `vllm serve` are those of the vLLM engine here: a comparison may mix the two."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from quant import reading
from quant.environment import DEFAULT_MATRIX, ROOT, child_environment, current
from quant.errors import EndpointError
from quant.inputs import endpoint
from quant.jobs import Side
from quant.matrix import BASE
from quant.pipeline import Pipeline
from quant.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from quant.records import Model

ITEMS = 50
TASKS = ("facts", "arithmetic", "dialogue", "language")  # log-likelihood, generation, chat template, whole texts
START_SECONDS = 600  # 40-78 s on two quiet cores


@pytest.fixture(scope="module")
def url(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the smallest reference model on the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--host", "127.0.0.1", "--port", port, "--dtype", model.dtype, "--max-model-len", "512"]
    log = tmp_path_factory.mktemp("vllm") / "serve.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "quant.stages.vllm_cli",
                "serve",
                model.source,
                *options,
                "--enforce-eager",
            ],
            cwd=ROOT,
            env=child_environment(current().hardware.kind),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            endpoint.served(endpoint.Client(url, first=True))
        except EndpointError:
            time.sleep(1)
        else:
            return
    pytest.fail(f"vllm serve did not start: {log.read_text()[-2000:]}")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_server_scores_as_the_engine_here(url: str, model: Model, tmp_path: Path) -> None:
    declared = reading.load(DEFAULT_MATRIX)
    tasks = [replace(declared.tasks[name], items=ITEMS) for name in TASKS]
    pipeline = Pipeline(declared, Store(tmp_path), machine=current().hardware, devices=[""], servers={BASE.id: url})
    theirs, own = (pipeline.scores(Side(model, BASE, backend), tasks) for backend in ("server", "vllm"))
    different = {
        task.id: sum(mine != other for mine, other in zip(here.result(900).items, there.result(900).items, strict=True))
        for task, here, there in zip(tasks, own, theirs, strict=True)
    }
    pipeline.close()
    assert different == dict.fromkeys(TASKS, 0)

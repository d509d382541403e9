"""Coding tasks tell code that passes from code that does not: prompts, filters, metric and execution, end to end.

A model that answers as we like is an OpenAI-compatible server here; all the rest is what a run uses. The metric is one
of our own (`code_eval.py`), which `evaluate` loads by its own code from its cache: the hub's cannot be fetched here.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from tokenizers import Tokenizer

from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.inputs.endpoint import Endpoint
from quant.stages.documents import order
from tests.suites.scoring import scored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from quant.records import Task
    from quant.stages.process import StageProcess

TASKS = {task.id: task for task in reading.load(DEFAULT_MATRIX).suite_tasks("coding")}
# A chat template that trims, such as that of Llama 3.1, leaves the line break behind the prompt to the model. HumanEval
# has the head of the function in its prompt, MBPP the opening of a block.
BODY = "\n    return a {sign} b\n```\nThat is all."
BLOCK = "\ndef add{number}(a, b):\n    return a {sign} b\n```\nThat is all."
ANSWERS = {"humaneval": BODY, "humaneval-plus": "    return a {sign} b\n", "mbpp": BLOCK, "mbpp-plus": BLOCK}


class Answering(BaseHTTPRequestHandler):
    """Adds where it is asked for `add0`, and subtracts where it is asked for `add1`."""

    server: Server

    def do_GET(self) -> None:
        self.reply({"data": [{"id": "coder"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = self.server.tokenizer.decode(asked["prompt"], skip_special_tokens=False)
        number, sign = (0, "+") if "add0" in prompt else (1, "-")
        text = self.server.answer.format(number=number, sign=sign)
        self.reply({"choices": [{"text": text, "finish_reason": "stop"}]})

    def reply(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Answers every prompt by `answer`."""

    daemon_threads = True

    def __init__(self, tokenizer: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.answer = ""


@pytest.fixture
def coder(llama: Path) -> Iterator[Server]:
    """Serve on the loopback."""
    server = Server(llama / "tokenizer.json")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    """Return each task of the suite."""
    return TASKS[request.param]


def answered(stage: StageProcess, llama: Path, output: Path, task: Task, coder: Server) -> list[float]:
    """Return the scores of the problems `add0` and `add1`."""
    coder.answer = ANSWERS[task.id]
    url = f"http://127.0.0.1:{coder.server_port}"
    endpoint = Endpoint(url=url, served="coder", version="", context_tokens=0, extends=False, session=0.0)
    items = scored(stage, llama, output, task, endpoint).items
    return [items[place].score for place in sorted((0, 1), key=order(2, seed=0).__getitem__)]


def test_code_that_passes_scores_one_and_code_that_fails_scores_nothing(
    task: Task, stage: StageProcess, llama: Path, tmp_path: Path, coder: Server
) -> None:
    assert answered(stage, llama, tmp_path, task, coder) == [1.0, 0.0]

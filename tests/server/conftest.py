"""A tiny OpenAI-compatible server on the loopback: the protocol without a model, to be broken on purpose."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from tokenizers import Tokenizer

from quant import reading
from quant.environment import DEFAULT_MATRIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from quant.records import Model

CONTEXT = 512  # context_tokens of the reference models


class Server(ThreadingHTTPServer):
    """Serves `models`; answers 503 to requests whose number is in `busy`, closes the connection from `dies_at` on."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.models = [{"id": "quantized", "owned_by": "vllm", "max_model_len": CONTEXT}]
        self.echoes, self.finish, self.busy = True, "length", frozenset[int]()
        self.dies_at, self.said_401 = 10**9, False
        self.requests, self.lock = 0, threading.Lock()

    def handle_error(self, *_args: object) -> None:
        """Keep quiet about clients that are gone."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        if path == "/v1/models":
            return {"data": self.models}
        if path == "/version":
            return {"version": "1.2.3"}
        if path == "/tokenize":
            return {"tokens": self.tokenizer.encode(asked["prompt"], add_special_tokens=False).ids}
        logprobs = self.logprobs(asked["prompt"]) if asked.get("echo") else None
        return {"choices": [{"text": " 7", "finish_reason": self.finish, "logprobs": logprobs}]}

    def logprobs(self, prompt: list[int]) -> dict[str, Any]:
        """Give every token the same probability; without echo, only the one that was generated."""
        names = [f"token_id:{token}" for token in (*prompt, 7)] if self.echoes else ["token_id:7"]
        values = [-0.5] * len(names)
        return {"tokens": names, "token_logprobs": values, "top_logprobs": [{name: -0.5} for name in names]}


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        with self.server.lock:
            self.server.requests += 1
            number = self.server.requests
        if number >= self.server.dies_at:
            self.close_connection = True
            return
        if self.server.said_401:
            self.reply(401, {"error": f"not allowed: {self.headers['Authorization']}"})
        elif number in self.server.busy:
            self.reply(503, {"error": "starting"})
        else:
            self.reply(200, self.server.answer(self.path, asked))

    def reply(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(scope="session")
def model() -> Model:
    return reading.load(DEFAULT_MATRIX).models["ref-0.6m"]


@pytest.fixture
def serve(model: Model) -> Iterator[Callable[[], Server]]:
    """Start servers that go away with the test."""
    from pathlib import Path

    begun: list[Server] = []

    def start() -> Server:
        begun.append(Server(Path(model.source)))
        threading.Thread(target=begun[-1].serve_forever, daemon=True).start()
        return begun[-1]

    yield start
    for server in begun:
        server.shutdown()
        server.server_close()

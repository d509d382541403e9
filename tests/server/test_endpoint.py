"""A server that cannot be scored is found before anything starts, and the message says what to do."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quant.errors import EndpointError
from quant.inputs import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from quant.records import Model


def probe(url: str, model: Model) -> endpoint.Endpoint:
    return endpoint.probe(url, 512, Path(model.source), session=1.0)


def test_a_server_says_what_it_serves(serve: Callable[[], Any], model: Model) -> None:
    server = serve()
    found = probe(f"{server.url}/v1/", model)
    assert found == endpoint.Endpoint(
        url=server.url, served="quantized", version="1.2.3", context_tokens=512, extends=True, session=1.0
    )


def test_a_refused_connection_names_the_url(model: Model) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(EndpointError, match=rf"{url}/v1/models: expected an answer, found none in 3 attempts"):
            probe(url, model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": [{"id": "one"}, {"id": "two"}]}, "/v1/models: expected exactly one model, found 2: one, two; let"),
        (
            {"models": [{"id": "one", "max_model_len": 256}]},
            "/v1/models: expected max_model_len of 512 or more, the model's context_tokens, found 256; start the",
        ),
        (
            {"echoes": False},
            "/v1/completions: expected log-probabilities of 4 prompt tokens and one more (echo, logpro",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(
    serve: Callable[[], Any], model: Model, change: dict[str, Any], message: str
) -> None:
    server = serve()
    vars(server).update(change)
    with pytest.raises(EndpointError, match=re.escape(f"{server.url}{message}")):
        probe(server.url, model)


def test_a_server_of_another_model_is_told_by_its_tokens(serve: Callable[[], Any], model: Model) -> None:
    server = serve()
    server.tokenizer.add_tokens(["costs"])
    with pytest.raises(EndpointError, match=r"/tokenize: expected token ids .* by the tokenizer in"):
        probe(server.url, model)


def test_a_server_that_is_starting_is_asked_again(serve: Callable[[], Any], model: Model) -> None:
    server = serve()
    server.busy = frozenset({1, 3})
    assert probe(server.url, model).served == "quantized"


def test_no_message_shows_the_key(serve: Callable[[], Any], model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server = serve()
    server.said_401 = True
    with pytest.raises(EndpointError, match=r"HTTP 401: .*not allowed: Bearer \*\*\*"):
        probe(server.url, model)


@pytest.mark.parametrize("url", ["http://me:sk-secret@localhost:8000", "https://localhost/?key=sk-secret"])
def test_no_url_may_hold_a_key(url: str) -> None:
    with pytest.raises(EndpointError, match=r"^https?://\.\.\.: a URL is shown in reports; put credentials into"):
        endpoint.address(url)

"""An OpenAI-compatible server that somebody else runs: how it is asked, what it serves, whether that can be scored.

Comes in: a URL, the model that it stands for. Goes out: an `Endpoint`, answers as JSON, or an `EndpointError` that
names URL, expected, found and what to do. The key in OPENAI_API_KEY goes into a request's header and nowhere else.
Must not import transformers: it is asked before anything expensive starts.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3

from quant.errors import EndpointError
from quant.records import Record

if TYPE_CHECKING:
    from pathlib import Path

KEY = "OPENAI_API_KEY"
ATTEMPTS = 6  # waits: 0, 1, 2, 4 and 8 s, or what the server's Retry-After says
FIRST_ATTEMPTS, FIRST_SECONDS = 3, 60.0  # a server that is to be evaluated is up, and answers a short request soon
AGAIN = frozenset({429, *range(500, 600)})  # busy or broken now, perhaps not a moment later
REFUSED = 300  # and above: no answer to what was asked; a redirect would take the key to another host
CONNECT_SECONDS, READ_SECONDS = 10.0, 600.0
LONGEST_WAIT_SECONDS = 60
SHOWN = 300  # characters of an answer that a message quotes
SAMPLE = 'It costs 1,234.50 €; the naïve reply,\n\n\t"Zürich, 東京", was not found.'
ECHO = {"max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}


class Endpoint(Record, frozen=True, kw_only=True):
    """An OpenAI-compatible server: the one model that it serves by the name `served`.

    `version` is the server's own, `context_tokens` its longest sequence; "" and 0 if it does not tell. `extends`: it
    knows vLLM's further parameters. `session` is when the run began (seconds since 1970): nobody knows what stands
    behind a URL tomorrow.
    """

    url: str
    served: str
    version: str
    context_tokens: int
    extends: bool
    session: float


class Client:
    """Asks a server at `url`; `connections` threads may do so at once. A `first` question waits less for an answer."""

    def __init__(self, url: str, *, connections: int = 1, first: bool = False) -> None:
        self.url, self._attempts = url, FIRST_ATTEMPTS if first else ATTEMPTS
        self._key = os.environ.get(KEY, "")
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=FIRST_SECONDS if first else READ_SECONDS),
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            retries=urllib3.Retry(
                total=self._attempts - 1,
                allowed_methods=None,  # a POST too: asking the same again changes nothing
                status_forcelist=AGAIN,
                backoff_factor=0.5,
                retry_after_max=LONGEST_WAIT_SECONDS,
                raise_on_status=False,
            ),
        )

    def get(self, path: str) -> dict[str, Any]:
        """Return what is at `path`, a JSON object."""
        return self._ask("GET", path, None)

    def post(self, path: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send `payload` and return the answer, a JSON object."""
        return self._ask("POST", path, payload)

    def wrong(self, path: str, expected: str, found: object, advice: str) -> EndpointError:
        """Return the error about an answer; the key is blotted out of what a server says."""
        text = f"{self.url}{path}: expected {expected}, found {str(found)[:SHOWN]}; {advice}"
        return EndpointError(text.replace(self._key, "***") if self._key else text)

    def _ask(self, method: str, path: str, payload: dict[str, Any] | None) -> dict[str, Any]:
        expected, advice = "an answer", f"check URL, {KEY} and the server's own log"
        try:
            answer = self._pool.request(method, f"{self.url}{path}", json=payload, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            found = f"none in {self._attempts} attempts ({getattr(error, 'reason', None) or error})"
            raise self.wrong(path, expected, found, advice) from None
        text = answer.data.decode(errors="replace")
        if answer.status >= REFUSED:
            raise self.wrong(path, expected, f"HTTP {answer.status}: {text}", advice)
        try:
            return dict(answer.json())
        except (ValueError, TypeError):
            raise self.wrong(path, "a JSON object", repr(text), advice) from None


def address(url: str) -> str:
    """Return a server's URL without the `/v1` that its paths begin with; raises `EndpointError` if it is none."""
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query:
        raise EndpointError(f"{parts.scheme}://...: a URL is shown in reports; put credentials into {KEY}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EndpointError(f"{url!r}: expected the URL of a server such as http://localhost:8000")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1').rstrip('/')}"


def probe(url: str, context_tokens: int, folder: Path, session: float) -> Endpoint:
    """Ask a server what it is; raises `EndpointError` unless it can stand for the model whose tokenizer is in `folder`.

    A server that does not tell its longest sequence (`max_model_len`) is not held to it: a prompt that is too long for
    it ends its task with the server's own words.
    """
    client = Client(address(url), first=True)
    entry = _only(client)
    length = int(entry.get("max_model_len") or 0)
    if length and length < context_tokens:
        raise client.wrong(
            "/v1/models",
            f"max_model_len of {context_tokens:,} or more, the model's context_tokens",
            f"{length:,}",
            f"start the server with --max-model-len {context_tokens}",
        )
    found = Endpoint(
        url=client.url,
        served=str(entry["id"]),
        version=_version(client),
        context_tokens=length,
        extends=entry.get("owned_by") == "vllm",
        session=session,
    )
    _check_echo(client, found)
    _check_tokenizer(client, found, folder)
    return found


def served(client: Client) -> list[dict[str, Any]]:
    """Return the models that a server lists."""
    listed = client.get("/v1/models").get("data")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) and entry.get("id") for entry in listed):
        raise client.wrong("/v1/models", "a list of models", listed, "is this an OpenAI-compatible server?")
    return listed


def _only(client: Client) -> dict[str, Any]:
    listed = served(client)
    if len(listed) != 1:
        names = ", ".join(str(entry["id"]) for entry in listed)
        raise client.wrong("/v1/models", "exactly one model", f"{len(listed)}: {names}", "let it serve one")
    return listed[0]


def _version(client: Client) -> str:
    """Return the server's version; "" if it has no /version, which is vLLM's own path."""
    try:
        return str(client.get("/version").get("version", ""))
    except EndpointError:
        return ""


def _check_echo(client: Client, found: Endpoint) -> None:
    """Raise `EndpointError` unless the server takes token ids and returns the log-probability of each."""
    tokens = [1, 2, 3, 4]  # in every vocabulary
    answer = client.post("/v1/completions", {"model": found.served, "prompt": tokens, **ECHO})
    try:
        told = answer["choices"][0]["logprobs"]["token_logprobs"]
        right = len(told) == len(tokens) + 1 and None not in told[1:]
    except (LookupError, TypeError):
        told, right = answer, False
    if not right:
        raise client.wrong(
            "/v1/completions",
            f"log-probabilities of {len(tokens)} prompt tokens and one more (echo, logprobs)",
            told,
            "tasks are scored by them: serve with vLLM, or with what returns them",
        )


def _check_tokenizer(client: Client, found: Endpoint, folder: Path) -> None:
    """Compare the token ids of a sample where the server tells them, as vLLM does."""
    from tokenizers import Tokenizer

    if not found.extends or not (folder / "tokenizer.json").is_file():
        return
    own = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(SAMPLE, add_special_tokens=False).ids
    asked = {"model": found.served, "prompt": SAMPLE, "add_special_tokens": False}
    theirs = client.post("/tokenize", asked).get("tokens")
    if theirs != own:
        raise client.wrong(
            "/tokenize",
            f"token ids {own[:8]}..., by the tokenizer in {folder}",
            f"{str(theirs)[:60]}...",
            "name the model that it serves by --models",
        )

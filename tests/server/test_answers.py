"""Half an answer is an error: lm-eval would take it for an empty text, or for a log-probability of zero."""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from quant.errors import EndpointError
from quant.inputs.endpoint import Client, Endpoint
from quant.stages.server import Prompt, Served

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "http://localhost:8000"
PROMPT = Prompt(tokens=[5, 6, 7, 8], begin=2)


@pytest.fixture
def served() -> Served:
    """A model object that has never met lm-eval."""
    made = Served.__new__(Served)
    made.endpoint = Endpoint(url=URL, served="q", version="", context_tokens=512, extends=True, session=1.0)
    made.client = Client(URL)
    return made


def logprobs(*tokens: int, best: float = -0.5) -> dict[str, Any]:
    names = [f"token_id:{token}" for token in tokens]
    tops = [{name: -0.5, "token_id:9": best} for name in names]
    return {"logprobs": {"tokens": names, "token_logprobs": [None, *[-0.5] * (len(names) - 1)], "top_logprobs": tops}}


@pytest.mark.parametrize(("best", "greedy"), [(-0.5, True), (-0.25, False)])
def test_the_scored_tokens_are_added_up(served: Served, best: float, greedy: bool) -> None:  # noqa: FBT001
    assert served._log_likelihood(logprobs(5, 6, 7, 8, 9, best=best), PROMPT) == (-1.0, greedy)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (logprobs(9), "expected log-probabilities of 4 + 1 tokens, found 1"),
        ({"logprobs": None}, "expected log-probabilities of 4 + 1 tokens, found 0"),
        (logprobs(1, 6, 7, 8, 9), "expected the prompt's own tokens back, found ['token_id:1', 'token_id:6'"),
    ],
)
def test_a_prompt_that_does_not_come_back_has_no_log_likelihood(
    served: Served, choice: dict[str, Any], message: str
) -> None:
    with pytest.raises(EndpointError, match=re.escape(f"{URL}/v1/completions: {message}")):
        served._log_likelihood(choice, PROMPT)


@pytest.mark.parametrize("choice", [{"text": " 7", "finish_reason": "abort"}, {"text": None, "finish_reason": "stop"}])
def test_a_text_that_was_broken_off_is_no_answer(served: Served, choice: dict[str, Any]) -> None:
    with pytest.raises(EndpointError, match="expected a text that ends by stop or length, found"):
        served._text(choice, [])


def test_answers_stay_with_their_prompts_in_any_order(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def later(payload: dict[str, Any], place: int, read: Callable[..., Any]) -> Any:
        return read(place, payload)

    served.concurrent, served.report, served.shuffle = 8, None, Random(1)
    monkeypatch.setattr(served, "_ask", later)
    found = served._ask_all([{"n": n} for n in range(50)], lambda place, answer: (place, answer["n"]))
    assert found == [(n, n) for n in range(50)]

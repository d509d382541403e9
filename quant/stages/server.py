"""A server behind lm-eval: asked with the prompts and settings of lm-eval's vLLM engine. In the evaluate child only.

Comes in: `EvaluateRequest` with an `Endpoint`. Goes out: an lm-eval model object. An answer that is missing or cut
short is an `EndpointError`, never an empty text or a log-probability of zero.

lm-eval's own client (`local-completions`, 0.4.13) is not used, for these are read in its code: it logs the whole
request of a failure, with the key; it takes a server that ignores `echo` for one that gives every answer probability 1;
it adds no BOS and cuts prompts one token earlier than the engine that serves the other side.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from quant.errors import EndpointError
from quant.inputs import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from quant.stages.protocol import EvaluateRequest

CONCURRENT = 64  # requests at a time
REPORT_EVERY_SECONDS = 1.0
COMPLETIONS = "/v1/completions"
ENDED = ("stop", "length")  # reasons to finish; others, such as "abort", leave half a text
ADVICE = "see the server's own log"
# vLLM's server would take these from the model's generation_config.json, or from defaults of its own.
EXACT = {
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
    "repetition_penalty": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
}


def start(request: EvaluateRequest, concurrent: int) -> Any:
    """Return lm-eval's model object for a server; raises `EndpointError` if it no longer serves what it did."""
    from lm_eval.api.model import TemplateLM

    where = request.endpoint
    if where is None:
        raise EndpointError(f"{request.label}: the backend `server` needs an endpoint")
    names = [entry["id"] for entry in endpoint.served(endpoint.Client(where.url, first=True))]
    if names != [where.served]:
        raise EndpointError(f"{where.url}: expected {where.served} as before, found {', '.join(names)}; run again")
    return type("ServedModel", (Served, TemplateLM), {})(request, concurrent or CONCURRENT)


class Prompt(NamedTuple):
    """Token ids, and from where on they are scored."""

    tokens: list[int]
    begin: int


def _tokenizer(engine: dict[str, Any]) -> dict[str, Any]:
    """Return what of an engine's arguments lm-eval hands to the tokenizer."""
    return {name: value for name, value in engine.items() if name == "add_bos_token"}


class Served:
    """What lm-eval's `TemplateLM` lacks: tokens, log-probabilities and texts, as `VLLM` has them."""

    tokenizer: Any

    def __init__(self, request: EvaluateRequest, concurrent: int) -> None:
        from transformers import AutoTokenizer

        super().__init__()
        assert request.endpoint is not None  # noqa: S101 - `start` has looked
        self.endpoint, self.concurrent, self.max_length = request.endpoint, concurrent, request.context_tokens
        self.tokenizer = AutoTokenizer.from_pretrained(request.checkpoint, **_tokenizer(request.engine))
        self.client = endpoint.Client(self.endpoint.url, connections=concurrent)
        self.report: Callable[[int, int], None] | None = None
        self.shuffle: Random | None = None

    @property
    def eot_token_id(self) -> int:
        """Token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """Token that stands before a text without context."""
        start = self.tokenizer.bos_token_id
        return self.eot_token_id if start is None else int(start)

    @property
    def tokenizer_name(self) -> str:
        """Name of the tokenizer, for lm-eval's own records."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:  # noqa: FBT001, FBT002 - lm-eval's
        """Render a conversation."""
        return str(
            self.tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
                enable_thinking=None,  # what lm-eval's vLLM engine passes
            )
        )

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_kwargs: Any) -> list[int]:  # noqa: FBT001 - lm-eval's
        """Return token ids with the special tokens that the tokenizer adds, but no second BOS."""
        if not string:
            return []
        begins = bool(self.tokenizer.bos_token) and string.startswith(self.tokenizer.bos_token)
        special = add_special_tokens is not False and not begins
        return list(self.tokenizer(string, add_special_tokens=special).input_ids)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:  # noqa: FBT001, FBT002 - lm-eval's
        """Return the text after each prompt, cut at its stop sequences."""
        del disable_tqdm
        payloads = [self._generation(*request.args) for request in requests]
        return self._ask_all(payloads, lambda place, answer: self._text(answer, payloads[place]["stop"]))

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:  # noqa: FBT001, FBT002 - lm-eval's
        """Return the log-likelihood of whole texts, window by window; all windows are asked for at once."""
        del disable_tqdm
        texts = [self._windows(*request.args) for request in requests]
        values = iter(self._loglikelihood_tokens([window for windows in texts for window in windows]))
        return [sum(next(values)[0] for _ in windows) for windows in texts]

    def _windows(self, text: str) -> list[tuple[None, list[int], list[int]]]:
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        windows = get_rolling_token_windows(
            token_list=self.tok_encode(text),
            prefix_token=self.prefix_token_id,
            max_seq_len=self.max_length - 2,  # one token of context, one that is always generated
            context_len=1,
        )
        return [(None, *make_disjoint_window(window)) for window in windows]

    def _loglikelihood_tokens(self, requests: Sequence[Any], **_kwargs: Any) -> list[tuple[float, bool]]:
        kept = [(before + scored)[1 - self.max_length :] for _, before, scored in requests]
        prompts = [
            Prompt(tokens, max(len(tokens) - len(scored), 1))
            for tokens, (_, _, scored) in zip(kept, requests, strict=True)
        ]
        exact = {"return_tokens_as_token_ids": True} if self.endpoint.extends else {}
        common = {"model": self.endpoint.served, **endpoint.ECHO, **exact}
        payloads = [common | {"prompt": prompt.tokens} for prompt in prompts]
        return self._ask_all(payloads, lambda place, answer: self._log_likelihood(answer, prompts[place]))

    def _generation(self, text: str, settings: dict[str, Any]) -> dict[str, Any]:
        from lm_eval.models import utils

        wanted = dict(utils.normalize_gen_kwargs(settings, default_max_gen_toks=256))
        stop = utils.handle_stop_sequences(wanted.pop("until", None), eos=self.tokenizer.eos_token)
        length = int(wanted.pop("max_gen_toks"))
        wanted.pop("do_sample", None)
        tokens, length = utils.maybe_truncate(self.tok_encode(text), length, self.max_length)
        exact = EXACT if self.endpoint.extends else {}
        asked = {"model": self.endpoint.served, "prompt": tokens, "max_tokens": length, "stop": stop, "temperature": 0}
        return asked | exact | wanted

    def _ask_all(self, payloads: Sequence[dict[str, Any]], read: Callable[[int, dict[str, Any]], Any]) -> list[Any]:
        """Return what `read` makes of each answer, in order; the first failure ends all."""
        places = list(range(len(payloads)))
        if self.shuffle:
            self.shuffle.shuffle(places)
        pool, found, told = ThreadPoolExecutor(self.concurrent), dict[int, Any](), 0.0
        try:
            asked = {pool.submit(partial(self._ask, payloads[place], place, read)): place for place in places}
            for future in as_completed(asked):
                found[asked[future]] = future.result()
                if self.report and (time.monotonic() - told > REPORT_EVERY_SECONDS or len(found) == len(places)):
                    told = time.monotonic()
                    self.report(len(found), len(places))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return [found[place] for place in range(len(payloads))]

    def _ask(self, payload: dict[str, Any], place: int, read: Callable[[int, dict[str, Any]], Any]) -> Any:
        answer = self.client.post(COMPLETIONS, payload)
        choices = answer.get("choices")
        if not isinstance(choices, list) or len(choices) != 1:
            raise self.client.wrong(COMPLETIONS, "one choice", answer, ADVICE)
        return read(place, choices[0])

    def _text(self, choice: dict[str, Any], stop: list[str]) -> str:
        if not isinstance(choice.get("text"), str) or choice.get("finish_reason") not in ENDED:
            raise self.client.wrong(COMPLETIONS, f"a text that ends by {' or '.join(ENDED)}", choice, ADVICE)
        from lm_eval.models.utils import postprocess_generated_text

        return str(postprocess_generated_text(choice["text"], stop, None))

    def _log_likelihood(self, choice: dict[str, Any], prompt: Prompt) -> tuple[float, bool]:
        """Return the sum over the scored tokens, and whether greedy decoding would have written them."""
        told, count = choice.get("logprobs") or {}, len(prompt.tokens)
        own, best = told.get("token_logprobs") or [], told.get("top_logprobs") or []
        if not len(own) == len(best) == count + 1:
            raise self.client.wrong(COMPLETIONS, f"log-probabilities of {count} + 1 tokens", len(own), ADVICE)
        if self.endpoint.extends and told["tokens"][:count] != [f"token_id:{token}" for token in prompt.tokens]:
            raise self.client.wrong(COMPLETIONS, "the prompt's own tokens back", told["tokens"], ADVICE)
        pairs = list(zip(own[prompt.begin : count], best[prompt.begin : count], strict=True))
        if not all(isinstance(value, float | int) for value, _ in pairs):
            raise self.client.wrong(COMPLETIONS, "numbers as log-probabilities", [value for value, _ in pairs], ADVICE)
        return sum(value for value, _ in pairs), all(value >= max(top.values()) for value, top in pairs)

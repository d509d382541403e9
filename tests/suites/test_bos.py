"""A prompt begins with one BOS, for a tokenizer that has one: none is doubled, none is missing, on each backend.

arXiv:2411.02355 scores HellaSwag, Winogrande and TruthfulQA with `add_bos_token=True`. The tokenizer of Llama 3.1 puts
BOS before a text by itself, so that it changes nothing there: `engine = { add_bos_token = true }` is for one that does
not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from quant.environment import child_environment
from tests.suites import llama

# What an engine is given, for a text alone and behind a chat template, to generate and to score.
SHOW = """
import json, sys
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from quant.inputs.endpoint import Endpoint
from quant.stages import engines, server
from quant.stages.protocol import EvaluateRequest

def spy(owner, name, read, seen):
    inner = getattr(owner, name)
    def outer(*args, **kwargs):
        seen.extend(read(*args, **kwargs))
        return inner(*args, **kwargs)
    setattr(owner, name, outer)

def prompts(backend, folder, engine):
    where = Endpoint(url="http://localhost", served="", version="", context_tokens=0, extends=False, session=0.0)
    request = EvaluateRequest(label="bos", checkpoint=folder, output="", backend=backend, dtype="float32",
                              context_tokens=256, engine=engine, tasks=(), endpoint=where)
    engines.prepare(request)
    lm = Served(request, 1) if backend == "server" else engines.start(request)
    seen = []
    if backend == "vllm":
        spy(lm.model, "generate", lambda prompts, **_: [prompt["prompt_token_ids"] for prompt in prompts], seen)
    elif backend == "hf":
        spy(lm, "_model_call", lambda inps, *_, **__: inps.tolist(), seen)
        spy(lm, "_model_generate", lambda context, *_, **__: context.tolist(), seen)
    for text in ("The old boat", lm.apply_chat_template([{"role": "user", "content": "The old boat"}])):
        if backend == "server":
            seen += [lm.tok_encode(text), sum(lm._encode_pair(text, " sails home."), [])]
            continue
        lm.generate_until([Instance("generate_until", {}, (text, {"until": [], "max_gen_toks": 2}), 0)])
        lm.loglikelihood([Instance("loglikelihood", {}, (text, " sails home."), 0)])
    engines.stop(lm)
    return seen

class Served(server.Served, TemplateLM):
    pass

cases = json.loads(sys.argv[2])
print("SEEN", json.dumps([[prompts(backend, *case) for backend in sys.argv[1].split()] for case in cases]))
"""
CASES: list[tuple[bool, dict[str, Any]]] = [
    (True, {}),
    (True, {"add_bos_token": True}),
    (False, {"add_bos_token": True}),
    (False, {}),
]


# How many BOS the prompts begin with: to generate and to score, of a text alone and behind a chat template.
ONE_EACH = [1, 1, 1, 1]


@pytest.fixture(scope="module", params=["hf server", pytest.param("vllm", marks=pytest.mark.slow)])
def begins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[list[list[int]]]:
    """Return by how many BOS the prompts of each case and backend begin."""
    folders = [llama.make(tmp_path_factory.mktemp("llama"), begins=begins) for begins, _ in CASES]
    asked = json.dumps([(str(folder), engine) for folder, (_, engine) in zip(folders, CASES, strict=True)])
    child = [sys.executable, "-W", "ignore", "-c", SHOW, request.param, asked]
    ran = subprocess.run(child, env=child_environment("cpu"), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    seen = json.loads(ran.stdout.rpartition("SEEN")[2])
    return [[[count(tokens) for tokens in prompts] for prompts in case] for case in seen]


def count(tokens: list[int]) -> int:
    """Return how many BOS, whose number is 0, stand at the start."""
    return next(place for place, token in enumerate(tokens) if token != 0)


def test_a_tokenizer_that_puts_bos_before_a_text_is_left_alone(begins: list[list[list[int]]]) -> None:
    assert all(found == ONE_EACH for found in begins[0])


def test_add_bos_token_doubles_none(begins: list[list[list[int]]]) -> None:
    assert all(found == ONE_EACH for found in begins[1])


def test_add_bos_token_adds_one_where_the_tokenizer_adds_none(begins: list[list[list[int]]]) -> None:
    assert all(found == ONE_EACH for found in begins[2])


def test_without_it_such_a_tokenizer_has_bos_behind_a_chat_template_only(begins: list[list[list[int]]]) -> None:
    assert all(found == [0, 0, 1, 1] for found in begins[3])

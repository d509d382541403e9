"""Reading what `vllm bench serve` saves, and saying what a server is started with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quant.errors import StageError
from quant.stages.served import bench_options, flag, requests
from quant.workloads import Run, Slo, Workload

if TYPE_CHECKING:
    from pathlib import Path

WORKLOAD = Workload(id="w", mode="asynchronous", input_tokens=64, output_tokens=4, requests=4, rate=40.0)
SLO = Slo(ttft_ms=15.0, tpot_ms=5.0, latency_ms=28.0)
# Saved by vLLM 0.32 on a CPU (`--save-detailed --goodput ttft:15 tpot:5 e2el:28`); left out: what no one reads.
SAVED = """
{
  "duration": 0.13154732299153693,
  "completed": 4,
  "failed": 0,
  "request_throughput": 30.407308252539195,
  "request_goodput": 7.601827063134799,
  "output_throughput": 121.62923301015678,
  "input_lens": [64, 64, 64, 64],
  "output_lens": [4, 4, 4, 4],
  "ttfts": [0.014246988997911103, 0.016373917998862453, 0.020602068994776346, 0.01653424699907191],
  "itls": [
    [0.0036914079973939806, 0.003610897998441942, 0.0037437860009958968],
    [0.006047567003406584, 0.008500334995915182, 0.0059833120030816644],
    [0.006402896993677132, 0.010007144999690354, 0.006384159001754597],
    [0.00680080900201574, 0.0027506769984029233, 0.003768752998439595]
  ],
  "errors": ["", "", "", ""],
  "mean_e2el_ms": 33.86224224595935,
  "mean_ttft_ms": 16.939305747655453,
  "mean_tpot_ms": 5.640978832767965,
  "mean_itl_ms": 5.640978832767966
}
"""


def saved(**changes: Any) -> dict[str, Any]:
    return json.loads(SAVED) | changes


def run() -> Run:
    return Run(quantized=False, seconds=saved()["duration"], requests=requests(saved(), WORKLOAD, "ref-4m"))


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        ("output_tokens_per_s", "output_throughput"),
        ("requests_per_s", "request_throughput"),
        ("goodput_per_s", "request_goodput"),
        ("latency_ms", "mean_e2el_ms"),
        ("ttft_ms", "mean_ttft_ms"),
        ("tpot_ms", "mean_tpot_ms"),
        ("itl_ms", "mean_itl_ms"),
    ],
)
def test_a_metric_is_what_vllm_makes_of_the_same_requests(metric: str, theirs: str) -> None:
    assert run().value(metric, SLO) == pytest.approx(saved()[theirs])


def test_one_of_the_saved_requests_meets_all_objectives() -> None:
    assert [request.meets(SLO) for request in run().requests] == [True, False, False, False]


def test_failed_requests_are_counted_and_the_first_is_named() -> None:
    broken = saved(errors=["", "Bad Request", "", "Server disconnected"])

    with pytest.raises(StageError, match="ref-4m: 2 of 4 requests failed; the first: Bad Request"):
        requests(broken, WORKLOAD, "ref-4m")


def test_a_prompt_of_another_length_is_an_error() -> None:
    odd = saved(input_lens=[64, 64, 66, 64])

    with pytest.raises(
        StageError, match=r"expected \(64, 4\) input and output tokens, 1 requests had others, as \(66, 4\)"
    ):
        requests(odd, WORKLOAD, "ref-4m")


def test_an_answer_that_ended_early_is_an_error() -> None:
    short = saved(output_lens=[4, 3, 4, 4])

    with pytest.raises(StageError, match=r"1 requests had others, as \(64, 3\)"):
        requests(short, WORKLOAD, "ref-4m")


def test_prompts_of_two_runs_have_no_chunk_in_common(tmp_path: Path) -> None:
    chunks = []
    for seed in (1, 2):
        bench_options("model", "http://127.0.0.1:1", WORKLOAD, seed, tmp_path)
        chunks += [line["hash_ids"][0] for line in map(json.loads, (tmp_path / "trace.jsonl").read_text().splitlines())]
    assert chunks == [4, 5, 6, 7, 8, 9, 10, 11]


def test_no_rate_sends_all_requests_at_once(tmp_path: Path) -> None:
    all_at_once = Workload(id="w", mode="asynchronous", input_tokens=64, output_tokens=4, requests=4)
    options = bench_options("model", "http://127.0.0.1:1", all_at_once, 1, tmp_path)
    assert options[options.index("--request-rate") + 1] == "inf"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("enforce_eager", True, ["--enforce-eager"]),
        ("enable_prefix_caching", False, ["--no-enable-prefix-caching"]),
        ("kv_cache_dtype", "fp8", ["--kv-cache-dtype", "fp8"]),
        ("max_model_len", 512, ["--max-model-len", "512"]),
        ("hf_overrides", {"a": 1}, ["--hf-overrides", '{"a": 1}']),
        ("limit", [1, 2], ["--limit", "1", "2"]),
    ],
)
def test_an_engine_argument_is_a_flag_of_the_command_line(name: str, value: Any, words: list[str]) -> None:
    assert flag(name, value) == words

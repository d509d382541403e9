"""Blocks are measured until their ratio is known well enough, and no longer than a workload allows."""

from __future__ import annotations

from quant.stages.benchmark import enough
from quant.workloads import Block, Request, Run, Workload

WORKLOAD = Workload(id="w", mode="synchronous", input_tokens=8, output_tokens=2, requests=1, width=0.05, seconds=60.0)


def block(base_ms: float, quantized_ms: float, disturbed: str = "") -> Block:
    def run(milliseconds: float, *, quantized: bool) -> Run:
        request = Request(latency_ms=milliseconds, ttft_ms=1.0, output_tokens=2)
        return Run(quantized=quantized, seconds=1.0, requests=(request,))

    base, other = run(base_ms, quantized=False), run(quantized_ms, quantized=True)
    return Block(runs=(base, other, other, base), disturbed=disturbed)


def test_four_blocks_are_never_enough() -> None:
    assert not enough(WORKLOAD, [block(100, 80)] * 4, seconds=61)


def test_five_blocks_of_one_ratio_are_enough() -> None:
    assert enough(WORKLOAD, [block(100, 80)] * 5, seconds=1)


def test_blocks_that_differ_by_a_tenth_go_on() -> None:
    assert not enough(WORKLOAD, [block(100, 80), block(100, 90)] * 3, seconds=59)


def test_blocks_that_differ_end_when_time_is_spent() -> None:
    assert enough(WORKLOAD, [block(100, 80), block(100, 90)] * 3, seconds=61)


def test_disturbed_blocks_do_not_count() -> None:
    assert not enough(WORKLOAD, [block(100, 80)] * 4 + [block(100, 80, "a neighbour")] * 3, seconds=59)


def test_a_machine_that_is_always_disturbed_is_given_up_when_time_is_spent() -> None:
    assert enough(WORKLOAD, [block(100, 80, "a neighbour")] * 9, seconds=61)

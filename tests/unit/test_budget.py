"""Budgets are judged from quiet blocks: what is proven, what is not, and what a machine is to blame for."""

from __future__ import annotations

import math

import pytest
from msgspec import json, structs

from quant.budgets import Budget, Performance
from quant.judge.budget import lacks_baseline, performance
from quant.workloads import Block, Engine, Peaks, Request, Run, Slo, Timings, Workload

# The worked example of blocks: mean .02, K = 6; ratio 1.0202, limits 1.0084 and 1.0321 by hand.
EXAMPLE = (0.02, 0.03, 0.01, 0.04, 0.00, 0.02)
WORKLOAD = Workload(id="sync", mode="synchronous", input_tokens=64, output_tokens=11, requests=1)
LATENCY = Budget(id="latency", metric="latency_ms", limit=1.1)
KEPT = Budget(id="kept", metric="latency_ms", limit=1.05, baseline=True)


def run(latency_ms: float, *, quantized: bool) -> Run:
    """One request of 11 tokens, the first after a tenth of its time."""
    request = Request(latency_ms=latency_ms, ttft_ms=latency_ms / 10, output_tokens=11)
    return Run(quantized=quantized, seconds=latency_ms / 1000, requests=(request,))


def timings(logs: tuple[float, ...], disturbed: int = 0, base_ms: float = 100.0, slo: Slo | None = None) -> Timings:
    """Blocks with these logs of the ratio of latencies; further ones are `disturbed` and a hundred times slower."""

    def block(log: float, why: str = "") -> Block:
        base, other = run(base_ms, quantized=False), run(base_ms * math.exp(log), quantized=True)
        return Block(runs=(base, other, other, base), disturbed=why)

    return Timings(
        model="small",
        format="int8",
        workload=structs.replace(WORKLOAD, slo=slo or Slo()),
        hardware="cpu-avx512",
        base=Engine(kernels={"Plain": 4}, checkpoint_bytes=1000, load_s=2.0),
        quantized=Engine(kernels={"Int8": 4}, checkpoint_bytes=500, load_s=1.0),
        blocks=(*map(block, logs), *(block(math.log(100), "a compiler ran") for _ in range(disturbed))),
        peaks=Peaks(bytes_per_s=1.0, operations_per_s={}),
        started=0.0,
    )


def judged(budget: Budget, measured: Timings, baseline: Performance | None = None) -> tuple[str, str]:
    """Status and reason of one budget."""
    (found,) = performance(measured, [budget], baseline).measured
    return found.status, found.why


def test_the_ratio_and_its_limits_are_those_worked_by_hand() -> None:
    (found,) = performance(timings(EXAMPLE), [LATENCY]).measured
    assert (found.value, found.low, found.high, found.blocks) == pytest.approx((1.0202, 1.0084, 1.0321, 6), abs=1e-4)


@pytest.mark.parametrize(("limit", "status"), [(1.0, "FAIL"), (1.02, "INCONCLUSIVE"), (1.04, "PASS")])
def test_a_latency_keeps_below_its_limit(limit: float, status: str) -> None:
    assert judged(structs.replace(LATENCY, limit=limit), timings(EXAMPLE))[0] == status


@pytest.mark.parametrize(("limit", "status"), [(1.0, "FAIL"), (0.98, "INCONCLUSIVE"), (0.96, "PASS")])
def test_a_rate_keeps_above_its_limit(limit: float, status: str) -> None:
    # The same blocks, by hand: 1/1.0202 = .9802, limits .9689 and .9917.
    budget = Budget(id="rate", metric="output_tokens_per_s", limit=limit)
    assert judged(budget, timings(EXAMPLE))[0] == status


@pytest.mark.parametrize(("limit", "status"), [(100.0, "FAIL"), (102.0, "INCONCLUSIVE"), (104.0, "PASS")])
def test_a_value_is_limited_in_its_own_unit(limit: float, status: str) -> None:
    budget = Budget(id="ms", metric="latency_ms", of="value", limit=limit)
    assert judged(budget, timings(EXAMPLE))[0] == status


def test_times_per_token_follow_from_the_first_and_the_last() -> None:
    assert performance(timings((0.0,) * 5), []).base["tpot_ms"].value == pytest.approx(9.0)


def test_disturbed_blocks_are_left_out() -> None:
    found = performance(timings(EXAMPLE, disturbed=1), [])
    assert (found.ratios["latency_ms"].value, found.blocks, found.disturbed, found.why) == (
        pytest.approx(1.0202, abs=1e-4),
        6,
        1,
        "a compiler ran",
    )


def test_a_fifth_of_the_blocks_may_be_disturbed() -> None:
    assert judged(structs.replace(LATENCY, limit=1.0), timings((*EXAMPLE, 0.02, 0.02), disturbed=2))[0] == "FAIL"


def test_a_disturbed_machine_is_never_red() -> None:
    assert judged(structs.replace(LATENCY, limit=1.0), timings(EXAMPLE, disturbed=2)) == (
        "INCONCLUSIVE",
        "2 of 8 blocks were disturbed: a compiler ran",
    )


def test_four_quiet_blocks_prove_nothing() -> None:
    found = performance(timings((0.5,) * 4), [LATENCY]).measured[0]
    assert (found.status, found.why, found.low) == ("INCONCLUSIVE", "4 quiet blocks, 5 are needed", None)


@pytest.mark.parametrize("blocks", [0, 1])
def test_without_a_second_block_nothing_is_said_of_times(blocks: int) -> None:
    found = performance(timings((0.0,) * blocks), [LATENCY])
    assert (found.ratios, found.measured[0].value) == ({}, None)


def test_a_measurement_of_one_block_survives_being_written() -> None:
    found = performance(timings((0.0,)), [LATENCY])
    assert json.decode(json.encode(found), type=Performance) == found


@pytest.mark.parametrize(
    ("blocks", "verdict"), [(19, ("INCONCLUSIVE", "fewer than 20 blocks (K=19)")), (20, ("FAIL", ""))]
)
def test_a_tail_is_judged_from_twenty_blocks_on(blocks: int, verdict: tuple[str, str]) -> None:
    budget = Budget(id="tail", metric="latency_ms.p99", limit=1.1)
    assert judged(budget, timings(tuple(0.2 + 0.01 * (k % 3) for k in range(blocks)))) == verdict


@pytest.mark.parametrize(
    ("metric", "limit", "status"),
    [("checkpoint_bytes", 0.5, "PASS"), ("checkpoint_bytes", 0.49, "FAIL"), ("load_s", 0.5, "PASS")],
)
def test_what_has_one_value_is_compared_as_it_is(metric: str, limit: float, status: str) -> None:
    budget = Budget(id="size", metric=metric, limit=limit)
    assert judged(budget, timings(EXAMPLE)) == (status, "one value, no interval")


def test_a_size_is_the_same_on_a_disturbed_machine() -> None:
    assert judged(Budget(id="size", metric="checkpoint_bytes", limit=0.4), timings((), disturbed=9))[0] == "FAIL"


def test_a_load_time_is_not() -> None:
    assert judged(Budget(id="load", metric="load_s", limit=0.4), timings((), disturbed=9))[0] == "INCONCLUSIVE"


def test_zero_bytes_were_not_measured() -> None:
    budget = Budget(id="memory", metric="peak_bytes", limit=1.0)
    assert judged(budget, timings(EXAMPLE)) == ("INCONCLUSIVE", "peak_bytes was not measured")


def test_no_request_within_its_slo_proves_nothing() -> None:
    budget = Budget(id="goodput", metric="goodput_per_s", limit=0.9)
    hopeless = timings(EXAMPLE, slo=Slo(latency_ms=1.0))
    assert judged(budget, hopeless) == ("INCONCLUSIVE", "goodput_per_s was 0 in a run")


@pytest.mark.parametrize(
    ("field", "pattern", "applies"),
    [
        ("hardware", "cpu-*", True),
        ("hardware", "nvidia-*", False),
        ("model", "small", True),
        ("format", "int4-*", False),
        ("workload", "*-full", False),
    ],
)
def test_a_budget_applies_where_all_its_patterns_match(field: str, pattern: str, applies: bool) -> None:  # noqa: FBT001
    found = performance(timings(EXAMPLE), [structs.replace(LATENCY, **{field: pattern})])
    assert len(found.measured) == applies


THEN = performance(timings((0.0, 0.01, -0.01, 0.01, -0.01)), [])


@pytest.mark.parametrize(
    ("shift", "status", "why"),
    [
        (0.0, "PASS", ""),
        (0.03, "PASS", "proven 1.03x slower than the baseline"),
        (0.05, "INCONCLUSIVE", "proven 1.05x slower than the baseline"),
        (0.20, "FAIL", "proven 1.22x slower than the baseline"),
        (-0.20, "PASS", "proven 1.22x faster than the baseline"),
    ],
)
def test_a_change_since_the_baseline_is_judged_and_named(shift: float, status: str, why: str) -> None:
    now = timings(tuple(shift + log for log in (0.0, 0.01, -0.01, 0.01, -0.01)))
    assert judged(KEPT, now, THEN) == (status, why)


@pytest.mark.parametrize(
    ("shift", "status", "why"),
    [
        (0.20, "FAIL", "proven 1.22x slower than the baseline"),
        (-0.20, "PASS", "proven 1.22x faster than the baseline"),
    ],
)
def test_a_rate_that_falls_is_slower(shift: float, status: str, why: str) -> None:
    budget = Budget(id="rate", metric="output_tokens_per_s", limit=0.95, baseline=True)
    now = timings(tuple(shift + log for log in (0.0, 0.01, -0.01, 0.01, -0.01)))
    assert judged(budget, now, THEN) == (status, why)


def test_a_machine_twice_as_slow_changes_no_ratio() -> None:
    assert judged(KEPT, timings((0.0, 0.01, -0.01, 0.01, -0.01), base_ms=200.0), THEN) == ("PASS", "")


def test_a_machine_twice_as_slow_breaks_a_budget_of_values() -> None:
    now = timings((0.0, 0.01, -0.01, 0.01, -0.01), base_ms=200.0)
    assert judged(structs.replace(KEPT, of="value"), now, THEN) == ("FAIL", "proven 2.00x slower than the baseline")


def test_a_disturbed_change_is_never_red() -> None:
    assert judged(KEPT, timings((0.2,) * 6, disturbed=2), THEN)[0] == "INCONCLUSIVE"


def test_too_few_blocks_for_a_change_of_a_rate_prove_nothing() -> None:
    budget = Budget(id="rate", metric="output_tokens_per_s", limit=0.95, baseline=True)
    assert judged(budget, timings((0.2,) * 4), THEN) == ("INCONCLUSIVE", "4 quiet blocks, 5 are needed")


@pytest.mark.parametrize(
    "other",
    [
        structs.replace(THEN, hardware="cpu-avx2"),
        structs.replace(THEN, workload=structs.replace(WORKLOAD, input_tokens=65)),
    ],
    ids=["hardware", "workload"],
)
def test_a_baseline_of_something_else_proves_nothing(other: Performance) -> None:
    expected = ("INCONCLUSIVE", "the baseline is of another hardware class or workload")
    assert judged(KEPT, timings((0.2,) * 5), other) == expected


def test_a_baseline_of_a_longer_measurement_is_one() -> None:
    longer = structs.replace(THEN, workload=structs.replace(THEN.workload, seconds=300.0, width=0.01))
    assert judged(KEPT, timings((0.2,) * 5), longer)[0] == "FAIL"


def test_without_a_baseline_its_budgets_are_left_out() -> None:
    found = performance(timings(EXAMPLE), [KEPT, LATENCY])
    assert [one.budget.id for one in found.measured] == ["latency"]


@pytest.mark.parametrize(("baseline", "lacks"), [(None, True), (THEN, False)])
def test_a_measurement_says_whether_it_wants_a_baseline(baseline: Performance | None, lacks: bool) -> None:  # noqa: FBT001
    assert lacks_baseline([KEPT], performance(timings(EXAMPLE), [KEPT], baseline)) == lacks

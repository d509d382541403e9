"""What a person reads of a measurement says what was measured, its limits, the budget, and what served it."""

from __future__ import annotations

from msgspec import structs

from quant.budgets import Budget, Measured
from quant.judge.budget import performance
from quant.report.performance import remarks, sentence, table, unproven
from tests.unit.test_budget import EXAMPLE, KEPT, LATENCY, THEN, timings


def said(budget: Budget, disturbed: int = 0) -> str:
    found = performance(timings(EXAMPLE, disturbed), [budget])
    return sentence(found, found.measured[0])


def test_a_broken_budget_is_said_in_full() -> None:
    assert said(structs.replace(LATENCY, limit=1.0)) == (
        "small int8 sync: latency_ms against the base 1.020x (95 % limits 1.008..1.032, 6 blocks) is proven above 1 "
        "(budget latency); base 100, quantized 102; kernels Int8 x 4"
    )


def test_a_size_has_no_limits() -> None:
    assert said(Budget(id="size", metric="checkpoint_bytes", limit=0.4)) == (
        "small int8 sync: checkpoint_bytes against the base 0.500x is above 0.4 (budget size); one value, no interval; "
        "base 1,000, quantized 500; kernels Int8 x 4"
    )


def test_a_rate_is_proven_at_least_its_limit() -> None:
    assert "is proven >= 0.9 (budget rate)" in said(Budget(id="rate", metric="output_tokens_per_s", limit=0.9))


def test_what_is_not_proven_is_said_so() -> None:
    assert "is not proven <= 1.02 (budget latency)" in said(structs.replace(LATENCY, limit=1.02))


def test_a_disturbed_machine_is_blamed_once() -> None:
    other = structs.replace(LATENCY, id="other")
    (line,) = unproven(performance(timings(EXAMPLE, disturbed=2), [LATENCY, other]))
    assert line == (
        "small int8 sync: nothing is proven of latency, other: 2 of 8 blocks were disturbed: a compiler ran; run again"
        " on a quiet machine"
    )


def test_a_proven_change_since_the_baseline_is_a_remark() -> None:
    found = performance(timings((-0.2,) * 6), [KEPT], THEN)
    assert remarks([found])[-1] == "small int8 sync: latency_ms proven 1.22x faster than the baseline"


def test_the_worst_of_the_budgets_is_in_the_table() -> None:
    found = performance(timings(EXAMPLE), [LATENCY, structs.replace(LATENCY, id="strict", limit=1.0)])
    first, second = table([found], width=132, colour=False).splitlines()[1:3]
    assert (first.split()[-2:], second.split()[-3:]) == (["FAIL", "6"], ["1", "of", "2"])


def test_a_measurement_without_quiet_blocks_has_a_row() -> None:
    row = table([performance(timings((), disturbed=3), [])], width=132, colour=False).splitlines()[1]
    assert row.split() == ["small", "int8", "sync", "-", "-", "-", "-", "p50", "-", "none", "0"]


def test_a_row_has_value_ratio_and_limits_below_each_other() -> None:
    lines = table([performance(timings(EXAMPLE), [])], width=132, colour=False).splitlines()[1:]
    assert [line.split()[2 if number else 5] for number, line in enumerate(lines)] == [
        "102",
        "1.02x",
        "1.01..1.03",
    ]


def test_a_measured_budget_without_a_value_says_so() -> None:
    found = performance(timings(()), [])
    text = sentence(found, Measured(budget=LATENCY, status="INCONCLUSIVE", value=None, why="because"))
    assert text.startswith("small int8 sync: latency_ms without a value is not proven <= 1.1 (budget latency); because")

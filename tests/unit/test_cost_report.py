"""What a person reads of cost: a row a format, sentences of measured numbers, bounds beside what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from quant.report import cost
from quant.workloads import Workload
from tests.unit.printed import HARDWARE, PRICE, average, performance, performances

if TYPE_CHECKING:
    from quant.budgets import Performance
    from quant.claims import Verdict
    from quant.cost import Price

PASSED = [average("int8-w8a8", "PASS", 1.003), average("int4-w4a16", "PASS", 0.987)]
SYNC = performances("synchronous")
TASKS = [
    replace(PASSED[0], task="gsm8k", base=0.8451, quantized=0.84),
    replace(PASSED[1], task="gsm8k", base=0.8451, quantized=0.82),
]


def said(
    found: list[Performance], verdicts: list[Verdict], prices: list[Price] | None = None, *, width: int = 132
) -> list[str]:
    sections = cost.sections(found, verdicts, [PRICE] if prices is None else prices, width=width, colour=width < 132)
    return [line for section in sections for line in section.lines]


def line(lines: list[str], start: str) -> str:
    return next((one for one in lines if one.startswith(start)), "")


def test_a_row_tells_speed_then_cost_then_accuracy() -> None:
    # Table 5, code completion at 0.80 USD an hour: 24.5, 15.9 and 9.7 s a query of 1,024 tokens.
    assert said(SYNC[:2], [*TASKS, *PASSED])[:5] == [
        "              code-completion-sync                          gsm8k    recovery",
        "format        tokens/s  tokens/$  $/1M tokens  queries/$        %                         %  verdict",
        "bf16              41.8   188,082         5.32        184    84.51                         -        -",
        "int8-w8a8         64.4   289,811         3.45        283    84.00    100.30 (99.30..101.30)     PASS",
        "int4-w4a16         106   475,052         2.11        464    82.00      98.70 (97.70..99.70)     PASS",
    ]


def test_time_to_first_token_is_shown_at_64_and_1024_tokens() -> None:
    found = [with_ttft(performance("int8-w8a8", first(tokens), tokens / 2, tokens / 4)) for tokens in (64, 1024)]
    assert said(found, [])[:4] == [
        "             TTFT 64    TTFT 1,024",
        "format            ms            ms",
        "bf16              32           512",
        "int8-w8a8         16           256",
    ]


@pytest.mark.parametrize("changes", [{"output_tokens": 16}, {"mode": "asynchronous"}], ids=str)
def test_time_to_first_token_is_that_of_the_shortest_answers_one_by_one(changes: dict[str, object]) -> None:
    other = replace(first(64), id="other", **changes)
    found = [with_ttft(performance("int8-w8a8", served, time, time)) for served, time in ((first(64), 32), (other, 99))]
    assert said(found, [])[2].split()[:2] == ["bf16", "32"]


def with_ttft(one: Performance) -> Performance:
    """Return the same with its latency as time to first token too."""
    logs = {side: getattr(one, side) for side in ("base", "quantized", "ratios")}
    return replace(one, **{side: {"ttft_ms": said["latency_ms"], **said} for side, said in logs.items()})


def first(tokens: int) -> Workload:
    return Workload(id=f"ttft-{tokens}", mode="synchronous", input_tokens=tokens, output_tokens=1, requests=4)


def test_verdicts_of_another_model_are_not_this_ones() -> None:
    assert not [one for one in said(SYNC, [replace(PASSED[0], model="other")]) if "recovery  " in one or "PASS" in one]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_table_keeps_to_the_terminal(width: int) -> None:
    lines = said(SYNC, [*TASKS, *PASSED], width=width)
    assert max(map(len, lines[: lines.index("") * 4])) <= width


def test_a_narrow_table_repeats_the_formats() -> None:
    lines = said(SYNC, PASSED, width=60)
    assert len([one for one in lines if one.startswith("bf16 ")]) == 8  # 7 use cases, then recovery


def test_without_a_price_nothing_is_said_to_cost_anything() -> None:
    lines = said(SYNC, PASSED, [])
    assert f"no price for {HARDWARE}: declare one in [prices]" in lines
    assert not [one for one in lines if "tokens/$" in one]


@pytest.mark.parametrize(
    ("sizes", "said_so"),
    [
        (None, "no price: it is unknown how many devices served; declare the model's `shape` in the matrix"),
        ({"devices": 2}, f"no price for 2 x {HARDWARE}: declare one in [prices]"),
    ],
    ids=["unknown", "two"],
)
def test_a_price_that_is_missing_says_what_to_declare(sizes: dict[str, int] | None, said_so: str) -> None:
    engines = tuple(
        replace(engine, sizes=replace(engine.sizes, **sizes) if sizes and engine.sizes else None)
        for engine in SYNC[0].engines
    )
    assert said_so in said([replace(SYNC[0], engines=engines)], [])


def test_what_was_disturbed_throughout_is_left_out_with_the_reason() -> None:
    why = "other processes took 90% of the CPU"
    nothing: dict[str, object] = {"base": {}, "quantized": {}, "ratios": {}}
    found = replace(SYNC[0], **nothing, blocks=0, disturbed=6, why=why)
    assert said([found], [])[0] == (
        "code-completion-sync int8-w8a8: left out, since nothing was measured: 6 of 6 blocks were disturbed: other "
        "processes took 90% of the CPU"
    )


def test_the_price_is_named_with_its_date() -> None:
    assert "price of 1 x nvidia-rtx-a6000*: 0.80 USD an hour (Lambda, 2024-10-28)" in said(SYNC, PASSED)


def test_a_kind_of_workloads_has_its_format() -> None:
    assert line(said(SYNC, PASSED), "synchronous: ") == (
        "synchronous: deploy int4-w4a16 (best, or as good as the best, at 7 of 7 workloads, proven better than bf16 at "
        "7); against bf16, on average over workloads: int4-w4a16 2.39x, int8-w8a8 1.54x"
    )


def test_a_workload_has_its_format_with_measured_numbers() -> None:
    assert line(said(SYNC, PASSED), "chat-sync, ") == (
        "chat-sync, by latency: int4-w4a16 2.48x (95 % limits 2.46..2.50), 460,800 tokens/$; then int8-w8a8 1.55x "
        "(95 % limits 1.54..1.56), bf16; Pareto set (recovery x tokens/$): int4-w4a16, int8-w8a8"
    )


def test_a_faster_format_that_failed_is_named_with_why() -> None:
    lines = said(SYNC, [PASSED[0], replace(average("int4-w4a16", "FAIL", 0.9), p_fail=0.001, p_pass=0.99)])
    assert line(lines, "chat-sync, ").startswith("chat-sync, by latency: int8-w8a8 1.55x")
    assert "ahead, but recovery FAIL: int4-w4a16 2.48x" in line(lines, "chat-sync, ")
    assert line(lines, "not recommended: ").startswith(
        "not recommended: llama-3.1-8b int4-w4a16 average: recovery 90.00 % (95 % limits 89.00..91.00, n=4,000) is "
        "proven below 95.0 %"
    )


def test_what_is_proven_is_not_listed_among_what_is_not() -> None:
    assert line(said(SYNC, PASSED), "not recommended") == ""


def test_without_recovery_nothing_is_recommended_for_release() -> None:
    lines = said(SYNC, [])
    assert line(lines, "synchronous: ").startswith("synchronous: recovery not measured, nothing is recommended")
    assert not [one for one in lines if "deploy" in one]


def test_where_every_format_is_slower_the_base_is_to_be_deployed() -> None:
    lines = said([performance("int8-w8a8", SYNC[0].workload, 100.0, 120.0)], PASSED)
    assert line(lines, "synchronous: ").startswith("synchronous: deploy bf16 (")


def test_a_format_that_is_not_proven_better_is_not_to_be_deployed() -> None:
    lines = said([performance("int8-w8a8", SYNC[0].workload, 100.0, 99.0, spread=0.1)], PASSED)
    assert line(lines, "synchronous: ").startswith("synchronous: nothing is proven better than bf16")


def test_a_bound_is_shown_with_what_binds_it_and_how_far_it_is() -> None:
    # An A6000 in 16 bits: (15.009 GB + 768 x 131,072) / 768 GB/s = 19.67 ms a token; 41.8 tokens/s are printed.
    found = performance("int8-w8a8", replace(SYNC[0].workload, mode="asynchronous", requests=1), 41.8, 64.4)
    assert "code-completion-sync tokens/s  50.8 memory 1.22x  94.5 memory 1.47x" in said([found], [])


def test_points_far_above_the_bound_are_overhead_bound() -> None:
    lines = said([performance("int8-w8a8", replace(SYNC[0].workload, mode="asynchronous"), 1.0, 2.0)], [])
    assert line(lines, "all points, ").endswith(
        " times above the limit: overhead-bound, neither memory nor arithmetic decides"
    )


def test_a_roofline_that_expects_another_format_says_so() -> None:
    found = [
        performance(fmt, SYNC[0].workload, 24.5e3, 24.5e3 / gain)
        for fmt, gain in [("int8-w8a8", 1.8), ("int4-w4a16", 1.2)]
    ]
    expects = "code-completion-sync: roofline expects int4-w4a16 to be best; measured: "
    best, other = "int8-w8a8 1.80x (95 % limits 1.78..1.82)", "int4-w4a16 1.20x (95 % limits 1.19..1.21)"
    assert line(said(found, []), expects) == f"{expects}{best}, {other}"


def test_a_roofline_that_expects_another_format_without_proof_does_not_say_so() -> None:
    gains = [("int8-w8a8", 2.6), ("int4-w4a16", 2.5)]
    found = [performance(fmt, SYNC[0].workload, 24.5e3, 24.5e3 / gain, spread=0.1) for fmt, gain in gains]
    assert not [one for one in said(found, []) if "roofline expects" in one]


def test_what_is_better_than_its_bound_is_named() -> None:
    lines = said([performance("int8-w8a8", replace(SYNC[0].workload, mode="asynchronous", requests=1), 41.8, 99.0)], [])
    assert line(lines, "code-completion-sync int8-w8a8: better than the bound")


def test_a_roofline_that_is_right_says_nothing() -> None:
    found = [performance("int8-w8a8", SYNC[0].workload, 24.5e3, 24.5e3 / 1.8)]
    assert not [one for one in said(found, []) if "roofline expects" in one or "roofline predicts" in one]

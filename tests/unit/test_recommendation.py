"""Which format to deploy, against the printed tables of arXiv:2411.02355: 4 bits one by one, 8 bits all at once."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from quant.judge import recommendation
from quant.judge.recommendation import Choice, choose, deciding, pareto, summaries
from quant.workloads import Workload
from tests.unit.printed import PRICE, average, performance, performances

if TYPE_CHECKING:
    from quant.records import Status

PASSED = [average("int8-w8a8", "PASS", 1.003), average("int4-w4a16", "PASS", 0.987)]
SYNC = choose(performances("synchronous"), PASSED, [PRICE])
FULL = choose(performances("asynchronous"), PASSED, [PRICE])
ONE = Workload(id="one", mode="synchronous", input_tokens=64, output_tokens=16, requests=4)
STATUSES: tuple[Status | None, ...] = ("PASS", "FAIL", "INCONCLUSIVE", None)


def chosen(gains: dict[str, float], statuses: dict[str, Status], *, spread: float = 0.01) -> Choice:
    """Choose among formats by how many times faster than a base of 100 ms they are."""
    found = [performance(fmt, ONE, 100.0, 100.0 / gain, spread=spread) for fmt, gain in gains.items()]
    return choose(found, [average(fmt, status) for fmt, status in statuses.items()], [])[0]


@pytest.mark.parametrize("choice", SYNC, ids=lambda choice: choice.workload.id)
def test_one_by_one_int4_is_best_in_every_printed_use_case(choice: Choice) -> None:
    assert (choice.best, choice.equals) == ("int4-w4a16", ())


@pytest.mark.parametrize("choice", FULL, ids=lambda choice: choice.workload.id)
def test_all_at_once_int8_is_best_or_as_good_in_every_printed_use_case(choice: Choice) -> None:
    assert "int8-w8a8" in (choice.best, *choice.equals)


def test_equal_printed_rates_are_as_good() -> None:
    # Code completion: 9.8 thousand queries a dollar with both.
    assert {FULL[0].best, *FULL[0].equals} == {"int8-w8a8", "int4-w4a16"}


@pytest.mark.parametrize(
    ("choices", "printed"),
    [(SYNC, {"int8-w8a8": 1.54, "int4-w4a16": 2.39}), (FULL, {"int8-w8a8": 1.38, "int4-w4a16": 1.08})],
    ids=["table 5", "table 6"],
)
def test_the_mean_gain_over_use_cases_is_the_printed_cost_reduction(
    choices: list[Choice], printed: dict[str, float]
) -> None:
    # Printed latencies and queries per dollar have two digits: the means come out within .01.
    found = summaries(choices)[0].reductions
    assert {name: found[name] for name in printed} == pytest.approx(printed, abs=0.01)


def test_a_dollar_buys_what_is_printed() -> None:
    # Table 5, code completion in 4 bits: 9.7 s a query, 464 of them a dollar, 1,024 tokens each.
    cost = SYNC[0].named("int4-w4a16").cost
    assert (cost and cost.tokens_per_dollar) == pytest.approx(3600 / 9.7 / 0.80 * 1024)


def test_a_kind_of_workloads_is_summed_up_by_its_best_format() -> None:
    found = [(one.kind, one.best, one.wins, one.proven) for one in summaries([*SYNC, *FULL])]
    assert found == [("synchronous", "int4-w4a16", 7, 7), ("asynchronous", "int8-w8a8", 7, 7)]


@pytest.mark.parametrize("status", ["FAIL", "INCONCLUSIVE"])
def test_the_fastest_is_not_recommended_unless_its_recovery_is_proven(status: Status) -> None:
    found = chosen({"int8-w8a8": 1.5, "int4-w4a16": 2.5}, {"int8-w8a8": "PASS", "int4-w4a16": status})
    assert (found.ranked[0].format, found.best, found.equals) == ("int4-w4a16", "int8-w8a8", ())


def test_a_format_without_a_verdict_is_not_recommended() -> None:
    assert chosen({"int8-w8a8": 1.5, "int4-w4a16": 2.5}, {"int8-w8a8": "PASS"}).best == "int8-w8a8"


def test_without_any_recovery_nothing_is_recommended_but_ranked() -> None:
    found = chosen({"int8-w8a8": 1.5, "int4-w4a16": 2.5}, {})
    assert (found.best, [one.format for one in found.ranked]) == ("", ["int4-w4a16", "int8-w8a8", "bf16"])


def test_where_all_formats_are_slower_the_base_is_best() -> None:
    found = chosen({"int8-w8a8": 0.9}, {"int8-w8a8": "PASS"})
    assert (found.best, found.equals) == ("bf16", ())


def test_a_difference_that_is_not_proven_is_none() -> None:
    # 1 % faster, limits of 10 % around it.
    found = chosen({"int8-w8a8": 1.01}, {"int8-w8a8": "PASS"}, spread=0.1)
    assert (found.best, found.equals, summaries([found])[0].proven) == ("int8-w8a8", ("bf16",), 0)


@pytest.mark.parametrize(
    "changes", [{"blocks": 4}, {"disturbed": 2, "why": "other processes took 40 % of the CPU"}], ids=str
)
def test_too_few_quiet_blocks_prove_no_gain(changes: dict[str, object]) -> None:
    found = replace(performance("int8-w8a8", ONE, 100.0, 50.0), **changes)
    choice = choose([found], [average("int8-w8a8", "PASS")], [])[0]
    assert (choice.best, choice.equals, choice.named("int8-w8a8").low) == ("int8-w8a8", ("bf16",), 0.0)


def test_a_task_is_not_the_average() -> None:
    found = [performance("int8-w8a8", ONE, 100.0, 50.0)]
    verdicts = [average("int8-w8a8", "PASS"), replace(average("int8-w8a8", "FAIL"), task="gsm8k")]
    assert choose(found, verdicts, [])[0].best == "int8-w8a8"


def test_of_formats_that_are_as_good_the_one_that_gains_most_stands_for_all() -> None:
    both: dict[str, Status] = {"int8-w8a8": "PASS", "int4-w4a16": "PASS"}
    gains = ({"int8-w8a8": 1.5, "int4-w4a16": 1.4}, {"int8-w8a8": 1.5, "int4-w4a16": 1.7})
    assert summaries([chosen(one, both, spread=0.1) for one in gains])[0].best == "int4-w4a16"


def test_several_devices_cost_what_they_cost_together() -> None:
    one = performance("int8-w8a8", ONE, 100.0, 50.0)
    two = tuple(replace(engine, sizes=engine.sizes and replace(engine.sizes, devices=2)) for engine in one.engines)
    both = replace(PRICE, id="two", devices=2, usd_per_hour=1.60)
    assert choose([replace(one, engines=two)], [], [PRICE, both])[0].price == both


def test_an_unknown_number_of_devices_has_no_price() -> None:
    one = performance("int8-w8a8", ONE, 100.0, 50.0)
    unknown = tuple(replace(engine, sizes=None) for engine in one.engines)
    assert choose([replace(one, engines=unknown)], [], [PRICE])[0].price is None


def test_the_limits_of_a_gain_are_those_of_the_time_turned_round() -> None:
    found = performance("int8-w8a8", ONE, 100.0, 80.0)
    low, high = found.ratios["latency_ms"].limits(0.05)
    one = choose([found], [], [])[0].named("int8-w8a8")
    assert (one.low, one.gain, one.high) == pytest.approx((1 / high, 1.25, 1 / low))


@pytest.mark.parametrize(
    ("changes", "metric"),
    [
        ({}, "latency_ms"),
        ({"mode": "asynchronous"}, "output_tokens_per_s"),
        ({"mode": "asynchronous", "rate": 3.0}, "latency_ms"),
    ],
)
def test_what_decides_depends_on_how_requests_come(changes: dict[str, object], metric: str) -> None:
    assert deciding(replace(ONE, **changes)) == metric


def test_at_a_rate_a_machine_costs_what_arrives() -> None:
    # 2 queries a second of 16 tokens for .80 USD an hour.
    served = replace(ONE, mode="asynchronous", rate=2.0)
    assert recommendation.cost_of(250.0, served, PRICE).tokens_per_dollar == 2 * 16 * 3600 / 0.80


def test_a_workload_of_one_token_recommends_nothing() -> None:
    assert choose([performance("int8-w8a8", replace(ONE, output_tokens=1), 100.0, 50.0)], PASSED, []) == []


def test_machines_are_not_compared_with_each_other() -> None:
    found = [performance("int8-w8a8", ONE, 100.0, 50.0, hardware=name) for name in ("nvidia-a100", "nvidia-l4")]
    assert [(one.hardware, len(one.ranked)) for one in choose(found, [], [])] == [("nvidia-a100", 2), ("nvidia-l4", 2)]


def test_the_pareto_set_has_what_nothing_beats_in_both() -> None:
    found = [performance(fmt, ONE, 100.0, time) for fmt, time in [("a", 50.0), ("b", 40.0), ("c", 60.0), ("d", 45.0)]]
    verdicts = [average("a", "PASS", 0.99), average("b", "FAIL", 0.9), average("c", "PASS", 0.98)]
    # c is slower and less accurate than a; of d nothing is known; the base is the most accurate.
    assert pareto(choose(found, verdicts, [])[0].ranked) == ["b", "a", "bf16"]


@pytest.mark.parametrize("seed", range(200))
def test_what_is_not_proven_is_never_recommended(seed: int) -> None:
    draw = random.Random(seed)
    gains = {f"f{number}": math.exp(draw.gauss(0.3, 0.3)) for number in range(4)}
    said = {fmt: draw.choice(STATUSES) for fmt in gains}
    found = chosen(gains, {fmt: status for fmt, status in said.items() if status}, spread=draw.choice([0.01, 0.3]))
    named = {found.best, *found.equals, summaries([found])[0].best}
    assert named & {fmt for fmt, status in said.items() if status != "PASS"} == set()


@pytest.mark.parametrize("seed", range(100))
def test_no_released_format_is_proven_better_than_the_recommended_one(seed: int) -> None:
    draw = random.Random(seed)
    gains = {f"f{number}": math.exp(draw.gauss(0.0, 0.3)) for number in range(4)}
    found = chosen(gains, dict.fromkeys(gains, "PASS"), spread=draw.choice([0.01, 0.3]))
    assert not [one.format for one in found.ranked if one.beats(found.named(found.best))]

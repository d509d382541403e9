"""What a query costs, against the printed tables of arXiv:2411.02355; prices by hardware and number of devices."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from msgspec.structs import replace

from quant import reading
from quant.cost import Cost, of_latency, of_rate, price, reduction
from quant.environment import DEFAULT_MATRIX
from tests.unit.printed import LATENCIES, RATES, USD_PER_HOUR, USES

PRICES = reading.load(DEFAULT_MATRIX).prices.values()
CASES = range(len(USES))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", LATENCIES)
def test_queries_one_at_a_time_cost_what_is_printed(name: str, case: int) -> None:
    # A latency is printed to .05 s: the printed cost lies between those of its two ends.
    seconds, printed = (column[case] for column in LATENCIES[name])
    dear, cheap = (of_latency(seconds + end, 1, USD_PER_HOUR).queries_per_dollar for end in (0.05, -0.05))
    assert dear - 0.5 <= printed <= cheap + 0.5


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", RATES)
def test_queries_at_saturation_cost_what_is_printed(name: str, case: int) -> None:
    rate, printed = (column[case] for column in RATES[name])
    dear, cheap = (of_rate(rate + end, 1, USD_PER_HOUR).queries_per_dollar for end in (-0.05, 0.05))
    assert dear - 50 <= 1000 * printed <= cheap + 50


@pytest.mark.parametrize(("name", "printed"), [("int8", 1.54), ("int4", 2.39)])
def test_the_cost_reduction_is_the_mean_of_the_ratios_by_use_case(name: str, printed: float) -> None:
    # From the printed queries per dollar, which are exact to .05 %.
    costs = {
        key: [Cost(queries_per_dollar=queries, tokens_per_dollar=0, usd_per_million_tokens=0) for queries in column]
        for key, (_, column) in LATENCIES.items()
    }
    assert reduction(costs["bf16"], costs[name]) == pytest.approx(printed, abs=0.005)


def test_tokens_per_dollar_count_output_tokens() -> None:
    # By hand: 2 queries/s of 256 tokens for 3.60 USD an hour are 2,000 queries and 512,000 tokens a dollar.
    assert of_rate(2.0, 256, 3.60) == Cost(
        queries_per_dollar=2000.0, tokens_per_dollar=512_000.0, usd_per_million_tokens=1.953125
    )


@pytest.mark.parametrize(
    ("hardware", "devices", "usd"),
    [
        ("nvidia-rtx-a6000", 1, 0.80),
        ("nvidia-a100-sxm4-80gb", 8, 14.32),
        ("nvidia-h100-80gb-hbm3", 1, 3.29),
        ("nvidia-h100-80gb-hbm3", 4, 12.36),  # not 4 x 3.29
    ],
)
def test_a_price_is_that_of_the_class_and_number_of_devices(hardware: str, devices: int, usd: float) -> None:
    found = price(PRICES, hardware, devices)
    assert (found and found.usd_per_hour) == usd


@pytest.mark.parametrize(("hardware", "devices"), [("cpu-avx512", 1), ("nvidia-h100-80gb-hbm3", 3)])
def test_no_price_is_made_up(hardware: str, devices: int) -> None:
    assert price(PRICES, hardware, devices) is None


def test_the_latest_price_counts_wherever_it_stands() -> None:
    old = next(one for one in PRICES if one.id == "h100-1")
    new = replace(old, id="new", usd_per_hour=2.0, date=dt.date(2026, 1, 1))
    orders = itertools.permutations([old, new])
    assert [price(order, "nvidia-h100-pcie", 1) for order in orders] == [new, new]


def test_of_two_prices_of_one_day_the_later_declared_counts() -> None:
    old = next(one for one in PRICES if one.id == "h100-1")
    own = replace(old, id="own", usd_per_hour=2.0)
    assert price([old, own], "nvidia-h100-pcie", 1) == own

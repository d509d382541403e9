"""What a query costs, against the printed tables of arXiv:2411.02355: Llama 3.1 8B on one A6000 at 0.80 USD an hour."""

from __future__ import annotations

import pytest

from quant.cost import Cost, of_latency, of_rate, reduction

PRICE = 0.80
OUTPUT_TOKENS = [1024, 128, 1024, 128, 128, 256, 512]
# Table 5: seconds a query, one at a time, and queries per dollar, by use case.
LATENCIES = {
    "bf16": ([24.5, 3.2, 25.0, 3.3, 3.1, 6.2, 13.4], [183, 1395, 180, 1374, 1445, 723, 335]),
    "int8": ([15.9, 2.1, 16.3, 2.1, 2.0, 4.0, 8.9], [284, 2157, 276, 2139, 2249, 1120, 506]),
    "int4": ([9.7, 1.4, 10.1, 1.4, 1.3, 2.5, 6.1], [462, 3290, 445, 3136, 3543, 1787, 736]),
}
# Table 6: queries a second at saturation, and thousands of queries per dollar.
RATES = {
    "bf16": ([1.5, 5.6, 1.1, 4.4, 11.8, 5.3, 0.7], [6.8, 25.1, 4.8, 19.9, 53.0, 24.0, 3.2]),
    "int8": ([2.2, 7.7, 1.4, 6.1, 16.5, 7.2, 1.0], [9.8, 34.6, 6.4, 27.6, 74.5, 32.3, 4.4]),
    "int4": ([2.2, 5.3, 1.3, 4.1, 11.2, 5.4, 0.7], [9.8, 24.0, 6.0, 18.6, 50.5, 24.3, 3.1]),
}
CASES = range(len(OUTPUT_TOKENS))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", LATENCIES)
def test_queries_one_at_a_time_cost_what_is_printed(name: str, case: int) -> None:
    # A latency is printed to .05 s: the printed cost lies between those of its two ends.
    seconds, printed = (column[case] for column in LATENCIES[name])
    dear, cheap = (of_latency(seconds + end, 1, PRICE).queries_per_dollar for end in (0.05, -0.05))
    assert dear - 0.5 <= printed <= cheap + 0.5


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", RATES)
def test_queries_at_saturation_cost_what_is_printed(name: str, case: int) -> None:
    rate, printed = (column[case] for column in RATES[name])
    dear, cheap = (of_rate(rate + end, 1, PRICE).queries_per_dollar for end in (-0.05, 0.05))
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

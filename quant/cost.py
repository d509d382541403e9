"""Cost: what a measured latency or request rate costs at the price of the machine, so that people can compare.

Comes in: seconds a query or queries a second, a `Price`. Goes out: a `Cost`. Pure arithmetic; units are in the names.
Formulas (arXiv:2411.02355, tables 5 and 6): one query at a time, queries per dollar = 3600 / (latency x USD per hour);
at a rate, 3600 x queries per second / USD per hour. Tokens are output tokens.
"""

from __future__ import annotations

import fnmatch
import statistics
from datetime import date as Date  # noqa: N812 - a record resolves its annotations when it is decoded
from typing import TYPE_CHECKING, Annotated

import msgspec

from quant.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SECONDS = 3600.0
MILLION = 1e6


class Price(Record, frozen=True, kw_only=True):
    """What `devices` devices of a hardware class cost together, where and when: prices fall, so a table says it.

    `hardware` is a pattern (`*` stands for anything).
    """

    id: str
    hardware: str
    devices: Annotated[int, msgspec.Meta(ge=1)] = 1
    usd_per_hour: Annotated[float, msgspec.Meta(gt=0)]
    date: Date
    provider: str


class Cost(Record, frozen=True, kw_only=True):
    """What a dollar buys."""

    queries_per_dollar: float
    tokens_per_dollar: float
    usd_per_million_tokens: float


def price(prices: Iterable[Price], hardware: str, devices: int) -> Price | None:
    """Return what so many devices of a class cost: the latest of several, of one day the last; None if unknown."""
    matching = [one for one in prices if one.devices == devices and fnmatch.fnmatchcase(hardware, one.hardware)]
    return max(reversed(matching), key=lambda one: one.date, default=None)


def of_latency(seconds: float, output_tokens: int, usd_per_hour: float) -> Cost:
    """Return the cost of queries that are served one at a time, `seconds` each."""
    return of_rate(1.0 / seconds, output_tokens, usd_per_hour)


def of_rate(queries_per_second: float, output_tokens: int, usd_per_hour: float) -> Cost:
    """Return the cost of queries of `output_tokens` each that are served at a rate, together."""
    queries = SECONDS * queries_per_second / usd_per_hour
    tokens = queries * output_tokens
    return Cost(queries_per_dollar=queries, tokens_per_dollar=tokens, usd_per_million_tokens=MILLION / tokens)


def reduction(base: Sequence[Cost], quantized: Sequence[Cost]) -> float:
    """Return how many times more queries a dollar buys: the arithmetic mean over use cases of the ratio in each.

    This is the cost reduction and the speed-up of arXiv:2411.02355, tables 5 and 6. Raises ValueError on unequal
    lengths.
    """
    pairs = zip(base, quantized, strict=True)
    return statistics.fmean(new.queries_per_dollar / old.queries_per_dollar for old, new in pairs)

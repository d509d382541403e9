"""Which format to deploy: the best measured one whose recovery is proven. (performances, verdicts, prices) -> `Choice`.

Pure, so that stored runs are compared again. All formats of a model take turns with the same base, on the same machine
at the same price, so the ratio to the base is that of their costs too, with the limits of its blocks. One is better
than another if these limits do not overlap (one-sided 95 % each), else as good. What is not PASS is never recommended:
INCONCLUSIVE is not proven, and without a verdict nothing is known. The base itself is a candidate.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING, Literal, NamedTuple

from quant import cost
from quant.judge.budget import doubt
from quant.workloads import higher_is_better

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from quant.budgets import Performance
    from quant.claims import Verdict
    from quant.cost import Cost, Price
    from quant.records import Status
    from quant.workloads import Workload

BASE = "bf16"
ALPHA = 0.05  # one-sided, of the limits of a ratio


class Candidate(NamedTuple):
    """A format at a workload: the metric that decides, its `gain` over the base (2: twice as good) with limits.

    `average` is what is proven of its recovery, None if nothing is known. `cost` is None without a price. `why` says
    why nothing is proven of the gain.
    """

    format: str
    value: float
    gain: float = 1.0
    low: float = 1.0
    high: float = 1.0
    average: Verdict | None = None
    cost: Cost | None = None
    why: str = ""

    @property
    def recovery(self) -> Status | Literal["not measured"]:
        """Return what is proven of its recovery: the base is what recovery is relative to."""
        if self.format == BASE:
            return "PASS"
        return self.average.status if self.average else "not measured"

    @property
    def recovered(self) -> float | None:
        """Return its recovery; None if it is unknown or undefined."""
        if self.format == BASE:
            return 1.0
        return self.average.recovery if self.average else None

    def beats(self, other: Candidate) -> bool:
        """Say whether it is proven to be better: the limits of the gains do not overlap."""
        return self.low > other.high


class Choice(NamedTuple):
    """What was found for one model and workload, best first.

    `best` is the first that may be released, "" if no recovery was measured; `equals` may be released too, and `best`
    is not proven to be better than they are. `devices` served it, 0: unknown, and so is the price.
    """

    model: str
    hardware: str
    workload: Workload
    metric: str
    ranked: tuple[Candidate, ...]
    best: str = ""
    equals: tuple[str, ...] = ()
    devices: int = 0
    price: Price | None = None

    def named(self, fmt: str) -> Candidate:
        """Return a candidate by its format."""
        return next(one for one in self.ranked if one.format == fmt)


class Summary(NamedTuple):
    """What workloads of one kind say together: `best` is best or as good as the best at `wins` of `workloads`.

    It is proven to be better than the base at `proven` of them.
    `reductions` are by format, how many times more a dollar buys: the arithmetic mean over workloads of the gain.
    """

    model: str
    hardware: str
    kind: str
    best: str
    wins: int
    proven: int
    workloads: int
    reductions: dict[str, float]


def deciding(workload: Workload) -> str:
    """Return the metric that decides: at a given rate all formats serve as many requests, so it is their latency."""
    return "output_tokens_per_s" if kind(workload) == "asynchronous" else "latency_ms"


def kind(workload: Workload) -> str:
    """Say how a workload is served."""
    return "asynchronous at a rate" if workload.mode == "asynchronous" and workload.rate else workload.mode


def choose(found: Sequence[Performance], verdicts: Iterable[Verdict], prices: Iterable[Price]) -> list[Choice]:
    """Return a choice for each model, machine and workload, in the order of `found`.

    Workloads of one output token measure the time to it, and are no use of a model.
    """
    averages = {(verdict.model, verdict.format): verdict for verdict in verdicts if not verdict.task}
    groups: dict[tuple[str, str, str], list[Performance]] = {}
    for one in found:
        if deciding(one.workload) in one.ratios and one.workload.output_tokens > 1:
            groups.setdefault((one.model, one.hardware, one.workload.id), []).append(one)
    known = [*prices]
    return [_choice(group, averages, known) for group in groups.values()]


def summaries(choices: Iterable[Choice]) -> list[Summary]:
    """Say which format is best or as good at most workloads of each kind; of several, the one that gains most."""
    groups: dict[tuple[str, str, str], list[Choice]] = {}
    for choice in choices:
        groups.setdefault((choice.model, choice.hardware, kind(choice.workload)), []).append(choice)
    return [_summary(*key, group) for key, group in groups.items()]


def pareto(candidates: Iterable[Candidate]) -> list[str]:
    """Return the formats that no other beats in recovery or in gain without losing the other."""
    known = [one for one in candidates if one.recovered is not None]
    return [one.format for one in known if not any(_dominates(other, one) for other in known)]


def _choice(group: Sequence[Performance], averages: dict[tuple[str, str], Verdict], prices: list[Price]) -> Choice:
    first, metric = group[0], deciding(group[0].workload)
    sizes = first.engines[0].sizes
    devices = sizes.devices if sizes else 0
    price = cost.price(prices, first.hardware, devices)
    value = math.exp(fmean(one.base[metric].mean for one in group))
    base = Candidate(BASE, value)
    others = [_candidate(one, averages.get((one.model, one.format))) for one in group if one.format != BASE]
    priced = [_priced(one, first.workload, price) for one in (base, *others)]
    ranked = sorted(priced, key=lambda one: -one.gain)
    released = [one for one in ranked if one.recovery == "PASS"] if _judged(others) else []
    return Choice(
        model=first.model,
        hardware=first.hardware,
        workload=first.workload,
        metric=metric,
        ranked=tuple(ranked),
        best=released[0].format if released else "",
        equals=tuple(one.format for one in released[1:] if not released[0].beats(one)),
        devices=devices,
        price=price,
    )


def _candidate(found: Performance, average: Verdict | None) -> Candidate:
    metric = deciding(found.workload)
    mean, why = found.ratios[metric], doubt(found)
    low, high = (0.0, math.inf) if why else mean.limits(ALPHA)
    gain = mean.value
    if not higher_is_better(metric):
        gain, low, high = 1 / gain, 1 / high, math.inf if low == 0 else 1 / low
    return Candidate(
        format=found.format,
        value=found.quantized[metric].value,
        gain=gain,
        low=low,
        high=high,
        average=average,
        why=why,
    )


def _priced(one: Candidate, workload: Workload, price: Price | None) -> Candidate:
    return one._replace(cost=cost_of(one.value, workload, price)) if price else one


def cost_of(value: float, workload: Workload, price: Price) -> Cost:
    """Return the cost that follows from the metric that decides; at a rate, the machine serves what arrives."""
    tokens = workload.output_tokens
    if workload.mode == "synchronous":
        return cost.of_latency(value / 1e3, tokens, price.usd_per_hour)
    return cost.of_rate(workload.rate or value / tokens, tokens, price.usd_per_hour)


def _judged(others: Sequence[Candidate]) -> bool:
    return any(one.recovery != "not measured" for one in others)


def _summary(model: str, hardware: str, kind: str, group: Sequence[Choice]) -> Summary:
    names = dict.fromkeys(one.format for choice in group for one in choice.ranked)
    everywhere = [name for name in names if all(name in {one.format for one in choice.ranked} for choice in group)]
    reductions = {name: fmean(choice.named(name).gain for choice in group) for name in everywhere}
    wins = {name: sum(name in (choice.best, *choice.equals) for choice in group) for name in names}
    best = max(wins, key=lambda name: (wins[name], reductions.get(name, 0.0)))
    proven = sum(one.low > 1 for choice in group for one in choice.ranked if one.format == best)
    return Summary(model, hardware, kind, best if wins[best] else "", wins[best], proven, len(group), reductions)


def _dominates(one: Candidate, other: Candidate) -> bool:
    here, there = (one.recovered or 0.0, one.gain), (other.recovered or 0.0, other.gain)
    return here != there and here[0] >= there[0] and here[1] >= there[1]

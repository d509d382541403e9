"""Choices -> the sentences that say which format to deploy, with the measured numbers. Pure: prints nothing."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from quant.judge import recommendation
from quant.report.terminal import sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.cost import Price
    from quant.judge.recommendation import Candidate, Choice, Summary

LARGE = 100.0  # printed without decimals
MEASURE = {"latency_ms": "latency", "output_tokens_per_s": "output tokens/s"}


def sentences(choices: Sequence[Choice]) -> list[str]:
    """Say for each kind of workload, then for each workload of one model and machine, what to deploy."""
    said = (map(_summary, recommendation.summaries(choices)), map(_choice, choices), _held(choices), _prices(choices))
    return [*chain.from_iterable(said)]


def number(value: float) -> str:
    """Print a number to about three digits."""
    return f"{value:,.0f}" if value >= LARGE else f"{value:.3g}"


def gain(one: Candidate) -> str:
    """Print how many times better a format is than the base, with limits where there are any."""
    if one.format == recommendation.BASE:
        return one.format
    limits = f"95 % limits {one.low:.2f}..{one.high:.2f}" if not one.why and one.low > 0 else f"unproven: {one.why}"
    return f"{one.format} {one.gain:.2f}x ({limits})"


def _summary(found: Summary) -> str:
    buys = ", ".join(f"{name} {value:.2f}x" for name, value in found.reductions.items() if name != recommendation.BASE)
    bought = f"against bf16, on average over workloads: {buys}" if buys else "no format was measured at all of them"
    if not found.best:
        return f"{found.kind}: recovery not measured, nothing is recommended for release; {bought}"
    place = f"best, or as good as the best, at {found.wins} of {found.workloads} workloads"
    if found.best == recommendation.BASE:
        return f"{found.kind}: deploy bf16 ({place}), no format whose recovery is proven is better; {bought}"
    if not found.proven:
        return f"{found.kind}: nothing is proven better than bf16, {found.best} is as good ({place}); {bought}"
    return f"{found.kind}: deploy {found.best} ({place}, proven better than bf16 at {found.proven}); {bought}"


def _choice(choice: Choice) -> str:
    start = f"{choice.workload.id}, by {MEASURE[choice.metric]}"
    if not choice.best:
        ranking = ", ".join(map(gain, choice.ranked))
        return f"{start}: recovery not measured in this run, nothing is recommended for release; ranked: {ranking}"
    best, equals, ahead = choice.named(choice.best), [choice.named(name) for name in choice.equals], _ahead(choice)
    said = [f"{start}: {gain(best)}{_bought(best)}", *(f"as good: {gain(one)}" for one in equals)]
    said += [f"ahead, but recovery {one.recovery}: {gain(one)}" for one in ahead]
    rest = [gain(one) for one in choice.ranked if one not in (best, *equals, *ahead)]
    said += [f"then {', '.join(rest)}"] if rest else []
    front = ", ".join(recommendation.pareto(choice.ranked))
    return "; ".join([*said, f"Pareto set (recovery x {axis(choice)}): {front}"])


def _ahead(choice: Choice) -> list[Candidate]:
    """Return those that would come before the best if their recovery were proven."""
    place = choice.ranked.index(choice.named(choice.best))
    return [one for one in choice.ranked[:place] if one.recovery != "PASS"]


def _held(choices: Sequence[Choice]) -> list[str]:
    """Say of each format that is not recommended what its recovery lacks."""
    if not any(choice.best for choice in choices):
        return []
    every = {one.format: one for choice in choices for one in choice.ranked if one.recovery != "PASS"}
    return [
        f"not recommended: {sentence(one.average) if one.average else f'{name}: recovery not measured in this run'}"
        for name, one in every.items()
    ]


def _bought(one: Candidate) -> str:
    return f", {number(one.cost.tokens_per_dollar)} tokens/$" if one.cost else ""


def axis(choice: Choice) -> str:
    """Name what recovery is plotted against."""
    return "tokens/$" if choice.price and not choice.workload.rate else MEASURE[choice.metric]


def _prices(choices: Sequence[Choice]) -> list[str]:
    return [*dict.fromkeys(_price(choice.price) if choice.price else _unpriced(choice) for choice in choices)]


def _unpriced(choice: Choice) -> str:
    if not choice.devices:
        return "no price: it is unknown how many devices served; declare the model's `shape` in the matrix"
    several = f"{choice.devices} x " if choice.devices > 1 else ""
    return f"no price for {several}{choice.hardware}: declare one in [prices]"


def _price(price: Price) -> str:
    devices = f"{price.devices} x {price.hardware}"
    return f"price of {devices}: {price.usd_per_hour:.2f} USD an hour ({price.provider}, {price.date.isoformat()})"

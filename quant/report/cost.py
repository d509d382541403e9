"""What measured performance costs -> the table and sentences that a person reads. Pure: prints nothing.

One table a model and machine, a row a format: average time to first token, then tokens/s and what a dollar buys by
workload, then accuracy by task. Columns that a line does not hold go on below, the formats in front again.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from quant.judge import recommendation
from quant.judge.budget import doubt
from quant.judge.recommendation import BASE
from quant.report import recommendation as advice
from quant.report import roofline
from quant.report.recommendation import number
from quant.report.terminal import PLAIN_WIDTH, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from quant.budgets import Performance
    from quant.claims import Verdict
    from quant.cost import Cost, Price
    from quant.judge.recommendation import Candidate, Choice

FIRST = (64, 1024)  # input tokens of the workloads whose time to first token is shown
GAP = "  "
BOUGHT: dict[str, Callable[[Cost], float]] = {
    "tokens/$": lambda cost: cost.tokens_per_dollar,
    "$/1M tokens": lambda cost: cost.usd_per_million_tokens,
    "queries/$": lambda cost: cost.queries_per_dollar,
}


class Group(NamedTuple):
    """Columns under one title: a heading and a cell a format each."""

    title: str
    columns: tuple[tuple[str, ...], ...]

    @property
    def lines(self) -> list[str]:
        """Return title, headings and cells, all as wide as the widest; numbers stand to the right."""
        widths = [max(map(len, column)) for column in self.columns]
        rows = zip(*self.columns, strict=True)
        lines = [GAP.join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
        widest = max(map(len, (self.title, *lines)))
        return [self.title.ljust(widest), *(line.rjust(widest) for line in lines)]

    @property
    def width(self) -> int:
        """Return what a line takes."""
        return len(self.lines[0])


class Section(NamedTuple):
    """What is said of one model on one machine."""

    title: str
    choices: tuple[Choice, ...]
    lines: tuple[str, ...]


def sections(
    found: Sequence[Performance],
    verdicts: Sequence[Verdict],
    prices: Iterable[Price],
    *,
    width: int,
    colour: bool,
) -> list[Section]:
    """Return the table, what to deploy, and how far from the limits each model is on each machine."""
    known, groups = [*prices], dict.fromkeys((one.model, one.hardware) for one in found)
    return [_section(*group, found, verdicts, known, width=width, colour=colour) for group in groups]


def table(found: Sequence[Performance], choices: Sequence[Choice], verdicts: Sequence[Verdict], *, width: int) -> str:
    """Lay out what formats of one model reach on one machine, what that costs, and their accuracy."""
    formats = list(dict.fromkeys([BASE, *(one.format for one in found)]))
    if not (groups := [*_firsts(found, formats), *_workloads(found, choices, formats), *_accuracy(verdicts, formats)]):
        return ""
    left = ["", "format", *formats]
    widest = max(map(len, left))
    bands = _bands(groups, width - widest)
    return "\n\n".join("\n".join(_joined([line.ljust(widest) for line in left], band)) for band in bands)


def _section(  # noqa: PLR0913 - one model's part of all that `sections` takes
    model: str,
    hardware: str,
    found: Sequence[Performance],
    verdicts: Sequence[Verdict],
    prices: Sequence[Price],
    *,
    width: int,
    colour: bool,
) -> Section:
    mine = [one for one in found if (one.model, one.hardware) == (model, hardware)]
    judged = [verdict for verdict in verdicts if verdict.model == model]
    choices = recommendation.choose(mine, judged, prices)
    parts = [
        table(mine, choices, judged, width=width if colour else max(width, PLAIN_WIDTH)),
        "\n".join([*advice.sentences(choices), *_lacking(mine)]),
        roofline.table(mine, width=width, colour=colour),
        "\n".join(roofline.sentences(mine, choices)),
    ]
    lines = "\n\n".join(filter(None, parts)).split("\n")
    return Section(f"cost: {model} on {hardware}", tuple(choices), tuple(lines))


def _lacking(found: Sequence[Performance]) -> list[str]:
    """Say which measurements have too few quiet blocks to be of use."""
    return [
        f"{one.workload.id} {one.format}: left out, since nothing was measured: {doubt(one)}"
        for one in found
        if recommendation.deciding(one.workload) not in one.ratios
    ]


def _firsts(found: Sequence[Performance], formats: Sequence[str]) -> Iterator[Group]:
    """Yield the time to first token at each input length that was measured, of the workload of the shortest answers."""
    for tokens in FIRST:
        served = [one for one in found if one.workload.input_tokens == tokens and one.workload.mode == "synchronous"]
        shortest = min((one.workload.output_tokens for one in served), default=0)
        here = [one for one in served if one.workload.output_tokens == shortest and "ttft_ms" in one.base]
        if here:
            yield Group(f"TTFT {tokens:,}", (("ms", *(_value(here, "ttft_ms", name) for name in formats)),))


def _workloads(found: Sequence[Performance], choices: Sequence[Choice], formats: Sequence[str]) -> Iterator[Group]:
    for choice in choices:
        here = [one for one in found if one.workload.id == choice.workload.id]
        ranked = {one.format: one for one in choice.ranked}
        columns = [("tokens/s", *(_value(here, "output_tokens_per_s", name) for name in formats))]
        for name, read in BOUGHT.items():
            if choice.price:
                columns.append((name, *(_cost(ranked.get(fmt), read) for fmt in formats)))
        yield Group(choice.workload.id, tuple(columns))


def _accuracy(verdicts: Sequence[Verdict], formats: Sequence[str]) -> Iterator[Group]:
    """Yield scores by task, then the average's recovery and what is proven of it."""
    shown = {(verdict.format, verdict.task): verdict for verdict in verdicts if verdict.format in formats}
    for task in dict.fromkeys(task for _, task in shown if task):
        base = next(verdict.base for (_, name), verdict in shown.items() if name == task)
        scores = {name: shown[name, task].quantized for name in formats if (name, task) in shown} | {BASE: base}
        yield Group(task, (("%", *(percent(scores.get(name)) for name in formats)),))
    averages = [shown.get((name, "")) for name in formats]
    if any(averages):
        proven = ("verdict", *(one.status if one else "-" for one in averages))
        yield Group("recovery", (("%", *map(_recovery, averages)), proven))


def _value(found: Sequence[Performance], metric: str, fmt: str) -> str:
    """Print a metric of one format; the base was measured beside each format, so take its mean."""
    sides = [one.base if fmt == BASE else one.quantized for one in found if fmt in (BASE, one.format)]
    logs = [side[metric].mean for side in sides if metric in side]
    return number(math.exp(fmean(logs))) if logs else "-"


def _cost(one: Candidate | None, read: Callable[[Cost], float]) -> str:
    return number(read(one.cost)) if one and one.cost else "-"


def _recovery(average: Verdict | None) -> str:
    return f"{percent(average.recovery)} ({percent(average.low)}..{percent(average.high)})" if average else "-"


def _bands(groups: Sequence[Group], width: int) -> list[list[Group]]:
    """Lay groups side by side as far as `width` allows, then go on below; one alone may be wider."""
    bands: list[list[Group]] = [[]]
    for group in groups:
        taken = sum(2 * len(GAP) + one.width for one in (*bands[-1], group))
        if bands[-1] and taken > width:
            bands.append([])
        bands[-1].append(group)
    return bands


def _joined(left: Sequence[str], groups: Sequence[Group]) -> list[str]:
    columns = [left, *(group.lines for group in groups)]
    return [(2 * GAP).join(line).rstrip() for line in zip(*columns, strict=True)]

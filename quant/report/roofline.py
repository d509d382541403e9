"""Bounds beside what was measured: a table, and sentences where they disagree. Pure: prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from quant import roofline
from quant.judge.recommendation import BASE
from quant.report.recommendation import gain, number
from quant.report.terminal import drawn
from quant.workloads import higher_is_better

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.budgets import Performance
    from quant.judge.recommendation import Candidate, Choice
    from quant.roofline import Point
    from quant.workloads import Peaks

UNITS = {"ttft_ms": "ms TTFT", "tpot_ms": "ms TPOT", "output_tokens_per_s": "tokens/s"}


def table(found: Sequence[Performance], *, width: int, colour: bool) -> str:
    """Lay out bounds: a row a workload and metric, a column a format; "" where nothing is known of the model."""
    cells = _points(found)
    formats = dict.fromkeys(point.format for point in cells)
    grid = Table(box=None, pad_edge=False, header_style="bold" if colour else "")
    grid.add_column("roofline", overflow="fold")
    for name in formats:
        grid.add_column(name, overflow="fold")
    rows = {(point.workload.id, point.metric): f"{point.workload.id} {UNITS[point.metric]}" for point in cells}
    for key, title in rows.items():
        here = {point.format: _cell(point) for point in cells if (point.workload.id, point.metric) == key}
        grid.add_row(title, *(here.get(name, "-") for name in formats))
    return drawn(grid, width=width, colour=colour) if rows else ""


def sentences(found: Sequence[Performance], choices: Sequence[Choice]) -> list[str]:
    """Say what the device reaches, what neither limit binds, and where prediction and measurement differ."""
    if not any(engine.sizes for one in found for engine in one.engines):
        return ["no roofline: the model's files do not say its shape; declare `shape` in the matrix"]
    cells = _points(found)
    differing = [line for choice in choices for line in _disagreements(choice, found)]
    return [_reached(found[0].peaks), *_overhead(cells), *_too_fast(cells), *differing]


def _points(found: Sequence[Performance]) -> list[Point]:
    """Return the points of the base, once a workload, then those of formats; latency follows from the others."""
    firsts = {one.workload.id: one for one in reversed(found)}
    base = [point for one in firsts.values() for point in roofline.points(one, quantized=False)]
    others = [point for one in found if one.format != BASE for point in roofline.points(one, quantized=True)]
    order = list(dict.fromkeys(one.workload.id for one in found))
    return sorted((p for p in (*base, *others) if p.metric in UNITS), key=lambda p: order.index(p.workload.id))


def _cell(point: Point) -> str:
    return f"{number(point.bound.value)} {point.bound.binds} {number(point.distance)}x"


def _reached(peaks: Peaks) -> str:
    products = ", ".join(f"{name} {value / 1e12:.3g}" for name, value in peaks.operations_per_s.items())
    device = f"{peaks.bytes_per_s / 1e9:,.4g} GB/s, {products} TFLOP/s"
    return f"roofline of {device} (measured): the bound, what binds it, how many times it is missed"


def _overhead(cells: Sequence[Point]) -> list[str]:
    over = [point for point in cells if point.overhead]
    if not over:
        return []
    least, most = (number(choose(point.distance for point in over)) for choose in (min, max))
    named = ", ".join(f"{point.workload.id} {point.format} {number(point.distance)}" for point in over)
    which = f"all points, {least} to {most}" if len(over) == len(cells) > 1 else named
    return [f"{which} times above the limit: overhead-bound, neither memory nor arithmetic decides"]


def _too_fast(cells: Sequence[Point]) -> list[str]:
    fast = dict.fromkeys(f"{point.workload.id} {point.format}" for point in cells if point.distance < 1)
    names = ", ".join(fast)
    return [f"{names}: better than the bound, which does not hold there (a mixture of experts?)"] if fast else []


def _disagreements(choice: Choice, found: Sequence[Performance]) -> list[str]:
    """Say which format the roofline expects to be best if another is proven to be, and which gains it misses."""
    here = [one for one in found if one.workload.id == choice.workload.id and one.format != BASE]
    gains = {one.format: value for one in here if (value := _predicted(one, choice.metric)) is not None}
    if not gains:
        return []
    expected = max({BASE: 1.0, **gains}.items(), key=lambda entry: entry[1])
    best, other = choice.ranked[0], choice.named(expected[0])
    lines = []
    if best.beats(other):
        measured = f"{gain(best)}, {gain(other)}"
        lines.append(f"{choice.workload.id}: roofline expects {other.format} to be best; measured: {measured}")
    wrong = [one for one in choice.ranked if one.format in gains and _differs(gains[one.format], one)]
    if wrong:
        said = ", ".join(f"{one.format} {gains[one.format]:.2f}x, measured {_measured(one)}" for one in wrong)
        lines.append(f"{choice.workload.id}: roofline predicts {said}")
    return lines


def _predicted(one: Performance, metric: str) -> float | None:
    value = roofline.ratio(one, metric)
    return value if value is None or higher_is_better(metric) else 1 / value


def _differs(predicted: float, one: Candidate) -> bool:
    return roofline.disagrees(predicted, one.gain, one.low, one.high)


def _measured(one: Candidate) -> str:
    return f"{one.gain:.2f}x ({one.low:.2f}..{one.high:.2f})"

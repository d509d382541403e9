"""Performances -> the table and the sentences that a person reads at a terminal. Pure: text out, prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from quant.judge.budget import doubt
from quant.report.terminal import STYLE, drawn
from quant.workloads import ONCE, PERCENTILES, higher_is_better

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.budgets import Measured, Performance
    from quant.records import Status
    from quant.stats.blocks import LogMean

ALPHA = 0.05  # one-sided, of limits
COLUMNS = {"TTFT ms": "ttft_ms", "TPOT ms": "tpot_ms", "latency ms": "latency_ms", "tokens/s": "output_tokens_per_s"}
WORST: tuple[Status, ...] = ("FAIL", "INCONCLUSIVE", "PASS")
LEGEND = "below each value of the quantized model its ratio to the base in the same run, and its one-sided 95 % limits"


def sentence(found: Performance, measured: Measured) -> str:
    """Say what was found of a budget, what was expected and how sure it is."""
    one = measured.budget
    name = f"{found.model} {found.format} {found.workload.id}"
    why = f"; {measured.why}" if measured.why else ""
    detail = "; ".join(filter(None, [_sides(found, one.metric), f"kernels {kernels(found)}"]))
    return f"{name}: {_found(measured)} is {_claim(measured)} (budget {one.id}){why}; {detail}"


def unproven(found: Performance) -> list[str]:
    """Say which budgets are neither kept nor broken for certain; in one line those that the machine is to blame for."""
    open_ones = [one for one in found.measured if one.status == "INCONCLUSIVE"]
    disturbed = [one.budget.id for one in open_ones if one.why == doubt(found)]
    lines = [sentence(found, one) for one in open_ones if one.budget.id not in disturbed]
    if disturbed:
        name = f"{found.model} {found.format} {found.workload.id}"
        lines.append(
            f"{name}: nothing is proven of {', '.join(disturbed)}: {doubt(found)}; run again on a quiet machine"
        )
    return lines


def kernels(found: Performance) -> str:
    """Name what computes the quantized model's linear layers."""
    return ", ".join(f"{name} x {count}" for name, count in found.engines[1].kernels.items()) or "unknown"


def remarks(performances: Sequence[Performance]) -> list[str]:
    """Say what the table has no room for: what its cells are, proven changes against the baseline."""
    lines = [LEGEND]
    for found in performances:
        name = f"{found.model} {found.format} {found.workload.id}"
        lines += [
            f"{name}: {one.budget.metric} {one.why}"
            for one in found.measured
            if one.budget.baseline and one.why.startswith("proven")
        ]
    return lines


def table(performances: Sequence[Performance], *, width: int, colour: bool) -> str:
    """Lay measurements out, three lines each; on a terminal (`colour`) it keeps to `width` columns."""
    grid = Table(box=None, pad_edge=False, header_style="bold" if colour else "")
    for name in ("model", "format", "workload"):
        grid.add_column(name, overflow="fold")
    for name in (*COLUMNS, "of latency"):
        grid.add_column(name, justify="right", overflow="fold")
    grid.add_column("budgets", no_wrap=True)
    grid.add_column("blocks", justify="right", overflow="fold")
    for found in performances:
        grid.add_row(*_row(found))
    return drawn(grid, width=width, colour=colour)


def _row(found: Performance) -> tuple[str, ...]:
    tail = [f"{which} {_number(found.quantized.get(f'latency_ms.{which}'))}" for which in PERCENTILES]
    disturbed = f"\n{found.disturbed} disturbed" if found.disturbed else ""
    return (
        found.model,
        found.format,
        found.workload.id,
        *(f"{_number(found.quantized.get(name))}\n{_ratio(found.ratios.get(name))}" for name in COLUMNS.values()),
        "\n".join(tail),
        _budgets(found),
        f"{found.blocks}{disturbed}",
    )


def _budgets(found: Performance) -> str:
    """Name the worst that was found of the budgets, and how many it is."""
    states = [one.status for one in found.measured]
    worst = next((status for status in WORST if status in states), None)
    return f"[{STYLE[worst]}]{worst}[/]\n{states.count(worst)} of {len(states)}" if worst else "none"


def _found(measured: Measured) -> str:
    one = measured.budget
    if measured.value is None:
        return f"{one.metric} without a value"
    value = f"{measured.value:.3f}x" if one.of == "ratio" or one.baseline else f"{measured.value:,.4g}"
    of = f"{one.metric}{' against the base' if one.of == 'ratio' else ''}{' and the baseline' if one.baseline else ''}"
    if measured.low is None or measured.high is None:
        return f"{of} {value}"
    return f"{of} {value} (95 % limits {measured.low:.4g}..{measured.high:.4g}, {measured.blocks} blocks)"


def _claim(measured: Measured) -> str:
    higher, limit = higher_is_better(measured.budget.metric), f"{measured.budget.limit:,.6g}"
    known = "" if measured.low is None else "proven "
    if measured.status == "FAIL":
        return f"{known}{'below' if higher else 'above'} {limit}"
    within = f"{'>=' if higher else '<='} {limit}"
    return f"{known}{within}" if measured.status == "PASS" else f"not proven {within}"


def _sides(found: Performance, metric: str) -> str:
    """Print a metric of both sides, "" where it was not measured."""
    if metric in ONCE:
        base, quantized = (getattr(engine, metric) for engine in found.engines)
        return f"base {base:,.10g}, quantized {quantized:,.10g}" if base and quantized else ""
    if metric not in found.base:
        return ""
    return f"base {_number(found.base[metric])}, quantized {_number(found.quantized[metric])}"


def _number(mean: LogMean | None) -> str:
    return f"{mean.value:,.4g}" if mean else "-"


def _ratio(mean: LogMean | None) -> str:
    if not mean:
        return ""
    low, high = mean.limits(ALPHA)
    return f"{mean.value:.2f}x\n{low:.2f}..{high:.2f}" if low else f"{mean.value:.2f}x"

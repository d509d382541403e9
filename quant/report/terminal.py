"""Verdicts -> the table and the sentences that a person reads at a terminal. Pure: text out, prints nothing."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.records import Verdict

AVERAGE = "average"
PLAIN_WIDTH = 132  # of a log, which has no edge
STYLE = {"PASS": "green", "FAIL": "bold red", "INCONCLUSIVE": "yellow"}


def percent(value: float | None, digits: int = 2) -> str:
    """Print a fraction as a percentage; `-` where it is undefined."""
    return "-" if value is None else f"{100 * value:.{digits}f}"


def interval(verdict: Verdict) -> str:
    """Print the limits of recovery in percent."""
    return f"{percent(verdict.low)}..{percent(verdict.high)}"


def sentence(verdict: Verdict) -> str:
    """Say what a verdict found, what was expected and how sure it is."""
    claim = {"PASS": "proven at or above", "FAIL": "proven below", "INCONCLUSIVE": "not proven at or above"}[
        verdict.status
    ]
    name = f"{verdict.model} {verdict.format} {verdict.task or AVERAGE}"
    found = f"recovery {percent(verdict.recovery)} % (95 % limits {interval(verdict)}, n={verdict.n:,})"
    detail = f"base {percent(verdict.base)} %, quantized {percent(verdict.quantized)} %"
    flips = f"{verdict.worse:,} items worse, {verdict.better:,} better"
    why = f"; {verdict.why}" if verdict.why else ""
    return f"{name}: {found} is {claim} {percent(verdict.threshold, 1)} %; {detail}; {flips}{why}"


def table(verdicts: Sequence[Verdict], *, width: int, colour: bool) -> str:
    """Lay verdicts out as a table; on a terminal (`colour`) it keeps to `width` columns."""
    grid = Table(box=None, pad_edge=False, header_style="bold" if colour else "")
    for name in ("model", "format", "task"):
        grid.add_column(name, overflow="fold")
    for name in ("base %", "quant %", "recovery %", "95 % limits", "gate %", "n"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("served", no_wrap=True)
    grid.add_column("s", justify="right", no_wrap=True)
    for verdict in verdicts:
        grid.add_row(*_row(verdict), style="bold" if colour and not verdict.task else "")
    return drawn(grid, width=width, colour=colour)


def drawn(grid: Table, *, width: int, colour: bool) -> str:
    """Draw a table; on a terminal (`colour`) it keeps to `width` columns, in a log it may be wider."""
    target = io.StringIO()
    console = Console(
        file=target,
        width=width if colour else max(width, PLAIN_WIDTH),
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
    )
    console.print(grid)
    return "\n".join(line.rstrip() for line in target.getvalue().rstrip("\n").split("\n"))


def _row(verdict: Verdict) -> tuple[str, ...]:
    return (
        verdict.model,
        verdict.format,
        verdict.task or AVERAGE,
        percent(verdict.base),
        percent(verdict.quantized),
        percent(verdict.recovery),
        interval(verdict),
        f">={percent(verdict.threshold, 0)}",
        f"{verdict.n:,}",
        f"[{STYLE[verdict.status]}]{verdict.status}[/]",
        verdict.backend,
        f"{verdict.seconds:.1f}",
    )

"""Verdicts -> the table and the sentences that a person reads at a terminal. Pure: text out, prints nothing."""

from __future__ import annotations

import io
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from quant.claims import VETO
from quant.judge.recovery import findings
from quant.stats.noise import MEASURED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.claims import Gate, Verdict
    from quant.records import Status

AVERAGE = "average"
PLAIN_WIDTH = 132  # of a log, which has no edge
_CLAIM = {"PASS": "proven at or above", "FAIL": "proven below", "INCONCLUSIVE": "not proven at or above"}
NORMALISED = "scores are normalised, (score - chance) / (1 - chance): a guess scores 0 on average"
STYLE = {"PASS": "green", "FAIL": "bold red", "INCONCLUSIVE": "yellow"}


def _scale(gate: Gate) -> str:
    return " (normalised)" if gate.normalised else ""


def percent(value: float | None, digits: int = 2) -> str:
    """Print a fraction as a percentage; `-` where it is undefined."""
    return "-" if value is None else f"{100 * value:.{digits}f}"


def interval(verdict: Verdict) -> str:
    """Print the limits of recovery in percent."""
    return f"{percent(verdict.low)}..{percent(verdict.high)}"


def sentence(verdict: Verdict) -> str:
    """Say what a verdict found, what was expected and how sure it is."""
    name = f"{verdict.model} {verdict.format} {verdict.task or AVERAGE}"
    sure = f"{100 * (1 - verdict.level):.4g}"
    found = f"recovery {percent(verdict.recovery)} % ({sure} % limits {interval(verdict)}, n={items(verdict)})"
    detail = f"base {percent(verdict.base)} %, quantized {percent(verdict.quantized)} %{_scale(verdict.gate)}"
    flips = f"{verdict.worse:,} items worse, {verdict.better:,} better"
    status, rivalry = verdict.status, ""
    if other := verdict.comparison:
        status = _own_status(verdict)
        rivalry = f"; and {percent(other.difference)} points ({percent(other.low)}..{percent(other.high)}) against"
        rivalry += f" {other.competitor}, {_CLAIM[other.status]} {percent(-verdict.gate.margin, 1)}"
    why = f"; {verdict.why}" if verdict.why else ""
    gate = f"{_CLAIM[status]} {percent(verdict.threshold, 1)} %"
    return f"{name}: {found} is {gate}{rivalry}; {detail}; {flips}{why}"


def remarks(verdicts: Sequence[Verdict]) -> list[str]:
    """Say what the table has no room for: other averages, competitors, findings, run noise, waivers."""
    lines = [NORMALISED] if any(verdict.gate.normalised for verdict in verdicts) else []
    for verdict in verdicts:
        name = f"{verdict.model} {verdict.format} {verdict.task or AVERAGE}"
        if ways := verdict.averages:
            three = f"macro {percent(ways.macro)}, all items as one {percent(ways.item)}, mean of ratios"
            lines.append(f"{name}: recovery {three} {percent(ways.ratios)} %")
        if other := verdict.comparison:
            limits = f"{percent(other.difference)} points ({percent(other.low)}..{percent(other.high)})"
            gate = f">= {percent(-verdict.gate.margin, 1)}"
            lines.append(f"{name}: recovery against {other.competitor} {limits}, gate {gate}: {other.status}")
        if verdict.waiver:
            lines.append(f"{name}: {verdict.waiver}{'; PASS, so delete it' if verdict.status == 'PASS' else ''}")
    rows = groupby(verdicts, key=lambda verdict: f"{verdict.model} {verdict.format}")
    return lines + [line for name, row in rows for line in _of_row(name, list(row))]


def _of_row(name: str, row: Sequence[Verdict]) -> list[str]:
    found = findings([verdict for verdict in row if verdict.task])
    said = {
        f"proven more than {percent(VETO, 0)} points below the gate": found.vetoed,
        "proven below the gate, multiplicity controlled": [t for t in found.below if t not in found.vetoed],
        "suspect (false discovery rate 10 %)": [t for t in found.suspect if t not in found.below],
    }
    return [f"{name}: {', '.join(tasks)}: {what}" for what, tasks in said.items() if tasks] + _noises(name, row)


def _noises(name: str, row: Sequence[Verdict]) -> list[str]:
    """Say what repeated runs of the base differ by, over all tasks of a model x format."""
    found = [(verdict.task, verdict.noise) for verdict in row if verdict.noise]
    if not found:
        return []
    runs = min(noise.runs for _, noise in found)
    task, worst = max(found, key=lambda entry: entry[1].flip_rate)
    most = f"{runs} runs of the base flip at most {percent(worst.flip_rate)} % of items ({task})"
    spread = percent(max(noise.excess for _, noise in found) ** 0.5)
    excess = f"their excess sd is at most {spread} points" if runs >= MEASURED else "too few for their excess"
    hopeless = ", ".join(task for task, noise in found if noise.unprovable)
    label = f"; a checkpoint as different as a re-run would not PASS on {hopeless}" if hopeless else ""
    return [f"{name}: {most}; {excess}{label}"]


def items(verdict: Verdict) -> str:
    """Print how many items were scored, and of how many if it was stopped before."""
    return f"{verdict.n:,}{f' of {verdict.planned:,}' if verdict.stopped else ''}"


def table(verdicts: Sequence[Verdict], *, width: int, colour: bool) -> str:
    """Lay verdicts out as a table; on a terminal (`colour`) it keeps to `width` columns."""
    grid = Table(box=None, pad_edge=False, header_style="bold" if colour else "")
    for name in ("model", "format", "task"):
        grid.add_column(name, overflow="fold")
    for name in ("base %", "quant %", "recovery %", "limits", "gate %", "items"):
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


def _own_status(verdict: Verdict) -> Status:
    """Return what is proven of the threshold alone, where a competitor has its say in the verdict."""
    if verdict.p_pass <= verdict.level:
        return "PASS"
    return "FAIL" if verdict.p_fail <= verdict.level / 2 else "INCONCLUSIVE"


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
        items(verdict),
        f"[{STYLE[verdict.status]}]{verdict.status}[/]{' (waived)' if verdict.waiver else ''}",
        verdict.backend,
        f"{verdict.seconds:.1f}",
    )

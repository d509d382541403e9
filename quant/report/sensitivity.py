"""What the gates caught -> the table that a person reads: sabotage by gate. Pure: text out, prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.table import Table

from quant.records import Record
from quant.report.terminal import drawn

if TYPE_CHECKING:
    from collections.abc import Sequence

Gate = Literal["checkpoint", "pairing", "task", "average"]
GATES: tuple[Gate, ...] = ("checkpoint", "pairing", "task", "average")


class Catch(Record, frozen=True, kw_only=True):
    """How one sabotage (or, with `gate` empty, one control) went.

    `gate` is the one that must catch it and `caught` whether it did; `gates` holds what each gate said that was asked.
    `items` were scored before that, over all tasks, in `seconds` of serving; `dose` is None where there is none.
    """

    sabotage: str
    format: str
    gate: Gate | Literal[""]
    caught: bool
    gates: dict[Gate, bool]
    dose: float | None
    items: int
    seconds: float
    why: str


def table(catches: Sequence[Catch], *, width: int, colour: bool) -> str:
    """Lay catches out as a table; the gate that a sabotage is meant for carries a star."""
    grid = Table(box=None, pad_edge=False, header_style="bold" if colour else "")
    grid.add_column("sabotage", overflow="fold")
    grid.add_column("format", overflow="fold")
    grid.add_column("dose", justify="right", no_wrap=True)
    for gate in GATES:
        grid.add_column(gate, no_wrap=True)
    for name in ("items", "s"):
        grid.add_column(name, justify="right", no_wrap=True)
    for catch in catches:
        grid.add_row(*_row(catch))
    return drawn(grid, width=width, colour=colour)


def _row(catch: Catch) -> tuple[str, ...]:
    dose = "-" if catch.dose is None else f"{catch.dose:g}"
    return (
        catch.sabotage,
        catch.format,
        dose,
        *(_said(catch, gate) for gate in GATES),
        f"{catch.items:,}",
        f"{catch.seconds:.1f}",
    )


def _said(catch: Catch, gate: Gate) -> str:
    """Say what a gate found; of a control nothing is to be found, so silence is good."""
    if gate not in catch.gates:
        return "-"
    found, meant = catch.gates[gate], gate == catch.gate
    word = ("silent", "alarm")[found] if not catch.gate else ("missed", "caught")[found]
    good = not found if not catch.gate else found or not meant
    return f"[{'green' if found == bool(catch.gate) else 'default' if good else 'bold red'}]{word}{'*' * meant}[/]"

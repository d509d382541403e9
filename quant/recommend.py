"""Which format to deploy, from the results of runs: what `python -m quant recommend` prints and draws.

Comes in: `results.json` of one or more runs; performance and accuracy may be in different ones. Goes out: sections of
a report. Where two files tell of the same cell, the later one counts. Starts nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from quant import reading
from quant.errors import UsageError
from quant.report import cost, results

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from quant.budgets import Performance
    from quant.claims import Verdict
    from quant.report.cost import Section
    from quant.report.results import Results


class Found(NamedTuple):
    """What runs have found together."""

    performances: tuple[Performance, ...]
    verdicts: tuple[Verdict, ...]


def merge(runs: Sequence[Results]) -> Found:
    """Put runs together; of the same model, format, workload and hardware, or task, the last one counts."""
    performances = {(one.id, one.hardware): one for run in runs for one in run.performances}
    verdicts = {verdict.cell: verdict for run in runs for verdict in run.verdicts}
    return Found(tuple(performances.values()), tuple(verdicts.values()))


def sections(files: Sequence[Path], matrix: str, *, width: int, colour: bool) -> list[Section]:
    """Return what to say of each model; UsageError if a file cannot be read, or none has performance in it."""
    found = merge([_read(file) for file in files])
    if not found.performances:
        names = ", ".join(map(str, files))
        raise UsageError(f"{names}: no performance was measured in it; `pytest -m perf` does, and writes results.json")
    prices = reading.declared(matrix).prices.values()
    return cost.sections(found.performances, found.verdicts, prices, width=width, colour=colour)


def _read(file: Path) -> Results:
    try:
        return results.read(file)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise UsageError(f"{file}: no results.json of this version: {error}") from None

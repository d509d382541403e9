"""Verdicts -> `results.json`: everything the table shows, unrounded, with where it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from quant.budgets import Performance
from quant.claims import Verdict
from quant.records import SCHEMA, Environment, Record
from quant.report.sensitivity import Catch

if TYPE_CHECKING:
    from pathlib import Path


class Results(Record, frozen=True, kw_only=True):
    """One run: verdicts, the machine and versions, wall seconds, engine and quantizer starts, failures by cell.

    `performances` is what was measured of latency and throughput, and of its budgets; `catches` is what the gates did
    about sabotage, in a run of the sensitivity tests; `remarks` say which servers served, and what was left out for it.
    """

    verdicts: tuple[Verdict, ...]
    environment: Environment
    seconds: float
    starts: dict[str, int]
    errors: dict[str, str]
    logs: str
    catches: tuple[Catch, ...] = ()
    performances: tuple[Performance, ...] = ()
    remarks: tuple[str, ...] = ()
    schema: int = SCHEMA


def write(results: Results, file: Path) -> None:
    """Write `results`, so that a reader never sees half a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".tmp")
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    unfinished.replace(file)


def read(file: Path) -> Results:
    """Read what `write` wrote."""
    return msgspec.json.decode(file.read_bytes(), type=Results)

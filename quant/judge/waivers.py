"""Waivers: known failures that a team has decided to live with for a while. A file in, checked waivers out.

A waiver names a cell by its readable id (or a model x format's `...-average`), why, who answers for it, where it is
tracked, and the day after which it is void. One that is void, or that names no cell, is a `UsageError` with file and
line, found before an engine starts. Pure but for reading the file.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from quant.errors import UsageError, closest
from quant.records import Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

FILE = "waivers.toml"
HEADER = "[[waivers]]"


class Waiver(Record, frozen=True, kw_only=True):
    """One waived cell; it holds up to and including the day `expires`."""

    cell: str
    reason: str
    owner: str
    issue: str
    expires: dt.date

    def __str__(self) -> str:
        """Say it in one line."""
        return f"waived until {self.expires}: {self.reason} ({self.owner}, {self.issue})"


def beside(files: Iterable[str], cells: Collection[str], today: dt.date) -> dict[str, Waiver]:
    """Return the waivers that lie beside matrix files, by cell."""
    found: dict[str, Waiver] = {}
    for folder in dict.fromkeys(Path(file).parent for file in files):
        for cell, waiver in read(folder / FILE, cells, today).items():
            if cell in found:
                raise UsageError(f"{folder / FILE}: {cell} is waived in another file too; keep one of the two")
            found[cell] = waiver
    return found


def read(path: Path, cells: Collection[str], today: dt.date) -> dict[str, Waiver]:
    """Return the waivers by cell; none if there is no such file. `cells` are the ids that a waiver may name."""
    if not path.is_file():
        return {}
    try:
        text = path.read_text()
        data = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    entries = data.pop("waivers", [])
    if data or not isinstance(entries, list):
        raise UsageError(f"{path}: a waivers file holds {HEADER} tables only; found {', '.join(data) or 'one table'}")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.split("#")[0].strip() == HEADER]
    found: dict[str, Waiver] = {}
    for number, entry in enumerate(entries):
        where = f"{path}:{lines[number]}" if number < len(lines) else str(path)
        waiver = _checked(entry, where, cells, today)
        if waiver.cell in found:
            raise UsageError(f"{where}: {waiver.cell} is waived twice; keep one of the two")
        found[waiver.cell] = waiver
    return found


def _checked(entry: object, where: str, cells: Collection[str], today: dt.date) -> Waiver:
    try:
        waiver = msgspec.convert(entry, Waiver)
    except msgspec.ValidationError as error:
        needs = ", ".join(Waiver.__struct_fields__)
        raise UsageError(f"{where}: {error}; a waiver has {needs}, `expires` a date such as 2030-01-31") from error
    for name in ("reason", "owner", "issue"):
        if not getattr(waiver, name).strip():
            raise UsageError(f"{where}: {name} is empty; a waiver says why, who answers for it and where it is tracked")
    if waiver.cell not in cells:
        guess = closest(waiver.cell, cells)
        raise UsageError(
            f"{where}: no cell of any suite is called {waiver.cell!r}{guess}; correct or delete the waiver"
        )
    if waiver.expires < today:
        raise UsageError(f"{where}: the waiver of {waiver.cell} expired on {waiver.expires}; renew or delete it")
    return waiver

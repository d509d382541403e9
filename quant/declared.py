"""One matrix file as records: TOML in, the entries of its tables out, each with the place where it stands.

Every mistake is a `MatrixError` that names file, line, key and the closest valid key. Paths are relative to the file
that names them. What an entry says of others is checked by `quant.reading`. Imports no torch.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from quant import recipe
from quant.budgets import Budget
from quant.claims import Profile
from quant.cost import Price
from quant.errors import MatrixError, closest
from quant.inputs import hub
from quant.matrix import StageRule
from quant.records import Calibration, Family, Format, Model, Record, Suite, Task
from quant.workloads import Workload

if TYPE_CHECKING:
    from pathlib import Path

R = TypeVar("R", bound=Record)

KINDS: dict[str, type[Record]] = {
    "models": Model,
    "formats": Format,
    "tasks": Task,
    "suites": Suite,
    "profiles": Profile,
    "stages": StageRule,
    "workloads": Workload,
    "budgets": Budget,
    "prices": Price,
}


class Entry(NamedTuple):
    """What a file says about a name."""

    value: Any
    source: Source


class Source:
    """One matrix file: turns its tables into records, and knows its text, so that an error can name the line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text()
            self.data = tomllib.loads(text)
        except OSError:
            raise MatrixError(f"{path}: no such matrix file") from None
        except ValueError as error:
            raise MatrixError(f"{path}: not valid TOML: {error}") from error
        self.lines = text.splitlines()
        self._known(self.data, {*KINDS, "gates", "include"}, ())
        self.includes: list[str] = self._convert(self.data.pop("include", []), list[str], ("include",))

    def section(self, name: str) -> dict[str, Any]:
        """Return a section's records by name."""
        if name == "gates":
            return dict(self._convert(self.data.get(name, {}), dict[Family, float], (name,)))
        table = self.data.get(name, {})
        if not isinstance(table, dict):
            raise self.error((name,), f"[{name}] must be a table of tables")
        return {key: self._entry(value, (name, key), KINDS[name]) for key, value in table.items()}

    def error(self, where: tuple[str, ...], message: str) -> MatrixError:
        """Return an error that names this file, the line and the table."""
        line = self._line(where)
        return MatrixError(f"{self.path}{f':{line}' if line else ''}: [{'.'.join(where[:2])}] {message}")

    def _entry(self, value: Any, where: tuple[str, ...], kind: type[R]) -> R:
        if not isinstance(value, dict):
            raise self.error(where, f"[{'.'.join(where)}] must be a table")
        self._known(value, {*kind.__struct_fields__} - {"id"}, where)
        named = {"id": where[-1]} if "id" in kind.__struct_fields__ else {}
        told = self._recipe(value, where) if kind is Format and "recipe" in value else {}
        told |= {key: said for key, said in value.items() if key != "recipe"}
        entry: R = self._convert(named | told, kind, where)
        return self._placed(entry)

    def _recipe(self, value: dict[str, Any], where: tuple[str, ...]) -> dict[str, Any]:
        """Return the modifiers of a format's table, or of the file that it names, and what follows from them."""
        said, place = value["recipe"], f"{self.path}: [{'.'.join(where)}]"
        if isinstance(said, str):
            found = recipe.read((self.path.parent / said).resolve())
        elif isinstance(said, dict):
            found = recipe.with_ignored(recipe.checked(tuple(said.items()), place))
        else:
            raise self.error(where, f"a recipe is a table or names a YAML file, found {said!r}")
        if {"family", "needs"} <= {*value}:
            return {"recipe": found}
        family, needs = recipe.family_and_needs(found, place)
        return {"recipe": found, "family": family, "needs": needs}

    def _placed(self, entry: R) -> R:
        """Make the paths of an entry absolute."""
        changes: dict[str, Any] = {}
        for field in ("source", "folder", "texts", "checkpoint"):
            said = getattr(entry, field, "")
            if said and not hub.elsewhere(said):
                changes[field] = str((self.path.parent / said).resolve())
        if isinstance(inner := getattr(entry, "calibration", None), Calibration):
            changes["calibration"] = self._placed(inner)
        return msgspec.structs.replace(entry, **changes)

    def _known(self, table: dict[str, Any], valid: set[str], where: tuple[str, ...]) -> None:
        for key in table:
            if key not in valid:
                msg = f"unknown key {key!r}{closest(key, valid)}; valid keys: {', '.join(sorted(valid))}"
                raise self.error((*where, key), msg)

    def _convert(self, value: Any, kind: Any, where: tuple[str, ...]) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise self.error(where, str(error)) from error

    def _line(self, where: tuple[str, ...]) -> int:
        """Line of a table's header, or of its last part as a key below the header; 0 if neither is found."""
        header, found = "", 0
        for number, line in enumerate(self.lines, 1):
            bare = line.split("#")[0].strip()
            if bare.startswith("["):
                header = bare.strip("[]").replace('"', "")
                found = number if header == ".".join(where) else found
            elif header == ".".join(where[:-1]) and bare.split("=")[0].strip() == where[-1]:
                return number
        inside = len(where) > 2  # noqa: PLR2004 - section and name; an entry may be an inline table, all on one line
        return found or (self._line(where[:-1]) if inside else 0)

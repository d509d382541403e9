"""Reading matrix files: TOML in, a validated `Matrix` out.

Every mistake is a `MatrixError` that names file, line, key and the closest valid key. A file may `include` others, and
of several files a later one adds to the earlier ones: what it declares anew replaces what they said. Paths are relative
to the file that names them. Imports no torch.
"""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from quant import recipe
from quant.budgets import Budget
from quant.claims import VETO, Profile
from quant.cost import Price
from quant.environment import DEFAULT_MATRIX
from quant.errors import MatrixError, closest
from quant.hardware import KNOWN
from quant.inputs import hub
from quant.matrix import BASE, PROFILES, Matrix, StageRule
from quant.records import Calibration, Family, Format, Model, Record, Suite, Task
from quant.workloads import Workload

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
BUILT_IN: dict[str, dict[str, Any]] = {"formats": {BASE.id: BASE}, "profiles": dict(PROFILES)}


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
        return found


def declared(added: str) -> Matrix:
    """Return the reference matrix with what the file `added` adds to it ("" for nothing)."""
    return load(DEFAULT_MATRIX, *([Path(added).resolve()] if added else []))


def load(*files: Path) -> Matrix:
    """Read and validate matrix files; a later one adds to the earlier ones."""
    declared: dict[str, dict[str, Entry]] = {name: {} for name in (*KINDS, "gates")}
    replaced: list[str] = []
    sources: list[Source] = []
    for file in dict.fromkeys(files):
        group = with_includes(file)
        for name, entries in declared.items():
            added = [(key, Entry(value, source)) for source in group for key, value in source.section(name).items()]
            replaced += [f"{name}.{key}" for key, _ in added if key in entries and name in KINDS]
            _refuse_twins(added, name)
            entries.update(added)
        sources += group
    values: dict[str, Any] = {
        name: BUILT_IN.get(name, {}) | {key: entry.value for key, entry in entries.items()}
        for name, entries in declared.items()
    }
    matrix = Matrix(files=tuple(str(source.path) for source in sources), replaced=tuple(replaced), **values)
    _check(matrix, declared)
    return matrix


def with_includes(file: Path, above: tuple[Path, ...] = ()) -> list[Source]:
    """Return what a file includes, then the file itself."""
    if file in above:
        raise MatrixError(f"{file}: includes itself, by way of {', '.join(map(str, above))}; remove one `include`")
    source = Source(file)
    parts = [with_includes((file.parent / name).resolve(), (*above, file)) for name in source.includes]
    return [*itertools.chain.from_iterable(parts), source]


def _refuse_twins(added: list[tuple[str, Entry]], section: str) -> None:
    """Refuse one name for two things in a file and what it includes."""
    seen: dict[str, Source] = {}
    for name, (_, source) in added:
        if name in seen:
            raise source.error((section, name), f"{name!r} stands in {seen[name].path} too; rename one of the two")
        seen[name] = source


def _check(matrix: Matrix, declared: dict[str, dict[str, Entry]]) -> None:
    """Refuse what names nothing that is declared, and numbers out of range."""
    for suite, source in declared["suites"].values():
        for section, names in (
            ("models", suite.models),
            ("formats", suite.formats),
            ("tasks", suite.tasks),
            ("workloads", suite.workloads),
        ):
            for name in names:
                if not matrix.knows(section, name):
                    guess = closest(name, getattr(matrix, section))
                    raise source.error(("suites", suite.id, section), f"no {section[:-1]} is called {name!r}{guess}")
    for fmt, source in declared["formats"].values():
        _check_format(fmt, matrix, source)
    for family, (threshold, source) in declared["gates"].items():
        if not VETO < threshold <= 1:
            raise source.error(("gates", family), f"a recovery threshold lies in ({VETO}, 1], found {threshold}")
    for profile, source in declared["profiles"].values():
        _check_profile(profile, source)


def _check_format(fmt: Format, matrix: Matrix, source: Source) -> None:
    where = ("formats", fmt.id)
    if fmt.family != "bf16" and fmt.family not in matrix.gates:
        raise source.error((*where, "family"), f"[gates] has no threshold for the family {fmt.family!r}")
    for need in fmt.needs:
        if need not in KNOWN:
            guess = f"{closest(need, KNOWN)}; there are {', '.join(sorted(KNOWN))}"
            raise source.error((*where, "needs"), f"no capability is called {need!r}{guess}")
    if fmt.competitor and not matrix.knows("formats", fmt.competitor):
        guess = closest(fmt.competitor, matrix.formats)
        raise source.error((*where, "competitor"), f"no format is called {fmt.competitor!r}{guess}")
    if not 0 < fmt.margin < 1:
        raise source.error((*where, "margin"), f"a margin lies in (0, 1), .02 for 2 points; found {fmt.margin}")


def _check_profile(profile: Profile, source: Source) -> None:
    shares, where = profile.looks, ("profiles", profile.id)
    rising = all(low < high for low, high in itertools.pairwise((0.0, *shares)))
    if not (shares and rising and shares[-1] == 1):
        raise source.error((*where, "looks"), f"looks rise from above 0 to 1.0; found {list(shares)}")
    if not 0 < profile.alpha < 0.5:  # noqa: PLR2004 - at one half a coin decides
        raise source.error((*where, "alpha"), f"alpha lies in (0, 0.5), found {profile.alpha}")
    if profile.items < 0:
        raise source.error((*where, "items"), f"items is 0 (all) or more, found {profile.items}")

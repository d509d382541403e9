"""The matrix: TOML in, validated models, formats, tasks, suites and gates out.

Every mistake is a `MatrixError` that names file, line, key and the closest valid key. Imports no torch.
"""

from __future__ import annotations

import difflib
import itertools
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from quant.claims import VETO, Gate, Profile
from quant.errors import MatrixError
from quant.hardware import KNOWN
from quant.records import Family, Format, Model, Record, Suite, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

R = TypeVar("R", bound=Record)

BASE = Format(id="bf16", family="bf16", purpose="the unquantized model that every format is compared against")

PROFILES = {
    "pr": Profile(
        id="pr",
        purpose="each pull request: few items, only what is proven worse fails",
        items=200,
        inconclusive="report",
        findings="fail",
    ),
    "nightly": Profile(
        id="nightly", purpose="every night: the suite's items, what is not proven warns", inconclusive="warn"
    ),
    "release": Profile(id="release", purpose="before a release: what is not proven fails"),
}


class StageRule(Record, frozen=True, kw_only=True):
    """How a stage runs: `python` is its interpreter ("" for this one), `timeout_seconds` bounds one request."""

    python: str = ""
    timeout_seconds: float = 7200.0


class Cell(Record, frozen=True, kw_only=True):
    """One claim: this model in this format on this task."""

    model: Model
    format: Format
    task: Task

    @property
    def id(self) -> str:
        """Readable id, e.g. `ref-4m-fp8-dynamic-arithmetic`: what `-k` selects by."""
        return f"{self.model.id}-{self.format.id}-{self.task.id}"


class Matrix(Record, frozen=True, kw_only=True):
    """All declared models, formats, tasks and suites; `folder` is what relative paths start from."""

    path: str
    models: dict[str, Model]
    formats: dict[str, Format]
    tasks: dict[str, Task]
    suites: dict[str, Suite]
    gates: dict[Family, float]
    profiles: dict[str, Profile]
    stages: dict[str, StageRule]

    @property
    def folder(self) -> Path:
        """Folder of the matrix file."""
        return Path(self.path).parent

    def cells(
        self, suite: str, models: Iterable[str] = (), formats: Iterable[str] = (), *, items: int = 0
    ) -> Iterator[Cell]:
        """Yield the cells of a suite, or of other models and formats with the suite's tasks, bounded by `items`."""
        chosen = self.pick("suites", suite)
        rows = [self.pick("models", name) for name in (tuple(models) or chosen.models)]
        columns = [self.pick("formats", name) for name in (tuple(formats) or chosen.formats)]
        for model, fmt, task in itertools.product(rows, columns, self.suite_tasks(suite, items)):
            if fmt.family != "bf16":
                yield Cell(model=model, format=fmt, task=task)

    def suite_tasks(self, suite: str, items: int = 0) -> list[Task]:
        """Return a suite's tasks, bounded by its own `items` and by these (0: no bound)."""
        chosen = self.pick("suites", suite)
        tasks = [self.tasks[name] for name in chosen.tasks]
        own = [chosen.items or task.items for task in tasks]
        bounds = [min(filter(None, (bound, items)), default=0) for bound in own]
        return [msgspec.structs.replace(task, items=bound) for task, bound in zip(tasks, bounds, strict=True)]

    def profile(self, name: str, *, full: bool) -> Profile:
        """Return a profile; `full` has it score all items before it judges."""
        profile: Profile = self.pick("profiles", name)
        return msgspec.structs.replace(profile, looks=(1.0,)) if full else profile

    def gate(self, suite: str, fmt: Format, profile: Profile) -> Gate:
        """Return what a format's recovery is held against in a suite."""
        chosen: Suite = self.pick("suites", suite)
        return Gate(
            threshold=self.gates[fmt.family],
            alpha=profile.alpha,
            shares=profile.looks,
            family=len(chosen.tasks),
            definition=chosen.definition,
            competitor=fmt.competitor,
            margin=fmt.margin,
        )

    def pick(self, section: str, name: str) -> Any:
        """Return an entry by name, or say which names there are."""
        entries: dict[str, Any] = getattr(self, section)
        if name not in entries:
            raise MatrixError(
                f"{self.path}: no {section[:-1]} {name!r}{_closest(name, entries)}; there are {', '.join(entries)}"
            )
        return entries[name]


def load(path: Path) -> Matrix:
    """Read and validate a matrix file."""
    try:
        text = path.read_text()
        data = tomllib.loads(text)
    except FileNotFoundError:
        raise MatrixError(f"{path}: no such matrix file") from None
    except tomllib.TOMLDecodeError as error:
        raise MatrixError(f"{path}: not valid TOML: {error}") from error
    reader = _Reader(path, text)
    reader.known(data, {"models", "formats", "tasks", "suites", "gates", "profiles", "stages"}, ())
    matrix = Matrix(
        path=str(path),
        models=reader.section(data, "models", Model),
        formats={"bf16": BASE} | reader.section(data, "formats", Format),
        tasks=reader.section(data, "tasks", Task),
        suites=reader.section(data, "suites", Suite),
        gates=reader.convert(data.get("gates", {}), dict[Family, float], ("gates",)),
        profiles=PROFILES | reader.section(data, "profiles", Profile),
        stages=reader.section(data, "stages", StageRule, named=False),
    )
    _check_references(matrix, reader)
    return matrix


def _check_references(matrix: Matrix, reader: _Reader) -> None:
    for suite in matrix.suites.values():
        for section, names in (("models", suite.models), ("formats", suite.formats), ("tasks", suite.tasks)):
            for name in names:
                entries = getattr(matrix, section)
                if name not in entries:
                    where = ("suites", suite.id, section)
                    raise reader.error(where, f"no {section[:-1]} is called {name!r}{_closest(name, entries)}")
    for fmt in matrix.formats.values():
        _check_format(fmt, matrix, reader)
    for family, threshold in matrix.gates.items():
        if not VETO < threshold <= 1:
            raise reader.error(("gates", family), f"a recovery threshold lies in ({VETO}, 1], found {threshold}")
    for profile in matrix.profiles.values():
        _check_profile(profile, reader)


def _check_format(fmt: Format, matrix: Matrix, reader: _Reader) -> None:
    if fmt.family != "bf16" and fmt.family not in matrix.gates:
        raise reader.error(("formats", fmt.id, "family"), f"[gates] has no threshold for the family {fmt.family!r}")
    for need in fmt.needs:
        if need not in KNOWN:
            guess = f"{_closest(need, KNOWN)}; there are {', '.join(sorted(KNOWN))}"
            raise reader.error(("formats", fmt.id, "needs"), f"no capability is called {need!r}{guess}")
    if fmt.competitor and fmt.competitor not in matrix.formats:
        where = ("formats", fmt.id, "competitor")
        raise reader.error(where, f"no format is called {fmt.competitor!r}{_closest(fmt.competitor, matrix.formats)}")
    if not 0 < fmt.margin < 1:
        raise reader.error(
            ("formats", fmt.id, "margin"), f"a margin lies in (0, 1), .02 for 2 points; found {fmt.margin}"
        )


def _check_profile(profile: Profile, reader: _Reader) -> None:
    shares = profile.looks
    rising = all(low < high for low, high in itertools.pairwise((0.0, *shares)))
    if not (shares and rising and shares[-1] == 1):
        raise reader.error(("profiles", profile.id, "looks"), f"looks rise from above 0 to 1.0; found {list(shares)}")
    if not 0 < profile.alpha < 0.5:  # noqa: PLR2004 - at one half a coin decides
        raise reader.error(("profiles", profile.id, "alpha"), f"alpha lies in (0, 0.5), found {profile.alpha}")
    if profile.items < 0:
        raise reader.error(("profiles", profile.id, "items"), f"items is 0 (all) or more, found {profile.items}")


class _Reader:
    """Turns tables into records; knows the file's text, so that an error can name the line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.lines = path, text.splitlines()

    def section(self, data: dict[str, Any], name: str, kind: type[R], *, named: bool = True) -> dict[str, R]:
        table = data.get(name, {})
        if not isinstance(table, dict):
            raise self.error((name,), f"[{name}] must be a table of tables")
        return {key: self._entry(value, (name, key), kind, named=named) for key, value in table.items()}

    def _entry(self, value: Any, where: tuple[str, ...], kind: type[R], *, named: bool) -> R:
        if not isinstance(value, dict):
            raise self.error(where, f"[{'.'.join(where)}] must be a table")
        self.known(value, set(kind.__struct_fields__) - {"id"}, where)
        entry: R = self.convert({"id": where[-1], **value} if named else value, kind, where)
        return entry

    def known(self, table: dict[str, Any], valid: set[str], where: tuple[str, ...]) -> None:
        for key in table:
            if key not in valid:
                msg = f"unknown key {key!r}{_closest(key, valid)}; valid keys: {', '.join(sorted(valid))}"
                raise self.error((*where, key), msg)

    def convert(self, value: Any, kind: Any, where: tuple[str, ...]) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise self.error(where, str(error)) from error

    def error(self, where: tuple[str, ...], message: str) -> MatrixError:
        line = self._line(where)
        return MatrixError(f"{self.path}{f':{line}' if line else ''}: [{'.'.join(where[:2])}] {message}")

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


def _closest(name: str, valid: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(valid), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""

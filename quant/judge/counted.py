"""Judge counts from elsewhere: a CSV of counted items in, verdicts of tasks and of their averages out, as JSON lines.

Columns: `cell,task,n,base_correct,worse,better,threshold`, and `chance` if a task can be guessed. `cell` is what is
averaged, such as a model x format; `worse` counts items that the base got right and the quantized model wrong, `better`
the other way round; `threshold` is a recovery, .97 and not 97. The whole file is checked before anything is computed:
every mistake is a `UsageError` that names file and line. Pure but for reading the file.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from quant.errors import UsageError
from quant.stats.counts import Counts
from quant.stats.decision import RATIOS, check_alpha
from quant.stats.paired import PairedResult, counts_recoveries
from quant.stats.pooling import Definition, PooledResult, TaskCounts, pools

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from quant.stats.strata import Estimate

Line = dict[str, Any]

NUMBERS = ("n", "base_correct", "worse", "better")
REQUIRED = ("cell", "task", *NUMBERS, "threshold")
COLUMNS = (*REQUIRED, "chance")
MAX_ITEMS = 10**9  # beyond, floating point loses the digits of an exact p-value
MAX_THRESHOLD = 2.0  # a higher one is a percentage


class Row(NamedTuple):
    """One line of the file."""

    line: int
    cell: str
    task: str
    counts: Counts
    threshold: float
    chance: float


def read(path: Path) -> list[Row]:
    """Read and check a file of counts."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file of counts") from None
    except UnicodeDecodeError as error:
        where = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{where}: not UTF-8 ({error.reason}); save the file as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> list[Row]:
    """Check a CSV's text; `name` stands for the file in messages."""
    lines = _lines(text, name)
    number, header = next(lines, (1, []))
    columns = _columns(header, f"{name}:{number}")
    rows = [_row(fields, columns, line, f"{name}:{line}") for line, fields in lines]
    if not rows:
        raise UsageError(f"{name}:{number}: no rows; a line a task must follow the header {','.join(REQUIRED)}")
    seen: dict[tuple[str, str], int] = {}
    cells: dict[str, Row] = {}
    for row in rows:
        where = f"{name}:{row.line}: {row.cell} {row.task}"
        if (first := seen.setdefault((row.cell, row.task), row.line)) != row.line:
            raise UsageError(f"{where} is already in line {first}; keep one of the two")
        if (other := cells.setdefault(row.cell, row)).threshold != row.threshold:
            found = f"threshold {row.threshold!r}, but line {other.line} gives the same cell {other.threshold!r}"
            raise UsageError(f"{where}: {found}; an average has one threshold, so make them agree")
    return rows


def judge(rows: Sequence[Row], *, alpha: float = 0.05, definition: Definition = "macro") -> list[Line]:
    """Return a line a row in the order of the file, then a line a cell in order of first appearance.

    Numbers are not rounded; None stands for an undefined or infinite one.
    """
    try:
        check_alpha(alpha)
    except ValueError as error:
        raise UsageError(f"--alpha: {error}") from None
    thresholds, chances = [row.threshold for row in rows], [row.chance for row in rows]
    results = counts_recoveries([row.counts for row in rows], thresholds, alpha=alpha, chances=chances)
    cells: dict[str, list[TaskCounts]] = {}
    gates: dict[str, float] = {}
    for row in rows:
        cells.setdefault(row.cell, []).append(TaskCounts(row.task, row.counts))
        gates[row.cell] = row.threshold
    averages = pools(list(cells.values()), list(gates.values()), alpha=alpha, definition=definition)
    lines = [_task(row, result) for row, result in zip(rows, results, strict=True)]
    return lines + [_average(cell, result) for cell, result in zip(cells, averages, strict=True)]


def exit_code(lines: Sequence[Line]) -> int:
    """Return 0 if every average is PASS, 1 if one is FAIL, else 3: not proven."""
    verdicts = {line["verdict"] for line in lines if line["kind"] == "average"}
    if "FAIL" in verdicts:
        return 1
    return 0 if verdicts == {"PASS"} else 3


def _task(row: Row, result: PairedResult) -> Line:
    line: Line = {"kind": "task", "cell": row.cell, "task": row.task, "n": result.n}
    return line | _verdict(result) | ({"why": result.why} if result.why else {})


def _average(cell: str, result: PooledResult) -> Line:
    line: Line = {"kind": "average", "cell": cell, "definition": result.definition} | _verdict(result)
    line |= {"n": result.n, "macro": _point(result.macro), "item": _point(result.item_pooled)}
    line |= {"average_of_ratios": _point(result.average_of_ratios)}
    reasons = {"why": result.why, "disagreement": result.disagreement, "not_counted": list(result.not_counted)}
    return line | {name: reason for name, reason in reasons.items() if reason}


def _verdict(result: PairedResult | PooledResult) -> Line:
    return {
        "recovery": result.recovery,
        "low": _finite(result.low),
        "high": _finite(result.high),
        "verdict": result.verdict,
        "p_fail": result.p_fail,
        "p_pass": result.p_pass,
    }


def _point(estimate: Estimate) -> float | None:
    return None if estimate.recovery is None else _finite(estimate.recovery)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _lines(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each line that is not empty, with the number of the line they end in."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, [field.strip() for field in fields]
    except csv.Error as error:
        raise UsageError(f"{name}:{reader.line_num}: not valid CSV: {error}") from None


def _columns(header: list[str], where: str) -> list[str]:
    """Return the header if it names every column that is needed, once, and no other."""
    for column in header:
        if column not in COLUMNS:
            close = difflib.get_close_matches(column, COLUMNS, n=1)
            guess = f" (did you mean {close[0]!r}?)" if close else ""
            raise UsageError(f"{where}: unknown column {column!r}{guess}; the columns are {', '.join(COLUMNS)}")
        if header.count(column) > 1:
            raise UsageError(f"{where}: column {column!r} appears twice; remove one")
    if missing := [column for column in REQUIRED if column not in header]:
        raise UsageError(f"{where}: no column {', '.join(map(repr, missing))}; the first line must name all columns")
    return header


def _row(fields: list[str], columns: list[str], line: int, where: str) -> Row:
    """Check one line."""
    if len(fields) != len(columns):
        raise UsageError(f"{where}: expected {len(columns)} fields ({','.join(columns)}), found {len(fields)}")
    given = dict(zip(columns, fields, strict=True))
    for column, value in given.items():
        if not value:
            raise UsageError(f"{where}: {column} is empty; fill it in, 0 if nothing was counted")
    where = f"{where}: {given['cell']} {given['task']}"
    try:
        counts = Counts(*(_whole(given[column], column, where) for column in NUMBERS))
    except ValueError as error:
        raise UsageError(f"{where}: {error}; count both models on the same items again") from None
    threshold = _number(given["threshold"], "threshold", where)
    if not RATIOS[0] <= threshold <= MAX_THRESHOLD:  # also true for NaN
        span = f"a recovery between {RATIOS[0]} and {MAX_THRESHOLD:g}, such as 0.97 for 97 %"
        raise UsageError(f"{where}: threshold must be {span}; found {given['threshold']!r}")
    chance = _number(given.get("chance", "0"), "chance", where)
    if not 0 <= chance < 1:
        raise UsageError(f"{where}: chance must be 1/options, 0 for generated answers; found {given['chance']!r}")
    return Row(line, given["cell"], given["task"], counts, threshold, chance)


def _whole(text: str, column: str, where: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{where}: {column} must be a whole number >= 0, written in digits only; found {text!r}")
    if len(text) > len(str(MAX_ITEMS)) or int(text) > MAX_ITEMS:
        raise UsageError(f"{where}: {column} must be at most {MAX_ITEMS:,}; found {text[:30]!r}")
    return int(text)


def _number(text: str, column: str, where: str) -> float:
    try:
        return float(text.replace("_", "not a digit"))
    except ValueError:
        raise UsageError(f"{where}: {column} must be a number; found {text!r}") from None

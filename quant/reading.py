"""Reading matrix files: TOML in, a validated `Matrix` out.

Every mistake is a `MatrixError` that names file, line, key and the closest valid key. A file may `include` others, and
of several files a later one adds to the earlier ones: what it declares anew replaces what they said. Paths are relative
to the file that names them. Imports no torch.
"""

from __future__ import annotations

import itertools
import math
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.claims import VETO, Profile
from quant.declared import KINDS, Entry, Source
from quant.environment import DEFAULT_MATRIX
from quant.errors import MatrixError, closest
from quant.hardware import KNOWN
from quant.matrix import BASE, PROFILES, Matrix
from quant.workloads import METRICS, ONCE, Workload

if TYPE_CHECKING:
    from quant.budgets import Budget
    from quant.records import Format, Suite

BUILT_IN: dict[str, dict[str, Any]] = {"formats": {BASE.id: BASE}, "profiles": dict(PROFILES)}


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
        _check_suite(suite, matrix, source)
    for fmt, source in declared["formats"].values():
        _check_format(fmt, matrix, source)
    for family, (threshold, source) in declared["gates"].items():
        if not VETO < threshold <= 1:
            raise source.error(("gates", family), f"a recovery threshold lies in ({VETO}, 1], found {threshold}")
    for profile, source in declared["profiles"].values():
        _check_profile(profile, source)
    for workload, source in declared["workloads"].values():
        _check_workload(workload, source)
    for budget, source in declared["budgets"].values():
        _check_budget(budget, matrix, source)


def _check_suite(suite: Suite, matrix: Matrix, source: Source) -> None:
    for section in ("models", "formats", "tasks", "workloads"):
        for name in getattr(suite, section):
            if not matrix.knows(section, name):
                guess = closest(name, getattr(matrix, section))
                raise source.error(("suites", suite.id, section), f"no {section[:-1]} is called {name!r}{guess}")


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


def _check_workload(workload: Workload, source: Source) -> None:
    where = ("workloads", workload.id)
    for field in ("input_tokens", "output_tokens", "requests"):
        if (found := getattr(workload, field)) < 1:
            raise source.error((*where, field), f"{field} is 1 or more, found {found}")
    if not 0 <= workload.rate < math.inf:
        raise source.error((*where, "rate"), f"a rate is 0 (all at once) or more a second, found {workload.rate}")
    if workload.rate and workload.mode == "synchronous":
        raise source.error((*where, "rate"), "synchronous requests follow each other and have no rate; leave it out")
    if not 0 < workload.width < 1:
        raise source.error((*where, "width"), f"a width lies in (0, 1), .05 for 5 %; found {workload.width}")
    if not 0 < workload.seconds < math.inf:
        raise source.error((*where, "seconds"), f"seconds are above 0, found {workload.seconds}")
    for field in workload.slo.__struct_fields__:
        if (most := getattr(workload.slo, field)) is not None and most <= 0:
            raise source.error((*where, "slo"), f"{field} of a service-level objective is above 0, found {most}")


def _check_budget(budget: Budget, matrix: Matrix, source: Source) -> None:
    where = ("budgets", budget.id)
    if budget.metric not in METRICS:
        guess = f"{closest(budget.metric, METRICS)}; there are {', '.join(METRICS)}"
        raise source.error((*where, "metric"), f"no metric is called {budget.metric!r}{guess}")
    if not 0 < budget.limit < math.inf:
        raise source.error((*where, "limit"), f"a limit is above 0, found {budget.limit}")
    if budget.baseline and (budget.metric in ONCE or budget.metric.endswith(".p99")):
        raise source.error(
            (*where, "baseline"),
            f"a baseline holds means over blocks, and {budget.metric} has none; limit its ratio or value instead",
        )
    for field in ("model", "format", "workload"):
        pattern, names = getattr(budget, field), getattr(matrix, f"{field}s")
        if not matrix.knows(f"{field}s", pattern) and not any(fnmatchcase(name, pattern) for name in names):
            raise source.error((*where, field), f"{pattern!r} matches no {field}{closest(pattern, names)}")

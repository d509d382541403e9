"""The matrix: declared models, formats, tasks and suites, and the cells and gates that follow from them.

Comes in: what `quant.reading` read. Goes out: cells, gates, profiles. Imports no torch.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec

from quant import recipe
from quant.budgets import Budget
from quant.claims import Gate, Profile
from quant.cost import Price
from quant.errors import MatrixError, closest
from quant.records import Family, Format, Model, Record, Suite, Task
from quant.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
    "release": Profile(
        id="release", purpose="before a release: what is not proven fails, models are named by commits", pinned=True
    ),
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


class Serving(Record, frozen=True, kw_only=True):
    """What is measured as one: this model in this format and its base, in turn, at this workload."""

    model: Model
    format: Format
    workload: Workload

    @property
    def id(self) -> str:
        """Readable id, e.g. `ref-4m-int8-w8a8-short-sync`: what `-k` selects by."""
        return f"{self.model.id}-{self.format.id}-{self.workload.id}"


class Matrix(Record, frozen=True, kw_only=True):
    """All that is declared: models, formats, tasks, suites, workloads and what they are held against.

    `files` are those it was read from; `replaced` names the entries of one that a later one declared anew.
    """

    files: tuple[str, ...]
    models: dict[str, Model]
    formats: dict[str, Format]
    tasks: dict[str, Task]
    suites: dict[str, Suite]
    gates: dict[Family, float]
    profiles: dict[str, Profile]
    stages: dict[str, StageRule]
    workloads: dict[str, Workload]
    budgets: dict[str, Budget]
    prices: dict[str, Price]
    replaced: tuple[str, ...] = ()

    @property
    def remarks(self) -> list[str]:
        """Say what does not mean what the reference matrix says."""
        return [f"replaces what the reference matrix says: {', '.join(self.replaced)}"] if self.replaced else []

    def cells(
        self, suite: str, models: Iterable[str] = (), formats: Iterable[str] = (), *, items: int = 0
    ) -> Iterator[Cell]:
        """Yield the cells of a suite, or of other models and formats with the suite's tasks, bounded by `items`."""
        rows, columns = self._selected(suite, models, formats)
        for model, fmt, task in itertools.product(rows, columns, self.suite_tasks(suite, items)):
            yield Cell(model=model, format=fmt, task=task)

    def servings(self, suite: str, models: Iterable[str] = (), formats: Iterable[str] = ()) -> Iterator[Serving]:
        """Yield what a suite measures, or other models and formats at the suite's workloads.

        In the order that starts engines least often: of a model all of one mode, of those one format after the other.
        """
        rows, columns = self._selected(suite, models, formats)
        workloads = [self.pick("workloads", name) for name in self.pick("suites", suite).workloads]
        modes = dict.fromkeys(workload.mode for workload in workloads)
        for model, mode, fmt, workload in itertools.product(rows, modes, columns, workloads):
            if workload.mode == mode:
                yield Serving(model=model, format=fmt, workload=workload)

    def _selected(self, suite: str, models: Iterable[str], formats: Iterable[str]) -> tuple[list[Model], list[Format]]:
        """Return the models and the formats, but for the base, that are named, or those of a suite."""
        chosen = self.pick("suites", suite)
        rows = [self.pick("models", name) for name in (tuple(models) or chosen.models)]
        columns = [self.pick("formats", name) for name in (tuple(formats) or chosen.formats)]
        return rows, [fmt for fmt in columns if fmt.family != "bf16"]

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
            normalised=chosen.normalised,
        )

    def knows(self, section: str, name: str) -> bool:
        """Say whether there is an entry of this name."""
        try:
            self.pick(section, name)
        except MatrixError:
            return False
        return True

    def pick(self, section: str, name: str) -> Any:
        """Return an entry by name, or say which names there are.

        A format may also be another with a KV cache in FP8, written `int8-w8a8+fp8-kv`, or a recipe file in YAML.
        """
        entries: dict[str, Any] = getattr(self, section)
        if section == "formats" and name.endswith(recipe.CACHE):
            return recipe.with_cache(self.pick("formats", name.removesuffix(recipe.CACHE)))
        if section == "formats" and name.endswith(recipe.FILES):
            return recipe.from_file(name)
        if name not in entries:
            guess = f"{closest(name, entries)}; there are {', '.join(entries)}"
            raise MatrixError(f"{', '.join(self.files)}: no {section[:-1]} {name!r}{guess}")
        return entries[name]

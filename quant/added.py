"""What a matrix file adds to the reference matrix, and whether the files that it names can be used.

Comes in: a matrix file. Goes out: lines for people, or a `MatrixError` with every problem found. Starts no engine and
fetches nothing: what lies on a hub or in a store elsewhere is named, not looked at.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from quant import hardware, reading
from quant.declared import KINDS
from quant.errors import MatrixError, UsageError
from quant.inputs import hub
from quant.inputs.run import Inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from quant.matrix import Matrix


def check(file: Path) -> list[str]:
    """Say what the file adds, replaces and names elsewhere."""
    declared = reading.declared(str(file))
    parts = reading.with_includes(file.resolve())
    added = {name: [key for part in parts for key in part.section(name)] for name in (*KINDS, "gates")}
    if problems := list(dict.fromkeys(_problems(declared, added))):
        raise MatrixError("\n".join([f"{file}: {len(problems)} to correct", *problems]))
    named = {name: declared.models[name].source for name in added["models"]}
    remote = [f"{name}: {source}" for name, source in named.items() if hub.elsewhere(source)]
    lines = [f"{name}: {', '.join(keys)}" for name, keys in added.items() if keys]
    return [*lines, *declared.remarks, *(f"not looked at, since it lies elsewhere: {one}" for one in remote)]


def _problems(declared: Matrix, added: dict[str, list[str]]) -> Iterator[str]:
    inputs = Inputs(declared, hardware.probe())
    models = [declared.models[name] for name in added["models"]]
    looks: list[Callable[[], object]] = []
    looks += [partial(inputs.base, model) for model in models if not hub.elsewhere(model.source)]
    looks += [partial(inputs.task_files, declared.tasks[name]) for name in added["tasks"]]
    for suite in added["suites"]:
        pairs = {(cell.model.id, cell.format.id): cell for cell in declared.cells(suite)}
        looks += [partial(inputs.calibration, cell.model, cell.format) for cell in pairs.values()]
    for look in looks:
        try:
            look()
        except UsageError as error:
            yield str(error)

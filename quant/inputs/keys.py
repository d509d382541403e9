"""Keys of results: everything that can change them, and nothing else.

Comes in: what was found of models, texts and tasks, the machine. Goes out: the inputs of a key of the store.
Reads no file but calibration texts, for their hash.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant import environment
from quant.hashes import sha256
from quant.records import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quant.records import Backend, Calibration, Checkpoint, Format, Hardware, Model, Task

SEED = 0
SAID = ("shots", "metadata", "chance")  # of a task; in a key where the matrix states them


def checkpoint(
    model: Model, fmt: Format, base: Checkpoint, calibration: Calibration | None, machine: Hardware
) -> dict[str, Any]:
    """Everything that can change a quantized tensor. Where the model lies meanwhile cannot."""
    return {
        **of(machine),
        "model": base.files,
        **_revisions(base),
        "dtype": model.dtype,
        "recipe": fmt.recipe,
        "choice": [fmt.search, fmt.mixed],
        "calibration": calibration and _texts(calibration),
        "seed": SEED,
    }


def scores(  # noqa: PLR0913 - keyword-only: what scores are made of
    *,
    model: Model,
    task: Task,
    task_files: Mapping[str, str],
    base: Checkpoint,
    served: Checkpoint,
    backend: Backend,
    machine: Hardware,
) -> dict[str, Any]:
    """Everything that can change a prompt, a token or a score, but the place where it is served."""
    return {
        **of(machine),
        "checkpoint": served.files,
        **_revisions(base, served),
        "task": [task.lm_eval, task.metric, task.filter, task.chat_template],
        "cluster": task.cluster,
        "seed": SEED,
        **{name: value for name in SAID if (value := getattr(task, name)) not in (None, {})},
        "task_files": task_files,
        "backend": backend,
        "dtype": model.dtype,
        "context_tokens": model.context_tokens,
        "engine": model.engine,
    }


def _texts(calibration: Calibration) -> list[Any]:
    """Name calibration texts by their hash, and by their commit if they are a data set of the hub."""
    commit = [calibration.revision] if calibration.revision else []
    return [sha256(Path(calibration.texts)), calibration.samples, calibration.tokens, *commit]


def _revisions(*parts: Checkpoint) -> dict[str, Any]:
    """Name the commits of what is from the hub; folders have none."""
    found = dict.fromkeys(part.revision for part in parts if part.revision)
    return {"revision": [*found]} if found else {}


def of(machine: Hardware) -> dict[str, Any]:
    """Everything about a machine that can move a number."""
    return {
        "schema": SCHEMA,
        "hardware": machine.kind,
        "versions": environment.versions(),
        "settings": environment.settings(machine.kind),
    }

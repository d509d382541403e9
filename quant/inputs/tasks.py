"""What a task is made of, checked and hashed before an engine starts: its folder, or what lies elsewhere.

Comes in: a `Task`. Goes out: `TaskFiles`. Must not import lm_eval (seconds), torch or pytest.
A folder holds one `<task>.yaml` and one `<split>.jsonl` for every split that the YAML names; what several tasks share
(a loader, an included YAML) lies beside the folders. A task of lm-eval itself has no folder: see `resources`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from quant.errors import TaskError
from quant.hashes import sha256
from quant.inputs import resources
from quant.records import Chances, Record

if TYPE_CHECKING:
    from quant.records import Task
    from quant.store import Store


class TaskFiles(Record, frozen=True, kw_only=True):
    """What a task is made of, the number of documents, the rate at which guessing is right (None: nobody says).

    `files` maps files to hashes, or what lies elsewhere to commits and hashes.
    """

    files: dict[str, str]
    items: int
    chance: Chances | None


def inspect(task: Task, store: Store | None = None) -> TaskFiles:
    """Check a task's YAML and data; `TaskError` names the file and line that is missing or broken.

    Files of the web are kept in the store; without one nothing is said of them.
    """
    if not task.folder:
        _allow_code(task)
        return TaskFiles(files=resources.find(task, store), items=0, chance=task.chance)
    folder = Path(task.folder)
    config = _config(task, folder)
    splits = {str(config[key]) for key in ("test_split", "validation_split", "fewshot_split") if config.get(key)}
    data = [folder / f"{split}.jsonl" for split in sorted(splits)]
    for file in data:
        if not file.is_file():
            raise TaskError(
                f"task {task.id!r}: {file} is missing, but {folder.name}.yaml names the split {file.stem!r}"
            )
    counts = {file.stem: _count(file, task) for file in data}
    shared = [file for file in folder.parent.iterdir() if file.is_file()]
    used = sorted([*folder.glob("*.yaml"), *folder.glob("*.py"), *data, *shared])
    return TaskFiles(
        files={str(file.relative_to(folder.parent)): sha256(file) for file in used},
        items=counts[config.get("test_split") or config["validation_split"]],
        chance=_chance(config, task),
    )


def _chance(config: dict[str, Any], task: Task) -> Chances | None:
    """Return what the YAML says, else the matrix."""
    try:
        said: Chances | None = msgspec.convert(config.get("metadata", {}).get("chance", task.chance), Chances | None)
    except msgspec.ValidationError as error:
        raise TaskError(f"task {task.id!r}: `chance` in its YAML: {error}; 1/choices, or leave it out") from error
    return said


def _allow_code(task: Task) -> None:
    """Refuse to run what a model writes unless the user said so."""
    if task.runs_code and os.environ.get("HF_ALLOW_CODE_EVAL") != "1":
        raise TaskError(
            f"task {task.id!r} runs the code that a model writes, on this machine and with your rights; say"
            " HF_ALLOW_CODE_EVAL=1 where that is safe, such as in a container, or leave the task out"
        )


def _config(task: Task, folder: Path) -> dict[str, Any]:
    for file in sorted(folder.glob("*.yaml")):
        config = yaml.load(file.read_text(), Loader=_Loader)  # noqa: S506 - a SafeLoader that keeps functions as text
        if config.get("task") == task.lm_eval:
            return dict(config)
    raise TaskError(f"task {task.id!r}: no YAML in {folder} says `task: {task.lm_eval}`; check `folder` in the matrix")


def _count(file: Path, task: Task) -> int:
    seen: set[str] = set()
    with file.open() as lines:
        for number, line in enumerate(lines, 1):
            try:
                json.loads(line)
            except json.JSONDecodeError as error:
                raise TaskError(f"task {task.id!r}: {file}:{number}: not JSON ({error})") from error
            if line in seen:
                raise TaskError(f"task {task.id!r}: {file}:{number}: the same item a second time; remove it")
            seen.add(line)
    if not seen:
        raise TaskError(f"task {task.id!r}: {file} is empty")
    return len(seen)


class _Loader(yaml.SafeLoader):
    """Reads lm-eval's YAML without running the functions it names."""


def _as_text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor("!function", _as_text)

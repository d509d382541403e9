"""What a task is made of, checked and hashed before an engine starts: its folder, or data sets of the hub.

Comes in: a `Task`. Goes out: `TaskFiles`. Must not import lm_eval (seconds), torch or pytest.
A folder holds one `<task>.yaml` and one `<split>.jsonl` for every split that the YAML names; what several tasks share
(a loader, an included YAML) lies beside the folders. A task of lm-eval itself has no folder: its data sets must lie in
the cache of the `datasets` library, whose folders are named after the commit on the hub.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from quant.errors import TaskError
from quant.models import sha256
from quant.records import Record

if TYPE_CHECKING:
    from quant.records import Task

OFFLINE = ("1", "true", "yes", "on")  # as the hub's library reads it, in any case


class TaskFiles(Record, frozen=True, kw_only=True):
    """What a task is made of, the number of documents, the rate at which guessing is right.

    `files` maps files to hashes, or data sets of the hub to commits.
    """

    files: dict[str, str]
    items: int
    chance: float


def inspect(task: Task) -> TaskFiles:
    """Check a task's YAML and data; `TaskError` names the file and line that is missing or broken."""
    if not task.folder:
        _allow_code(task)
        return TaskFiles(files=_commits(task), items=0, chance=task.chance)
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
        chance=float(config.get("metadata", {}).get("chance", task.chance)),
    )


def _allow_code(task: Task) -> None:
    """Refuse to run what a model writes unless the user said so."""
    if task.runs_code and os.environ.get("HF_ALLOW_CODE_EVAL") != "1":
        raise TaskError(
            f"task {task.id!r} runs the code that a model writes, on this machine and with your rights; say"
            " HF_ALLOW_CODE_EVAL=1 where that is safe, such as in a container, or leave the task out"
        )


def _commits(task: Task) -> dict[str, str]:
    """Return the commits of a task's data sets that are in the cache; offline, each must be there.

    One that a run fetches itself has no commit before: the next run, which knows it, scores the task again.
    """
    found = {name: commits for name in task.datasets if (commits := _cached(name))}
    missing = [name for name in task.datasets if name not in found]
    if missing and os.environ.get("HF_HUB_OFFLINE", "1").lower() in OFFLINE:
        given = f"metadata={task.metadata | {'tokenizer': 'MODEL'}}" if task.metadata else ""
        raise TaskError(
            f"task {task.id!r}: the data set {', '.join(missing)} is not in {_cache()} and a run fetches nothing; fetch"
            f' it once: HF_HUB_OFFLINE=0 python -c "from lm_eval.tasks import TaskManager as T;'
            f" T({given}).load(['{task.lm_eval}'])\", or leave the task out"
        )
    return {f"hub:{name}": commits for name, commits in found.items()}


def _cached(dataset: str) -> str:
    """Return the commits of a data set that are in the cache, "" for none.

    It has folders `<organisation>___<name>/<config>/<version>/<commit>`, and spells names anew, `MuSR` as `mu_sr`.
    """
    wanted = _spelling(dataset.replace("/", "___"))
    folders = [folder for folder in _cache().glob("*___*") if _spelling(folder.name) == wanted]
    commits = {file.parent.name for folder in folders for file in folder.glob("*/*/*/dataset_info.json")}
    return " ".join(sorted(commits))


def _spelling(name: str) -> str:
    return name.replace("_", "").lower()


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    home = Path(os.environ.get("HF_HOME", home))
    return Path(os.environ.get("HF_DATASETS_CACHE", home / "datasets")).expanduser()


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

"""What lm-eval's own tasks read from elsewhere: what of it is on this machine, and what fetches the rest.

Comes in: a `Task`, the store. Goes out: names with commits or hashes, for keys; a `TaskError` that names what a run
lacks, before an engine starts. Must not import datasets, evaluate or nltk (seconds): it looks where they look.
Data sets lie in the cache of `datasets`, whose folders are named after commits of the hub, the metric `code_eval` in
the modules cache of `evaluate`, sentence rules where `nltk` keeps its data. Files of the web, which lm-eval would fetch
anew in each process, are kept in the store.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quant.errors import TaskError
from quant.hashes import sha256
from quant.inputs import sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quant.records import Task
    from quant.store import Store

OFFLINE = ("1", "true", "yes", "on")  # as the hub's library reads it, in any case
METRIC, NLTK = "metric:", "nltk:"  # what a resource that is no URL begins with
SYSTEM = ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")  # where nltk looks besides


def offline() -> bool:
    """Say whether a run may fetch nothing: it may if the user says `HF_HUB_OFFLINE=0`."""
    return os.environ.get("HF_HUB_OFFLINE", "1").lower() in OFFLINE


def find(task: Task, store: Store | None) -> dict[str, str]:
    """Return what a task reads from elsewhere, by name, with commits or hashes; offline, all of it must be here.

    What a run fetches itself has no commit before: the next run, which knows it, scores the task again. Without a
    store nothing is said of files of the web.
    """
    looked = {f"hub:{name}": data_set(name) for name in task.datasets}
    looked |= {name: _place(name) for name in task.resources if not sources.is_url(name)}
    missing = [name.removeprefix("hub:") for name, found in looked.items() if not found]
    if missing and offline():
        raise TaskError(_advice(task, missing))
    files = web(task, store) if store else {}
    return {name: found for name, found in looked.items() if found} | {
        name: sha256(file) for name, file in files.items()
    }


def web(task: Task, store: Store) -> Mapping[str, Path]:
    """Return a task's files of the web by URL, fetched once into the store where a run may fetch."""
    found = {url: sources.kept(url, store) for url in task.resources if sources.is_url(url)}
    lost = [url for url, file in found.items() if not file]
    if lost and offline():
        raise TaskError(
            f"task {task.id!r}: {_listed(lost)} not in the store and a run fetches nothing; let this run fetch by"
            " HF_HUB_OFFLINE=0, or leave the task out"
        )
    return {url: file or sources.fetch(url, store, f"task {task.id!r}") for url, file in found.items()}


def data_set(name: str) -> str:
    """Return the commits of a hub's data set that are in the cache, "" for none.

    It has folders `<organisation>___<name>/<config>/<version>/<commit>`, and spells names anew, `MuSR` as `mu_sr`.
    """
    wanted = _spelling(name.replace("/", "___"))
    folders = [folder for folder in _data_sets().glob("*___*") if _spelling(folder.name) == wanted]
    commits = {file.parent.name for folder in folders for file in folder.glob("*/*/*/dataset_info.json")}
    return " ".join(sorted(commits))


def _place(resource: str) -> str:
    """Return the hash of a metric's code, or "here" for data of nltk; "" for none."""
    if resource.startswith(METRIC):
        name = resource.removeprefix(METRIC)
        found = _modules().glob(f"evaluate_modules/metrics/evaluate-metric--{name}/*/{name}.py")
        newest = sorted(found, key=lambda file: file.stat().st_mtime)[-1:]  # the one that `evaluate` takes
        return newest[0].parent.name if newest else ""
    name = resource.removeprefix(NLTK)
    return "here" if any((place / f"{name}{end}").exists() for place in _nltk() for end in ("", ".zip")) else ""


def _advice(task: Task, missing: list[str]) -> str:
    given = f"metadata={task.metadata | {'tokenizer': 'MODEL'}}" if task.metadata else ""
    allowed = " HF_ALLOW_CODE_EVAL=1" if task.runs_code else ""
    places = {"metric": _modules(), "nltk": "the folders of NLTK_DATA", "data": _data_sets()}
    kinds = dict.fromkeys(next((kind for kind in places if name.startswith(f"{kind}:")), "data") for name in missing)
    return (
        f"task {task.id!r}: {_listed(missing)} not in {' or '.join(str(places[kind]) for kind in kinds)} and a run"
        f' fetches nothing; fetch it once: HF_HUB_OFFLINE=0{allowed} python -c "from lm_eval.tasks import TaskManager'
        f" as T; T({given}).load(['{task.lm_eval}'])\", or leave the task out"
    )


def _listed(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _spelling(name: str) -> str:
    return name.replace("_", "").lower()


def _home() -> Path:
    """Return the folder of the hub's caches."""
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return Path(os.environ.get("HF_HOME", home)).expanduser()


def _data_sets() -> Path:
    return Path(os.environ.get("HF_DATASETS_CACHE", _home() / "datasets")).expanduser()


def _modules() -> Path:
    return Path(os.environ.get("HF_MODULES_CACHE", _home() / "modules")).expanduser()


def _nltk() -> list[Path]:
    said = [Path(place) for place in os.environ.get("NLTK_DATA", "").split(os.pathsep) if place]
    own = [Path(sys.prefix, part) for part in ("", "share", "lib")]
    return said + [place / "nltk_data" for place in (Path.home(), *own, *map(Path, SYSTEM))]

"""The documents of an lm-eval task or group: loaded, made the same for every model, and put in one random order.

Comes in: `TaskRequest`, a checkpoint's folder. Goes out: `Documents`. Runs in the evaluate child only.
A group's documents are those of its subtasks, one subtask behind the other in the order of their names, so that a
share of a group is a random share of all its documents.
"""

from __future__ import annotations

import copy
import hashlib
import io
import itertools
import json
import random
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from quant.scores import head, planned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.stages.protocol import TaskRequest

TASK_DEPTH = 2  # lm_eval.tasks.<folder>.<module>
Place = tuple[str, int]  # subtask, its document's place in lm-eval's order
_loaded: dict[tuple[str, bytes], Documents] = {}


class Documents(NamedTuple):
    """Subtasks by name (a task is its own only one), and how many documents each has."""

    subtasks: dict[str, Any]
    counts: dict[str, int]

    @property
    def total(self) -> int:
        """Documents of all subtasks."""
        return sum(self.counts.values())

    def places(self, numbers: Sequence[int]) -> list[Place]:
        """Return where documents are that are counted through all subtasks."""
        where = [(name, number) for name, count in self.counts.items() for number in range(count)]
        return [where[number] for number in numbers]


def load(task: TaskRequest, checkpoint: str) -> Documents:
    """Load what lm-eval needs of a task, once a process; `checkpoint` sizes documents made to a length in tokens.

    Later looks at a task get what the first one loaded: RULER takes minutes to make its documents. They stay in memory
    until another checkpoint's are made: RULER's 6,500 documents of 128k tokens are 3.6 GB.
    """
    sized = checkpoint if task.metadata else ""
    kind = (sized, msgspec.json.encode(msgspec.structs.replace(task, start=0, share=1.0, items=0)))
    if kind not in _loaded:
        for other in [other for other in _loaded if sized and other[0] not in ("", sized)]:
            del _loaded[other]
        _loaded[kind] = _load(task, checkpoint)
    return _loaded[kind]


def _load(task: TaskRequest, checkpoint: str) -> Documents:
    import datasets
    import numpy as np

    _compile_templates_once()
    datasets.disable_caching()  # else choices that an earlier process shuffled come back, whatever the seed says
    manager = _manager(task.include)
    if task.metadata:
        manager = copy.copy(manager)
        manager._factory = type(manager._factory)(meta={"tokenizer": checkpoint, **task.metadata})  # noqa: SLF001
        _forget_modules()
    if task.web:
        _serve(task.web)
    random.seed(task.seed)
    np.random.seed(task.seed)  # noqa: NPY002 - the stream that RULER draws from
    found = dict(sorted(manager.load([task.lm_eval])["tasks"].items()))
    if "langdetect" in sys.modules:  # IFEval's; without a seed it names another language of the same text now and then
        sys.modules["langdetect"].DetectorFactory.seed = task.seed
    for subtask in found.values():
        _process_once(subtask, task.seed)
        _draw_examples_by_document(subtask, task.seed)
        if task.shots is not None:
            subtask.set_config("num_fewshot", task.shots)
    return Documents(found, {name: len(subtask.eval_docs) for name, subtask in found.items()})


def _serve(web: dict[str, str]) -> None:
    """Have files of the web read from local ones: RULER's questions are asked for anew by each process."""
    import requests

    class Local(requests.adapters.BaseAdapter):
        """What a session asks in the place of the web."""

        def send(self, request: Any, *_args: Any, **_kwargs: Any) -> Any:
            answer = requests.Response()
            answer.status_code, answer.url = 200, request.url
            answer.raw = io.BytesIO(Path(web[request.url]).read_bytes())
            return answer

        def close(self) -> None:
            pass

    def get(url: str, **kwargs: Any) -> Any:
        with requests.Session() as session:
            for known in web:
                session.mount(known, Local())
            return session.get(url, **kwargs)

    requests.get = cast("Any", get)


def order(documents: int, seed: int) -> list[int]:
    """Return the numbers of all documents in the task's random order; a part of it is its head."""
    return sorted(range(documents), key=lambda place: hashlib.sha256(f"{seed}:{place}".encode()).digest())


def choose(documents: int, task: TaskRequest) -> list[int]:
    """Return the numbers of the documents to score: from `start` on, up to the share asked for."""
    return order(documents, task.seed)[task.start : head(planned(task.items, documents), task.share)]


def by_subtask(places: Sequence[Place]) -> dict[str, list[int]]:
    """Return the documents to score of each subtask that has any, rising: lm-eval mislabels those of an unsorted list.

    A subtask without any is left out: lm-eval would score all its documents.
    """
    groups = itertools.groupby(sorted(places), key=lambda place: place[0])
    return {name: [number for _, number in group] for name, group in groups}


@cache
def _manager(include: str) -> Any:
    """Return what knows the tasks of a folder, or all of lm-eval's own: it reads 14,000 files, 8 s."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=include or None, include_defaults=not include)


def _forget_modules() -> None:
    """Have tasks' own modules imported anew that keep random numbers: RULER's go on from one load to the next.

    The others stay: to import that of its needles takes 9 s.
    """
    own = [name for name in sys.modules if name.startswith("lm_eval.tasks.") and name.count(".") > TASK_DEPTH]
    for name in own:
        if any(isinstance(value, random.Random) for value in vars(sys.modules[name]).values()):
            del sys.modules[name]


def _process_once(task: Any, seed: int) -> None:
    """Let a task prepare its documents once, from a seed: GPQA shuffles its choices anew whenever it is asked."""
    process = task.config.process_docs
    if process is None:
        return
    made: dict[str, Any] = {}

    def once(dataset: Any) -> Any:
        name = dataset._fingerprint  # noqa: SLF001 - a data set's only identity
        if name not in made:
            random.seed(seed)
            made[name] = process(dataset)
        return made[name]

    task.config.process_docs = once


def _draw_examples_by_document(task: Any, seed: int) -> None:
    """Let the few-shot examples of a document depend on it alone: lm-eval draws them in the order of what is scored."""
    build = task.fewshot_context

    def seeded(doc: Any, *args: Any, **kwargs: Any) -> Any:
        text = f"{seed}:{json.dumps(doc, sort_keys=True, default=str)}"
        task.set_fewshot_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))
        return build(doc, *args, **kwargs)

    task.fewshot_context = seeded


@cache
def _compile_templates_once() -> None:
    """Remember compiled templates: lm-eval would compile them again for every document, a fifth of a few-shot task."""
    from lm_eval.utils import env

    env.from_string = cache(env.from_string)

"""Stage evaluate: lm-eval scores a checkpoint that vLLM (or Transformers) serves.

Comes in: `EvaluateRequest`. Goes out: `<output>/<task>/scores.json` (items, engine) and `samples.jsonl` (what the model
said), a `result` message as each task is done. One engine start serves all tasks of a request, and the requests after
it that ask for more items of the same checkpoint.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from quant.errors import TaskError
from quant.records import Item, head, planned
from quant.stages import engines
from quant.stages.protocol import SAMPLES, SCORES, Message, TaskScores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quant.stages.protocol import EvaluateRequest, TaskRequest

KEPT = ("doc_id", "doc_hash", "target", "arguments", "resps", "filtered_resps", "filter")


class Served(NamedTuple):
    """An engine that is up, for whom, and how long its start took."""

    request: EvaluateRequest
    lm: Any
    seconds: float


_up: list[Served] = []  # at most one


def handle(request: EvaluateRequest, tell: Callable[[Message], None]) -> None:
    """Score all tasks of one checkpoint with one engine."""
    served = _serve(request, tell)
    fingerprint = engines.fingerprint(served.lm, request)
    for task in request.tasks:
        label = f"{request.label}-{task.id}"
        report = _reporter(tell, label, task.id)
        report(0, 0)
        engines.watch(served.lm, report, random.Random(request.repeat) if request.repeat else None)
        started = time.time()
        places, documents, samples = _samples(served.lm, task)
        scores = TaskScores(
            items=tuple(_items(samples, places, task)),
            start=task.start,
            documents=documents,
            seconds=time.time() - started,
            load_seconds=served.seconds,
            started=started,
            engine=fingerprint,
        )
        _write(Path(request.output) / task.id, scores, samples)
        tell(Message(event="result", label=label, name=task.id, total=len(samples), seconds=scores.seconds))


def _serve(request: EvaluateRequest, tell: Callable[[Message], None]) -> Served:
    """Return the engine that is up if it is this request's, else start one in its place."""
    if not (_up and _engine(_up[0].request) == _engine(request)):
        if _up:
            engines.stop(_up.pop().lm)
            gc.collect()
        tell(Message(event="progress", label=f"{request.label}: starting {request.backend}"))
        engines.prepare(request)
        began = time.time()
        lm = engines.start(request)
        _up.append(Served(request, lm, time.time() - began))
    return _up[0]


def _engine(request: EvaluateRequest) -> EvaluateRequest:
    """Reduce a request to what its engine depends on."""
    return msgspec.structs.replace(request, label="", output="", tasks=())


def _samples(lm: Any, task: TaskRequest) -> tuple[list[int], int, list[dict[str, Any]]]:
    """Return the places of the documents scored, in the task's order, how many it has, and lm-eval's samples."""
    from lm_eval.evaluator import evaluate
    from lm_eval.tasks import TaskManager

    _compile_templates_once()
    manager = TaskManager(include_path=task.include or None, include_defaults=not task.include)
    loaded = manager.load([task.lm_eval])
    _draw_examples_by_document(loaded["tasks"][task.lm_eval], task.seed)
    documents = len(loaded["tasks"][task.lm_eval].eval_docs)
    places = choose(documents, task)
    if not places:  # lm-eval would score all documents
        raise TaskError(f"task {task.id!r}: no document is left from place {task.start} of {documents} on")
    result = evaluate(
        lm=lm,
        task_dict=loaded,
        samples={task.lm_eval: sorted(places)},  # lm-eval mislabels documents of an unsorted list
        bootstrap_iters=0,
        log_samples=True,
        apply_chat_template=task.chat_template,
        fewshot_as_multiturn=task.chat_template,
    )
    samples = [s for s in result["samples"][task.lm_eval] if s["filter"] == task.filter]
    if not samples:
        known = sorted({s["filter"] for s in result["samples"][task.lm_eval]})
        raise TaskError(f"task {task.id!r}: no filter {task.filter!r}; lm-eval's filters here: {', '.join(known)}")
    return places, documents, samples


def order(documents: int, seed: int) -> list[int]:
    """Return the places in the file of all documents, in the task's random order; a part of it is its head."""
    return sorted(range(documents), key=lambda place: hashlib.sha256(f"{seed}:{place}".encode()).digest())


def choose(documents: int, task: TaskRequest) -> list[int]:
    """Return the places of the documents to score: from `start` on, up to the share asked for."""
    return order(documents, task.seed)[task.start : head(planned(task.items, documents), task.share)]


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


def _items(samples: list[dict[str, Any]], places: Sequence[int], task: TaskRequest) -> list[Item]:
    """Return the items in the task's order."""
    found = {sample["doc_id"]: _item(sample, task) for sample in samples}
    return [found[place] for place in places]


def _item(sample: dict[str, Any], task: TaskRequest) -> Item:
    if task.metric not in sample:
        raise TaskError(f"task {task.id!r}: no metric {task.metric!r}; lm-eval reports {', '.join(sample['metrics'])}")
    score = float(sample[task.metric])
    if not 0 <= score <= 1:  # also false for NaN
        raise TaskError(f"task {task.id!r}: {task.metric} of document {sample['doc_id']} is {score}, not in [0, 1]")
    if task.cluster and task.cluster not in sample["doc"]:
        fields = ", ".join(sample["doc"])
        raise TaskError(f"task {task.id!r}: `cluster` names {task.cluster!r}, but a document has the fields {fields}")
    return Item(
        doc_hash=sample["doc_hash"],
        prompt_hash=sample["prompt_hash"],
        target_hash=sample["target_hash"],
        score=score,
        cluster=hashlib.sha256(str(sample["doc"][task.cluster]).encode()).hexdigest() if task.cluster else "",
    )


def _write(folder: Path, scores: TaskScores, samples: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True)
    (folder / SCORES).write_bytes(msgspec.json.encode(scores))
    with (folder / SAMPLES).open("w") as file:
        for sample in samples:
            file.write(json.dumps({key: sample[key] for key in KEPT}, default=str) + "\n")


def _reporter(tell: Callable[[Message], None], label: str, name: str) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        tell(Message(event="progress", label=label, name=name, done=done, total=total))

    return report

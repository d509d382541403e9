"""Stage evaluate: lm-eval scores a checkpoint that vLLM (or Transformers) serves.

Comes in: `EvaluateRequest`. Goes out: `<output>/<task>/scores.json` (items, engine) and `samples.jsonl` (what the model
said), a `result` message as each task is done. One engine start serves all tasks of a request, and the requests after
it that ask for more items of the same checkpoint.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from quant.errors import TaskError
from quant.scores import Item
from quant.stages import engines
from quant.stages.chance import check, guessed
from quant.stages.documents import by_subtask, choose, load
from quant.stages.protocol import SAMPLES, SCORES, Message, TaskScores

if TYPE_CHECKING:
    from collections.abc import Callable

    from quant.stages.documents import Documents, Place
    from quant.stages.protocol import EvaluateRequest, TaskRequest

KEPT = ("doc_id", "doc_hash", "target", "arguments", "resps", "filtered_resps", "filter")
ROUNDING = 1e-9  # a share of probabilities, such as TruthfulQA's, may exceed 1 by what floating point loses


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
        documents = load(task, request.checkpoint)
        check(task, documents.subtasks)
        places, found = _samples(served.lm, task, documents)
        scores = TaskScores(
            items=tuple(_item(found[place], place, task, documents.subtasks[place[0]]) for place in places),
            start=task.start,
            documents=documents.total,
            seconds=time.time() - started,
            load_seconds=served.seconds,
            started=started,
            engine=fingerprint,
        )
        _write(Path(request.output) / task.id, scores, found)
        tell(Message(event="result", label=label, name=task.id, total=len(places), seconds=scores.seconds))


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


def _samples(lm: Any, task: TaskRequest, documents: Documents) -> tuple[list[Place], dict[Place, dict[str, Any]]]:
    """Return where the documents scored are, in the task's order, and lm-eval's sample of each."""
    from lm_eval.evaluator import evaluate

    places = documents.places(choose(documents.total, task))
    if not places:
        raise TaskError(f"task {task.id!r}: no document is left from place {task.start} of {documents.total} on")
    chosen = by_subtask(places)
    result = evaluate(
        lm=lm,
        task_dict={"tasks": {name: documents.subtasks[name] for name in chosen}},
        samples=chosen,
        bootstrap_iters=0,
        log_samples=True,
        apply_chat_template=task.chat_template,
        fewshot_as_multiturn=task.chat_template,
        confirm_run_unsafe_code=os.environ.get("HF_ALLOW_CODE_EVAL") == "1",
    )
    for name in chosen:
        documents.subtasks[name]._instances = None  # noqa: SLF001 - prompts: the task itself stays for the next look
    said = [(name, sample) for name in chosen for sample in result["samples"][name]]
    found = {(name, sample["doc_id"]): sample for name, sample in said if sample["filter"] == task.filter}
    if not found:
        known = sorted({sample["filter"] for _, sample in said})
        raise TaskError(f"task {task.id!r}: no filter {task.filter!r}; lm-eval's filters here: {', '.join(known)}")
    return places, found


def _item(sample: dict[str, Any], place: Place, task: TaskRequest, subtask: Any) -> Item:
    where = f"task {task.id!r}: {task.metric} of document {place[1]} of {place[0]}"
    if task.metric not in sample:
        raise TaskError(f"task {task.id!r}: no metric {task.metric!r}; lm-eval reports {', '.join(sample['metrics'])}")
    score = float(sample[task.metric])
    if not 0 <= score <= 1 + ROUNDING:  # also false for NaN
        raise TaskError(f"{where} is {score}, not in [0, 1]")
    if task.cluster and task.cluster not in sample["doc"]:
        fields = ", ".join(sample["doc"])
        raise TaskError(f"task {task.id!r}: `cluster` names {task.cluster!r}, but a document has the fields {fields}")
    return Item(
        doc_hash=sample["doc_hash"] if task.include else _hash(f"{place[0]}:{place[1]}:{sample['doc_hash']}"),
        prompt_hash=sample["prompt_hash"],
        target_hash=sample["target_hash"],
        score=min(score, 1.0),
        cluster=_hash(str(sample["doc"][task.cluster])) if task.cluster else "",
        chance=guessed(subtask, place[0], sample["doc"], task),
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write(folder: Path, scores: TaskScores, found: dict[Place, dict[str, Any]]) -> None:
    folder.mkdir(parents=True)
    (folder / SCORES).write_bytes(msgspec.json.encode(scores))
    with (folder / SAMPLES).open("w") as file:
        for (subtask, _), sample in found.items():
            kept = {"task": subtask} | {key: sample[key] for key in KEPT}
            file.write(json.dumps(kept, default=str) + "\n")


def _reporter(tell: Callable[[Message], None], label: str, name: str) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        tell(Message(event="progress", label=label, name=name, done=done, total=total))

    return report

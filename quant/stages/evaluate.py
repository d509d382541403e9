"""Stage evaluate: lm-eval scores a checkpoint that vLLM (or Transformers) serves.

Comes in: `EvaluateRequest`. Goes out: `<output>/<task>/scores.json` (items, engine) and `samples.jsonl` (what the model
said), a `result` message as each task is done. One engine start serves all tasks of a request.
"""

from __future__ import annotations

import gc
import hashlib
import json
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from quant.errors import TaskError
from quant.records import Item
from quant.stages import engines
from quant.stages.protocol import SAMPLES, SCORES, Message, TaskScores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from quant.stages.protocol import EvaluateRequest, TaskRequest

KEPT = ("doc_id", "doc_hash", "target", "arguments", "resps", "filtered_resps", "filter")


def handle(request: EvaluateRequest, tell: Callable[[Message], None]) -> None:
    """Score all tasks of one checkpoint with one engine."""
    tell(Message(event="progress", label=f"{request.label}: starting {request.backend}"))
    began = time.time()
    with _engine(request) as lm:
        loaded = time.time() - began
        fingerprint = engines.fingerprint(lm, request)
        for task in request.tasks:
            label = f"{request.label}-{task.id}"
            report = _reporter(tell, label, task.id)
            report(0, 0)
            engines.watch(lm, report)
            started = time.time()
            samples = _samples(lm, task)
            scores = TaskScores(
                items=tuple(_item(sample, task) for sample in samples),
                seconds=time.time() - started,
                load_seconds=loaded,
                started=started,
                engine=fingerprint,
            )
            _write(Path(request.output) / task.id, scores, samples)
            tell(Message(event="result", label=label, name=task.id, total=len(samples), seconds=scores.seconds))


@contextmanager
def _engine(request: EvaluateRequest) -> Iterator[Any]:
    lm = engines.start(request)
    try:
        yield lm
    finally:
        engines.stop(lm)
        del lm
        gc.collect()


def _samples(lm: Any, task: TaskRequest) -> list[dict[str, Any]]:
    from lm_eval.evaluator import evaluate
    from lm_eval.tasks import TaskManager

    _compile_templates_once()
    manager = TaskManager(include_path=task.include or None, include_defaults=not task.include)
    loaded = manager.load([task.lm_eval])
    chosen = choose(len(loaded["tasks"][task.lm_eval].eval_docs), task.items, task.seed)
    result = evaluate(
        lm=lm,
        task_dict=loaded,
        samples={task.lm_eval: chosen},
        bootstrap_iters=0,
        log_samples=True,
        apply_chat_template=task.chat_template,
        fewshot_as_multiturn=task.chat_template,
    )
    samples = [s for s in result["samples"][task.lm_eval] if s["filter"] == task.filter]
    if not samples:
        known = sorted({s["filter"] for s in result["samples"][task.lm_eval]})
        raise TaskError(f"task {task.id!r}: no filter {task.filter!r}; lm-eval's filters here: {', '.join(known)}")
    return samples


def choose(count: int, items: int, seed: int) -> list[int]:
    """Choose `items` of `count` documents at random, in ascending order; all if `items` is 0 or more than there are.

    A document's place depends on the seed alone, so a smaller choice is part of a larger one.
    """
    order = sorted(range(count), key=lambda number: hashlib.sha256(f"{seed}:{number}".encode()).digest())
    return sorted(order[: items or count])  # lm-eval mislabels documents of an unsorted list


@cache
def _compile_templates_once() -> None:
    """Remember compiled templates: lm-eval would compile them again for every document, a fifth of a few-shot task."""
    from lm_eval.utils import env

    env.from_string = cache(env.from_string)


def _item(sample: dict[str, Any], task: TaskRequest) -> Item:
    if task.metric not in sample:
        raise TaskError(f"task {task.id!r}: no metric {task.metric!r}; lm-eval reports {', '.join(sample['metrics'])}")
    score = float(sample[task.metric])
    if not 0 <= score <= 1:  # also false for NaN
        raise TaskError(f"task {task.id!r}: {task.metric} of document {sample['doc_id']} is {score}, not in [0, 1]")
    return Item(
        doc_hash=sample["doc_hash"],
        prompt_hash=sample["prompt_hash"],
        target_hash=sample["target_hash"],
        score=score,
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

"""What a parent asks a stage and what it hears back: one JSON object a line, so a log of them can be read.

Comes in: nothing. Goes out: request and message types. Must not import a heavy library.
"""

from __future__ import annotations

from typing import Any, Literal

from quant.records import Backend, Item, Record

SCORES, SAMPLES = "scores.json", "samples.jsonl"
StageName = Literal["quantize", "evaluate"]


class QuantizeRequest(Record, frozen=True, kw_only=True):
    """Quantize the model in `model` by `recipe` (llm-compressor's modifiers) into the empty folder `output`."""

    label: str
    model: str
    output: str
    dtype: str
    recipe: dict[str, dict[str, Any]]
    calibration_file: str = ""
    samples: int = 0
    tokens: int = 0
    seed: int = 0


class TaskRequest(Record, frozen=True, kw_only=True):
    """One lm-eval task; `include` is the folder that holds its YAML ("" for lm-eval's own tasks).

    `items` documents are scored, chosen by `seed`; 0 takes all. With `chat_template`, prompts are rendered by the
    checkpoint's own chat template, few-shot examples as turns of their own.
    """

    id: str
    lm_eval: str
    include: str
    metric: str
    filter: str
    chat_template: bool = False
    items: int = 0
    seed: int = 0


class EvaluateRequest(Record, frozen=True, kw_only=True):
    """Serve `checkpoint` once and score `tasks`, one after the other, each into `<output>/<task id>/`."""

    label: str
    checkpoint: str
    output: str
    backend: Backend
    dtype: str
    context_tokens: int
    engine: dict[str, Any]
    tasks: tuple[TaskRequest, ...]


class TaskScores(Record, frozen=True, kw_only=True):
    """What `<output>/<task id>/scores.json` holds: the child's part of a `Scores` record."""

    items: tuple[Item, ...]
    seconds: float
    load_seconds: float
    started: float
    engine: dict[str, Any]


class Message(Record, frozen=True, kw_only=True):
    """What a child says: progress while it works, one `result` a finished task, then `done` or `error`.

    `name` is the task in hand ("" before the first begins), `done` and `total` count its requests.
    """

    event: Literal["progress", "result", "done", "error"]
    label: str = ""
    done: int = 0
    total: int = 0
    name: str = ""
    text: str = ""
    seconds: float = 0.0

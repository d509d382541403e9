"""The nouns every room shares: frozen, typed, JSON on disk with a `schema` number.

Comes in: nothing. Goes out: record types. Must not import torch, vllm, pytest or any other room.
Units are in the names. Hashes are SHA-256 in hexadecimal.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

SCHEMA = 2

Family = Literal["bf16", "fp8", "int8", "int4", "fp4"]
Backend = Literal["vllm", "hf"]
Status = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Definition = Literal["macro", "item"]
TaskType = Literal[
    # The six task types of arXiv:2409.11055, plus the two that arXiv:2411.02355 adds, plus language modelling.
    "commonsense",
    "knowledge",
    "instruction",
    "hallucination",
    "mathematics",
    "dialogue",
    "coding",
    "long-context",
    "language-modelling",
]


def planned(items: int, documents: int) -> int:
    """Return how many items a task has, of `documents` in its file; `items` bounds them, 0 does not."""
    return min(items, documents) if items else documents


def head(count: int, share: float) -> int:
    """Return how many of `count` planned items the first `share` is; who asks and who scores must agree."""
    return math.ceil(share * count)


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all records."""


class Calibration(Record, frozen=True, kw_only=True):
    """What a calibrated method sees: of `texts` (a JSONL file with `text`) the first `samples`, cut at `tokens`.

    A format's own values come before those of the model, which stand for what is left out.
    """

    texts: str = ""
    samples: int = 0
    tokens: int = 0


class Model(Record, frozen=True, kw_only=True):
    """A full-precision model that formats are compared against.

    `source` is a folder or `hub:<organisation>/<name>`; `revision` belongs to the hub. `calibration` says which texts
    are like those that the model is used for, and how many of them calibrated formats need.
    """

    id: str
    source: str
    revision: str = ""
    dtype: str = "bfloat16"
    context_tokens: int
    tensor_parallel: int = 1
    engine: dict[str, Any] = {}
    calibration: Calibration | None = None


class Format(Record, frozen=True, kw_only=True):
    """One way to quantize: a llm-compressor recipe (modifier name -> arguments) and what serving it needs.

    Data-free methods have no `calibration`; an empty one takes the model's.
    If it has a `competitor`, its average recovery must be proven to lie no more than `margin` below that format's.
    """

    id: str
    purpose: str
    family: Family
    recipe: dict[str, dict[str, Any]] = {}
    calibration: Calibration | None = None
    needs: tuple[str, ...] = ()
    competitor: str = ""
    margin: float = 0.02


class Task(Record, frozen=True, kw_only=True):
    """An lm-eval task: `lm_eval` is its name there, `folder` holds its YAML and data ("" for lm-eval's own tasks).

    `items` bounds the documents scored: a random subset, the same for every model and format; 0 takes all.
    With `chat_template`, prompts are rendered by the checkpoint's own chat template, few-shot examples as turns of
    their own. `cluster` names the field of a document that dependent items share, such as the passage they ask about.
    """

    id: str
    type: TaskType
    lm_eval: str
    folder: str = ""
    metric: str
    filter: str = "none"
    chance: float = 0.0
    items: int = 0
    chat_template: bool = False
    cluster: str = ""


class Suite(Record, frozen=True, kw_only=True):
    """A declared family of cells: multiplicity is controlled over its tasks, whatever a run selects of them.

    `items` bounds the documents of each task, as in `Task`. `definition` is the average that gates: `macro` weighs all
    tasks alike, `item` all items.
    """

    id: str
    models: tuple[str, ...]
    formats: tuple[str, ...]
    tasks: tuple[str, ...]
    items: int = 0
    definition: Definition = "macro"


class Hardware(Record, frozen=True, kw_only=True):
    """What a machine is. `kind` is the hardware class that keys and baselines carry, e.g. `cpu-avx512`."""

    kind: str
    name: str
    devices: int
    capabilities: frozenset[str]
    driver: str = ""


class Environment(Record, frozen=True, kw_only=True):
    """Everything about a machine that can move a number."""

    hardware: Hardware
    versions: dict[str, str]
    commit: str = ""


class Checkpoint(Record, frozen=True, kw_only=True):
    """A model on disk that an engine can load: a base model or what the quantize stage wrote.

    `files` maps each file that can change an output to its hash; `tensor_bytes` is the size of the weight files.
    """

    model: str
    format: str
    path: str
    files: dict[str, str]
    tensor_bytes: int
    seconds: float = 0.0


class Item(Record, frozen=True, kw_only=True, array_like=True):
    """One scored document: three hashes identify what was asked, `score` lies in [0, 1].

    Items of one `cluster` depend on each other; "" if the task has none.
    """

    doc_hash: str
    prompt_hash: str
    target_hash: str
    score: float
    cluster: str = ""


class Scores(Record, frozen=True, kw_only=True):
    """One task of one checkpoint, item by item, in the task's random order; `record` is its key in the store.

    `items` are the first of `planned`, the number decided before the run; `seconds` is what serving them took.
    """

    model: str
    format: str
    task: str
    metric: str
    filter: str
    backend: Backend
    items: tuple[Item, ...]
    planned: int
    seconds: float
    load_seconds: float
    started: float
    engine: dict[str, Any] = {}
    record: str = ""
    schema: int = SCHEMA

    def first(self, share: float) -> Scores:
        """Return the first `share` of the planned items, with the seconds that they took."""
        if share == 1:
            return self
        items = self.items[: head(self.planned, share)]
        seconds = self.seconds * len(items) / max(len(self.items), 1)
        return msgspec.structs.replace(self, items=items, seconds=seconds)

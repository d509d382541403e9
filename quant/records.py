"""The nouns every room shares: frozen, typed, JSON on disk with a `schema` number.

Comes in: nothing. Goes out: record types. Must not import torch, vllm, pytest or any other room.
Units are in the names. Hashes are SHA-256 in hexadecimal.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

SCHEMA = 3

Family = Literal["bf16", "fp8", "int8", "int4", "fp4"]
Backend = Literal["vllm", "hf", "server"]
Status = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Place = Literal["device", "host", "disk"]  # where a model lies while it is quantized
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


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all records."""


class Calibration(Record, frozen=True, kw_only=True):
    """What a calibrated method sees: of `texts` the first `samples`, cut at `tokens`.

    `texts` is a JSONL file with `text` (or its URL), or a data set of the hub with `text` or `messages` in its rows, to
    which `revision` belongs. A format's own values come before those of the model, which stand for what is left out.
    """

    texts: str = ""
    revision: str = ""
    samples: int = 0
    tokens: int = 0


class Shape(Record, frozen=True, kw_only=True):
    """What a model's memory follows from: `linear` of its `parameters` are weights that formats quantize.

    `hidden` is the width of what one layer hands to the next; with 0, activations of calibration texts are not counted.
    `head` counts the weights of the output layer, tied to the embeddings or not; 0: half of what is not `linear`.
    """

    parameters: int
    linear: int
    layers: int
    kv_heads: int
    head_dim: int
    hidden: int = 0
    head: int = 0


class Model(Record, frozen=True, kw_only=True):
    """A full-precision model that formats are compared against.

    `source` is a folder, `hub:<organisation>/<name>` or a URL; `revision` belongs to the hub. `calibration` says which
    texts are like those that the model is used for, and how many of them calibrated formats need. `shape` is read from
    the model's files if not stated. `tensor_parallel` counts the devices that serve it, 0: as few as hold it.
    Tasks whose documents `context_tokens` do not hold are served with `longest_context_tokens`; 0: none is longer.
    """

    id: str
    source: str
    revision: str = ""
    dtype: str = "bfloat16"
    context_tokens: int
    longest_context_tokens: int = 0
    tensor_parallel: int = 0
    shape: Shape | None = None
    engine: dict[str, Any] = {}
    calibration: Calibration | None = None


Recipe = tuple[tuple[str, dict[str, Any]], ...]  # llm-compressor's modifiers with their arguments, in order


class Search(Record, frozen=True, kw_only=True):
    """An argument of a recipe that is left open: of `values`, the one with the least loss on held-out texts is taken.

    `argument` is written `SmoothQuantModifier.smoothing_strength`. Loss is the mean KL divergence per token of the
    quantized model's next-token distribution from the unquantized one's, over `held_out` texts after the calibration's.
    """

    argument: str
    values: tuple[Any, ...]
    held_out: int = 32


class Mixed(Record, frozen=True, kw_only=True):
    """Mixed precision: linear layers keep the recipe's scheme, except those that suffer most by it, which get `high`.

    Suffering is a layer's own loss (as in `Search`) by the bits that it would cost to spare it. `bits` is the average
    of bits a weight that must not be exceeded, over the linear layers, scales not counted.
    """

    high: str
    bits: float
    held_out: int = 32


class Format(Record, frozen=True, kw_only=True):
    """One way to quantize: a llm-compressor recipe and what serving it needs.

    In a matrix file a recipe is a table (modifier -> arguments), or names a recipe file of llm-compressor in YAML;
    `search` and `mixed` leave a part of it open. The family follows from the recipe's scheme where it is not stated.
    Data-free methods have no `calibration`; an empty one takes the model's. `checkpoint` names files that somebody else
    quantized, a folder or `hub:<organisation>/<name>`: they are gated as they are, and there is no recipe.
    If it has a `competitor`, its average recovery must be proven to lie no more than `margin` below that format's.
    """

    id: str
    purpose: str
    family: Family
    recipe: Recipe = ()
    search: Search | None = None
    mixed: Mixed | None = None
    calibration: Calibration | None = None
    needs: tuple[str, ...] = ()
    competitor: str = ""
    margin: float = 0.02
    checkpoint: str = ""


Chance = Annotated[float, msgspec.Meta(ge=0, lt=1)]  # the rate at which guessing is right
Chances = Chance | dict[str, Chance]  # of a whole task, or of some of its subtasks by lm-eval's name


class Task(Record, frozen=True, kw_only=True):
    """An lm-eval task or group: `lm_eval` is its name there, `folder` holds its YAML and data ("" for lm-eval's own).

    `items` bounds the documents scored: a random subset, the same for every model and format; 0 takes all.
    With `chat_template`, prompts are rendered by the checkpoint's own chat template, few-shot examples as turns of
    their own. `chance` is the rate at which guessing is right, of the whole task or of subtasks by name; where it is
    not stated, it follows from the choices of each document, and is 0 where there are none. `cluster` names the field
    of a document that dependent items share, such as the passage they ask about. `shots` replaces the task's own number
    of few-shot examples; `metadata` goes to a task that makes its documents (RULER's `max_seq_lengths`). `datasets` are
    those on the hub that lm-eval's own tasks read, `resources` what they read besides: URLs, `metric:<name>` of
    `evaluate`, `nltk:<data>`. With `runs_code`, what a model writes is executed, which a run must allow.
    """

    id: str
    type: TaskType
    lm_eval: str
    folder: str = ""
    metric: str
    filter: str = "none"
    chance: Chances | None = None
    items: int = 0
    chat_template: bool = False
    cluster: str = ""
    shots: int | None = None
    metadata: dict[str, Any] = {}
    datasets: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    runs_code: bool = False

    def __hash__(self) -> int:
        """Hash by id: `metadata` has no hash, and equal tasks have equal ids."""
        return hash(self.id)


class Suite(Record, frozen=True, kw_only=True):
    """A declared family of cells: multiplicity is controlled over its tasks, whatever a run selects of them.

    Latency and throughput of its models and formats are measured at its `workloads`.

    `items` bounds the documents of each task, as in `Task`. `definition` is the average that gates: `macro` weighs all
    tasks alike, `item` all items. With `normalised`, each item's score y is judged as (y - c)/(1 - c), c its chance:
    a guess scores 0 on average, and less than 0 is no error. So the Open LLM Leaderboard V2 does (its documentation,
    "Scores Normalization"), which sets the mean of a subtask to 0 where it lies below; here it stays, and items of
    larger subtasks are not worth less.
    """

    id: str
    models: tuple[str, ...]
    formats: tuple[str, ...]
    tasks: tuple[str, ...]
    workloads: tuple[str, ...] = ()
    items: int = 0
    definition: Definition = "macro"
    normalised: bool = False


class Hardware(Record, frozen=True, kw_only=True):
    """What a machine is. `kind` is the hardware class that keys and baselines carry, e.g. `cpu-avx512`.

    `row` names what decides its kernels in the tables of `quant.hardware`, e.g. `sm90`.
    `memory_bytes` is one device's memory, the machine's for CPUs; `host_bytes` that of a GPU's machine. 0 if unknown.
    """

    kind: str
    name: str
    devices: int
    capabilities: frozenset[str]
    driver: str = ""
    memory_bytes: int = 0
    host_bytes: int = 0
    row: str = ""


class Environment(Record, frozen=True, kw_only=True):
    """Everything about a machine that can move a number."""

    hardware: Hardware
    versions: dict[str, str]
    commit: str = ""


class Checkpoint(Record, frozen=True, kw_only=True):
    """A model on disk that an engine can load: a base model or what the quantize stage wrote.

    `files` maps each file that can change an output to its hash; `tensor_bytes` is the size of the weight files.
    `revision` is the commit on the hub that they are from, "" if they are not.
    """

    model: str
    format: str
    path: str
    files: dict[str, str]
    tensor_bytes: int
    seconds: float = 0.0
    choice: dict[str, Any] = {}
    revision: str = ""

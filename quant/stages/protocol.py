"""What a parent asks a stage and what it hears back: one JSON object a line, so a log of them can be read.

Comes in: nothing. Goes out: request and message types. Must not import a heavy library.
"""

from __future__ import annotations

from typing import Any, Literal

from quant.inputs.endpoint import Endpoint
from quant.records import Backend, Chances, Mixed, Place, Recipe, Record, Search, Task
from quant.scores import Item
from quant.workloads import Block, Engine, Peaks, Workload

SCORES, SAMPLES, CHOICE, TIMINGS = "scores.json", "samples.jsonl", "choice.json", "timings.json"
StageName = Literal["quantize", "evaluate", "benchmark"]


class QuantizeRequest(Record, frozen=True, kw_only=True):
    """Quantize the model in `model` by `recipe` into the empty folder `output`.

    `search` and `mixed` leave a part of the recipe open; what was chosen, and why, is written to `choice.json` beside
    the weights. The model lies in `place` meanwhile, with `resident_bytes` of one on disk in the host's memory.
    """

    label: str
    model: str
    output: str
    dtype: str
    recipe: Recipe
    calibration_file: str = ""
    samples: int = 0
    tokens: int = 0
    seed: int = 0
    search: Search | None = None
    mixed: Mixed | None = None
    place: Place = "device"
    resident_bytes: int = 0


class TaskRequest(Record, frozen=True, kw_only=True):
    """One lm-eval task or group; `include` is the folder that holds its YAML ("" for lm-eval's own tasks).

    Documents stand in an order that `seed` alone decides; `items` bounds how many of it the task has (0: all). Scored
    are those from place `start` on, up to the share `share` of the task. With `chat_template`, prompts are rendered by
    the checkpoint's own chat template, few-shot examples as turns of their own. `cluster` names the field of a document
    that items of one cluster share. `shots`, if given, replaces the number of few-shot examples, and `metadata` is what
    lm-eval hands to tasks that make their documents, besides the checkpoint's tokenizer. `chance` as in `Task`.
    `web` maps URLs that the task asks for to local files, which it is given in their place.
    """

    id: str
    lm_eval: str
    include: str
    metric: str
    filter: str
    chat_template: bool = False
    items: int = 0
    seed: int = 0
    start: int = 0
    share: float = 1.0
    cluster: str = ""
    shots: int | None = None
    metadata: dict[str, Any] | None = None
    chance: Chances | None = None
    web: dict[str, str] = {}  # noqa: RUF012 - msgspec gives each record its own

    @classmethod
    def of(cls, task: Task, **beside: Any) -> TaskRequest:
        """Ask for what a task of the matrix declares, and what is said beside it."""
        declared = {name: getattr(task, name) for name in cls.__struct_fields__ if name in task.__struct_fields__}
        return cls(**{**declared, "include": task.folder, **beside})


class EvaluateRequest(Record, frozen=True, kw_only=True):
    """Serve `checkpoint` on `tensor_parallel` devices and score `tasks`, each into `<output>/<task id>/`.

    The engine stays up for the next request of the same checkpoint. `repeat` counts repeated runs: each but the first
    serves in another order and with other batch sizes. The backend `server` asks `endpoint`, and
    needs of `checkpoint` the tokenizer only.
    """

    label: str
    checkpoint: str
    output: str
    backend: Backend
    dtype: str
    context_tokens: int
    engine: dict[str, Any]
    tasks: tuple[TaskRequest, ...]
    repeat: int = 0
    endpoint: Endpoint | None = None
    tensor_parallel: int = 1


class TaskScores(Record, frozen=True, kw_only=True):
    """What `<output>/<task id>/scores.json` holds: the items from place `start` on, of `documents` that the task has.

    `load_seconds` is what the start of the engine took, whether for this request or for an earlier one.
    """

    items: tuple[Item, ...]
    start: int
    documents: int
    seconds: float
    load_seconds: float
    started: float
    engine: dict[str, Any]


class BenchmarkRequest(Record, frozen=True, kw_only=True):
    """Have the checkpoints `base` and `quantized` take turns at a workload; `timings.json` is written into `output`.

    Both stay up for the next request that names them.
    """

    label: str
    base: str
    quantized: str
    output: str
    workload: Workload
    dtype: str
    context_tokens: int
    engine: dict[str, Any]
    tensor_parallel: int = 1


class BlockTimings(Record, frozen=True, kw_only=True):
    """What `timings.json` holds."""

    base: Engine
    quantized: Engine
    blocks: tuple[Block, ...]
    peaks: Peaks


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

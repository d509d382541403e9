"""A task scored as the pipeline scores it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from quant.stages.protocol import SAMPLES, SCORES, EvaluateRequest, TaskRequest, TaskScores

if TYPE_CHECKING:
    from pathlib import Path

    from quant.inputs.endpoint import Endpoint
    from quant.records import Task
    from quant.stages.process import StageProcess

ITEMS = 4


def scored(
    stage: StageProcess, model: Path, output: Path, task: Task, endpoint: Endpoint | None = None, **changes: Any
) -> TaskScores:
    """Score a task by Transformers, or by a server at `endpoint`."""
    request = EvaluateRequest(
        label=task.id,
        checkpoint=str(model),
        output=str(output),
        backend="server" if endpoint else "hf",
        dtype="float32",
        context_tokens=8192,
        engine={},
        tasks=(TaskRequest.of(task, **{"items": ITEMS, **changes}),),
        endpoint=endpoint,
    )
    stage.ask(request, lambda _message: None, timeout_seconds=600)
    return msgspec.json.decode((output / task.id / SCORES).read_bytes(), type=TaskScores)


def samples(output: Path, task: Task) -> list[dict[str, Any]]:
    """Return what the model was asked and what it said."""
    return [json.loads(line) for line in (output / task.id / SAMPLES).read_text().splitlines()]

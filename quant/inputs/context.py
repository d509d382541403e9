"""How many tokens of context a model is served with: as many for a quantized model as for its base.

Comes in: a `Model`, a `Task` or a `Workload`. Goes out: the model as it is served, or a `ModelError` that says what is
too short. Pure. It follows from the two alone, never from the other tasks of a run, so that a score has one key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from quant.errors import ModelError

if TYPE_CHECKING:
    from quant.records import Model, Task
    from quant.workloads import Workload

# Tokens that RULER does not count when it makes documents of a length: chat template, the head of the answer.
BESIDE = 256


def serving(model: Model, task: Task) -> Model:
    """Return the model with the context that a task is served with: its own, or its longest where that is too short."""
    longest = max(task.metadata.get("max_seq_lengths", ()), default=0)
    if not longest or longest + BESIDE <= model.context_tokens:
        return model
    if longest + BESIDE <= model.longest_context_tokens:
        return replace(model, context_tokens=model.longest_context_tokens)
    most = max(model.context_tokens, model.longest_context_tokens)
    raise ModelError(
        f"model {model.id!r}: task {task.id!r} asks in {longest:,} tokens and needs {BESIDE} beside them, but"
        f" `context_tokens` and `longest_context_tokens` are at most {most:,}; raise `longest_context_tokens` if the"
        " model can take it, or leave the task out"
    )


def measured(model: Model, workload: Workload) -> Model:
    """Return the model with the context that a workload is measured with: always its own."""
    if workload.tokens > model.context_tokens:
        raise ModelError(
            f"model {model.id!r}: a request of workload {workload.id!r} takes {workload.tokens:,} tokens"
            f" ({workload.input_tokens:,} and {workload.output_tokens:,} of its answer), but `context_tokens` is"
            f" {model.context_tokens:,}; raise it if the model can take it, or leave the workload out of the suite"
        )
    return model

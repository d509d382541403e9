"""How often guessing an item is right: what the task declares, else one over the number of choices of its document.

Comes in: lm-eval's own task and a document of it. Goes out: a rate in [0, 1]. Runs in the evaluate child only; imports
no heavy library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quant.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Container

    from quant.stages.protocol import TaskRequest

# Those that lm-eval computes itself of multiple choice: 1 where the likeliest choice, by one of three units, is right.
PICKED = ("acc", "acc_norm", "acc_bytes")


def check(task: TaskRequest, subtasks: Container[str]) -> None:
    """Raise `TaskError` if a rate is stated of a subtask that there is not."""
    for name in task.chance if isinstance(task.chance, dict) else ():
        if name not in subtasks:
            raise TaskError(f"task {task.id!r}: `chance` names {name!r}, which is no subtask of {task.lm_eval!r}")


def guessed(subtask: Any, name: str, doc: dict[str, Any], task: TaskRequest) -> float:
    """Return the chance of one document; 0 where nothing is chosen from, or a task scores its choices in its own way.

    Such as TruthfulQA's share of the probability: there a guess scores what its true answers are of all.
    """
    declared = task.chance.get(name) if isinstance(task.chance, dict) else task.chance
    if declared is not None:
        return declared
    if subtask.OUTPUT_TYPE != "multiple_choice" or subtask.config.process_results or task.metric not in PICKED:
        return 0.0
    several = subtask.multiple_target and not subtask.multiple_input
    right = len(set(subtask.doc_to_target(doc))) if several else 1
    return right / len(subtask.doc_to_choice(doc))

"""Each task of each suite, end to end: lm-eval's own task on made-up rows of its data set, by a real engine.

RULER, which makes its documents, has a module of its own.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from quant import reading
from quant.environment import DEFAULT_MATRIX
from tests.suites.scoring import ITEMS, samples, scored

if TYPE_CHECKING:
    from pathlib import Path

    from quant.records import Task
    from quant.stages.process import StageProcess

SUITES = ("openllm-v1", "openllm-v2", "coding", "thirteen")
MATRIX = reading.load(DEFAULT_MATRIX)
TASKS = {task.id: task for suite in SUITES for task in MATRIX.suite_tasks(suite)}
ROWS = {"bbh": 72, "math-hard": 14, "gpqa": 9, "musr": 9, "mmlu-llama": 171, "mmlu-cot-llama": 171, "mmlu": 171}
ROWS |= dict.fromkeys(("humaneval", "humaneval-plus", "mbpp", "mbpp-plus"), 2)
QUICK = ("gpqa", "musr", "mmlu-pro", "mmlu-llama", "arc-challenge", "hellaswag", "winogrande", "truthfulqa")
EACH = [pytest.param(task, marks=() if task.id in QUICK else pytest.mark.slow, id=task.id) for task in TASKS.values()]


@pytest.mark.parametrize("task", EACH)
def test_a_task_is_scored_item_by_item(task: Task, stage: StageProcess, model: Path, tmp_path: Path) -> None:
    found = scored(stage, model, tmp_path, task)
    assert found.documents == ROWS.get(task.id, 3)
    assert len({item.doc_hash for item in found.items}) == min(ITEMS, found.documents)
    assert all(0 <= item.score <= 1 and item.prompt_hash and item.target_hash for item in found.items)


def test_parts_of_a_group_are_the_whole(stage: StageProcess, model: Path, tmp_path: Path) -> None:
    task = TASKS["gpqa"]  # lm-eval shuffles its choices without a seed
    head, rest = (
        scored(stage, model, tmp_path / "a", task, share=0.5),
        scored(stage, model, tmp_path / "b", task, start=2),
    )
    anew = msgspec.structs.replace(task, id="anew")  # another task to the stage, which loads documents once a task
    assert head.items + rest.items == scored(stage, model, tmp_path / "c", anew).items


def test_one_question_in_three_sets_is_one_cluster(stage: StageProcess, model: Path, tmp_path: Path) -> None:
    found = scored(stage, model, tmp_path, TASKS["gpqa"], items=0)
    assert sorted(Counter(item.cluster for item in found.items).values()) == [3, 3, 3]


def test_a_prompt_has_the_shots_that_the_suite_says(stage: StageProcess, model: Path, tmp_path: Path) -> None:
    scored(stage, model, tmp_path, TASKS["arc-challenge"])
    sample = samples(tmp_path, TASKS["arc-challenge"])[0]
    assert sample["arguments"][0][0].count("Question: ") == 1 + 25

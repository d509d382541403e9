"""Each task of each suite, end to end: lm-eval's own task on made-up rows of its data set, by a real engine."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from quant import reading
from quant.environment import DEFAULT_MATRIX, child_environment
from quant.stages.process import StageProcess
from quant.stages.protocol import SAMPLES, SCORES, EvaluateRequest, TaskRequest, TaskScores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from quant.records import Task

SUITES = ("openllm-v1", "openllm-v2", "coding", "long-context", "thirteen")
MATRIX = reading.load(DEFAULT_MATRIX)
TASKS = {task.id: task for suite in SUITES for task in MATRIX.suite_tasks(suite)}
ITEMS = 4
ROWS = {"bbh": 72, "math-hard": 14, "gpqa": 9, "musr": 9, "mmlu-llama": 171, "mmlu-cot-llama": 171, "mmlu": 171}
OFFLINE = {
    "ruler": "the questions of its QA tasks are fetched from the web, not from the hub's cache",
    "humaneval_instruct": "needs the hub's metric code_eval",
    "humaneval_plus": "needs the hub's metric code_eval",
    "mbpp_instruct": "needs the hub's metric code_eval",
    "mbpp_plus_instruct": "needs the hub's metric code_eval",
}


@pytest.fixture(scope="module")
def started() -> Iterator[list[StageProcess]]:
    """Return processes that were started; the last one may live."""
    processes: list[StageProcess] = []
    yield processes
    for process in processes:
        process.close()


@pytest.fixture
def stage(started: list[StageProcess], hub: Path, tmp_path_factory: pytest.TempPathFactory) -> StageProcess:
    """Return the evaluate stage over made-up data sets; a test that fails costs its process."""
    if not (started and started[-1].alive):
        environment = child_environment("cpu") | {"HF_HOME": str(hub), "HF_HUB_OFFLINE": "1"}
        environment.pop("HF_DATASETS_CACHE", None)
        started.append(StageProcess("evaluate", environment, tmp_path_factory.mktemp("log") / "evaluate.log"))
    return started[-1]


def scored(stage: StageProcess, model: Path, output: Path, task: Task, **changes: float) -> TaskScores:
    """Score a task as the pipeline would."""
    asked = TaskRequest(
        id=task.id,
        lm_eval=task.lm_eval,
        include=task.folder,
        metric=task.metric,
        filter=task.filter,
        chat_template=task.chat_template,
        cluster=task.cluster,
        shots=task.shots,
        metadata=task.metadata,
        items=ITEMS,
    )
    request = EvaluateRequest(
        label=task.id,
        checkpoint=str(model),
        output=str(output),
        backend="hf",
        dtype="float32",
        context_tokens=4096,
        engine={},
        tasks=(msgspec.structs.replace(asked, **changes),),
    )
    stage.ask(request, lambda _message: None, timeout_seconds=600)
    return msgspec.json.decode((output / task.id / SCORES).read_bytes(), type=TaskScores)


QUICK = ("gpqa", "musr", "mmlu-pro", "mmlu-llama", "arc-challenge", "hellaswag", "winogrande", "truthfulqa")
EACH = [pytest.param(task, marks=() if task.id in QUICK else pytest.mark.slow, id=task.id) for task in TASKS.values()]


@pytest.mark.parametrize("task", EACH)
def test_a_task_is_scored_item_by_item(task: Task, stage: StageProcess, model: Path, tmp_path: Path) -> None:
    if task.lm_eval in OFFLINE:
        pytest.skip(OFFLINE[task.lm_eval])
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
    assert head.items + rest.items == scored(stage, model, tmp_path / "c", task).items


def test_one_question_in_three_sets_is_one_cluster(stage: StageProcess, model: Path, tmp_path: Path) -> None:
    found = scored(stage, model, tmp_path, TASKS["gpqa"], items=0)
    assert sorted(Counter(item.cluster for item in found.items).values()) == [3, 3, 3]


def test_a_prompt_has_the_shots_that_the_suite_says(stage: StageProcess, model: Path, tmp_path: Path) -> None:
    scored(stage, model, tmp_path, TASKS["arc-challenge"])
    sample = json.loads((tmp_path / "arc-challenge" / SAMPLES).read_text().splitlines()[0])
    assert sample["arguments"][0][0].count("Question: ") == 1 + 25

"""What the suites declare is what the installed lm-eval has: tasks, metrics, filters, shots, data sets.

Shots and suites follow arXiv:2411.02355, section 4, and arXiv:2409.11055, section 3.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quant import reading
from quant.environment import DEFAULT_MATRIX

if TYPE_CHECKING:
    from quant.records import Task

Installed = dict[str, list[dict[str, Any]]]

MATRIX = reading.load(DEFAULT_MATRIX)
SUBTASKS = {
    "mmlu-llama": 57,
    "mmlu-cot-llama": 57,
    "mmlu": 57,
    "bbh": 24,
    "math-hard": 7,
    "gpqa": 3,
    "musr": 3,
    **dict.fromkeys((f"ruler-{length}k" for length in (4, 8, 16, 32, 64, 128)), 13),
}
SHOTS = {
    "mmlu-llama": 5,
    "mmlu-cot-llama": 0,
    "arc-challenge-llama": 0,
    "gsm8k-llama": 8,
    "hellaswag": 10,
    "winogrande": 5,
    "truthfulqa": 0,
    "ifeval": 0,
    "bbh": 3,
    "math-hard": 4,
    "gpqa": 0,
    "gpqa-main": 0,
    "musr": 0,
    "mmlu-pro": 5,
    "arc-challenge": 25,
    "mmlu": 5,
    "gsm8k": 5,
}


# Folders of lm-eval's tasks whose code fetches something itself.
FOLDERS = {
    "humaneval_instruct": "humaneval",
    "humaneval_plus": "humaneval",
    "leaderboard_ifeval": "leaderboard/ifeval",
    "mbpp_instruct": "mbpp",
    "mbpp_plus_instruct": "mbpp",
    "ruler": "ruler",
}
HOME = Path(str(importlib.metadata.distribution("lm-eval").locate_file("lm_eval/tasks")))


def metrics(config: dict[str, Any]) -> set[str]:
    """Names of the metrics that a configuration's samples hold; pass_at_k gives one for each k."""
    found = set()
    for entry in config["metric_list"]:
        name = str(entry["metric"]).rpartition("utils.")[2]
        found |= {f"pass@{k}" for k in entry["k"]} if name == "pass_at_k" else {name}
    return found


def test_a_task_is_there_with_all_its_subtasks(task: Task, installed: Installed) -> None:
    assert len(installed[task.lm_eval]) == SUBTASKS.get(task.id, 1)


def test_every_subtask_has_the_metric(task: Task, installed: Installed) -> None:
    lengths = {str(length) for length in task.metadata.get("max_seq_lengths", ())}  # RULER's metric is the length
    assert all(task.metric in metrics(config) | lengths for config in installed[task.lm_eval])


def test_every_subtask_has_the_filter(task: Task, installed: Installed) -> None:
    known = [[entry["name"] for entry in c.get("filter_list", [{"name": "none"}])] for c in installed[task.lm_eval]]
    assert all(task.filter in names for names in known)


def test_shots_are_those_of_the_paper(task: Task) -> None:
    assert task.shots == SHOTS.get(task.id, 3 if task.id == "mbpp" else None)


def test_the_data_sets_are_those_that_lm_eval_reads(task: Task, installed: Installed) -> None:
    read = {config["dataset_path"] for config in installed[task.lm_eval]} - {""}
    assert set(task.datasets) == (read or {"baber/paul_graham_essays"})  # RULER's loader names its own


def test_the_resources_are_those_that_lm_evals_code_asks_for(task: Task) -> None:
    folder = HOME / FOLDERS[task.lm_eval] if task.lm_eval in FOLDERS else None
    code = "".join(file.read_text() for file in sorted(folder.glob("*.py"))) if folder else ""
    asked = set(re.findall(r'"(https://\S+\.json)"', code))
    asked |= {f"metric:{name}" for name in re.findall(r'evaluate\.load\("(\w+)"\)', code)}
    asked |= {f"nltk:{name}" for name in re.findall(r'nltk\.data\.find\("(\S+)"\)', code)}
    assert set(task.resources) == asked


def test_a_task_runs_code_if_lm_eval_calls_it_unsafe(task: Task, installed: Installed) -> None:
    assert all(task.runs_code == config.get("unsafe_code", False) for config in installed[task.lm_eval])


def test_ruler_makes_documents_of_the_length_that_its_metric_names() -> None:
    tasks = MATRIX.suite_tasks("long-context")
    assert [task.metric for task in tasks] == [str(task.metadata["max_seq_lengths"][0]) for task in tasks]


@pytest.mark.parametrize(("suite", "columns"), [("openllm-v1", 7), ("openllm-v2", 6), ("thirteen", 12)])
def test_a_suite_has_as_many_columns_as_the_papers_table(suite: str, columns: int) -> None:
    assert len(MATRIX.suites[suite].tasks) == columns

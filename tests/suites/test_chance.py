"""Each item of each task has the rate at which guessing it is right, by lm-eval's own tasks on made-up rows.

Those of V2 are the random baselines of the Open LLM Leaderboard (its documentation, "Scores Normalization"); the
made-up teams of MuSR have two members, not three.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from quant import reading
from quant.environment import DEFAULT_MATRIX, ROOT
from quant.stages.protocol import TaskRequest
from tests.suites.scoring import scored

if TYPE_CHECKING:
    from pathlib import Path

    from quant.stages.process import StageProcess

MATRIX = reading.load(DEFAULT_MATRIX)
READ = """
import json, sys
import msgspec
from quant.stages.chance import check, guessed
from quant.stages.documents import load
from quant.stages.protocol import TaskRequest

found = {}
for task in msgspec.json.decode(sys.argv[1], type=list[TaskRequest]):
    documents = load(task, "")
    check(task, documents.subtasks)
    found[task.id] = {
        name: sorted({guessed(subtask, name, doc, task) for doc in subtask.eval_docs})
        for name, subtask in documents.subtasks.items()
    }
json.dump(found, sys.stdout)
"""
CHOICES = {
    "boolean_expressions": 2,
    "causal_judgement": 2,
    "date_understanding": 6,
    "disambiguation_qa": 3,
    "formal_fallacies": 2,
    "geometric_shapes": 11,
    "hyperbaton": 2,
    "logical_deduction_five_objects": 5,
    "logical_deduction_seven_objects": 7,
    "logical_deduction_three_objects": 3,
    "movie_recommendation": 6,
    "navigate": 2,
    "object_counting": 19,
    "penguins_in_a_table": 5,
    "reasoning_about_colored_objects": 18,
    "ruin_names": 6,
    "salient_translation_error_detection": 6,
    "snarks": 2,
    "sports_understanding": 2,
    "temporal_sequences": 4,
    "tracking_shuffled_objects_five_objects": 5,
    "tracking_shuffled_objects_seven_objects": 7,
    "tracking_shuffled_objects_three_objects": 3,
    "web_of_lies": 2,
}
MUSR = {"murder_mysteries": [0.5], "object_placements": [0.2], "team_allocation": [0.5]}
ONE_RATE = {
    "ifeval": [0.0],
    "math-hard": [0.0],
    "gpqa": [0.25],
    "gpqa-main": [0.25],
    "mmlu-pro": [0.1],
    "hellaswag": [0.25],
    "winogrande": [0.5],
    "arc-challenge": [0.25],
    "arc-challenge-llama": [0.25],
    "truthfulqa": [0.0],  # nobody says: a guess gets the share of true answers, another for each question
    "gsm8k": [0.0],
}

Rates = dict[str, dict[str, list[float]]]


def asked(name: str) -> TaskRequest:
    """Return the request that a task of the matrix makes."""
    return TaskRequest.of(MATRIX.tasks[name])


def read(offline: dict[str, str], *requests: TaskRequest) -> subprocess.CompletedProcess[str]:
    given = msgspec.json.encode(requests).decode()
    command = [sys.executable, "-W", "ignore", "-c", READ, given]
    return subprocess.run(command, env=offline, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def rates(offline: dict[str, str]) -> Rates:
    """Return the rates that the documents of each subtask have, rising."""
    ran = read(offline, *map(asked, ("bbh", "musr", *ONE_RATE)))
    assert ran.returncode == 0, ran.stderr
    found: Rates = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", ONE_RATE)
def test_every_document_of_a_task_is_guessed_at_its_rate(name: str, rates: Rates) -> None:
    assert {tuple(found) for found in rates[name].values()} == {tuple(ONE_RATE[name])}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mmlu", "mmlu-llama", "mmlu-cot-llama"])
def test_every_document_of_mmlu_has_four_choices(name: str, offline: dict[str, str]) -> None:
    found: Rates = json.loads(read(offline, asked(name)).stdout.splitlines()[-1])
    assert {tuple(each) for each in found[name].values()} == {(0.25,)}


def test_the_subtasks_of_bbh_have_the_baselines_of_the_leaderboard(rates: Rates) -> None:
    assert rates["bbh"] == {f"leaderboard_bbh_{name}": [1 / count] for name, count in CHOICES.items()}


def test_the_subtasks_of_musr_have_the_rates_of_their_choices_or_what_is_stated(rates: Rates) -> None:
    assert rates["musr"] == {f"leaderboard_musr_{name}": rate for name, rate in MUSR.items()}


@pytest.mark.parametrize(("name", "expected"), [("musr", {0.5, 0.2}), ("mmlu-pro", {0.1}), ("gpqa", {0.25})])
def test_the_items_that_an_engine_scored_carry_the_rate(
    name: str, expected: set[float], stage: StageProcess, model: Path, tmp_path: Path
) -> None:
    found = scored(stage, model, tmp_path, MATRIX.tasks[name], items=0)
    assert {item.chance for item in found.items} == expected


MANY = """
task: many
custom_dataset: !function items.load
output_type: multiple_choice
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: !function items.right
metric_list:
  - metric: acc
"""
ITEMS = """
from datasets import Dataset

def load(**_):
    rows = [{"question": "Which float?", "choices": ["wood", "stone", "cork", "iron"], "right": [0, 2]}]
    return {"test": Dataset.from_list(rows)}

def right(doc):
    return doc["right"]
"""


def test_a_guess_is_right_as_often_as_choices_are_and_never_where_none_is_picked(
    offline: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "many.yaml").write_text(MANY)
    (tmp_path / "items.py").write_text(ITEMS)
    picked = TaskRequest(id="picked", lm_eval="many", include=str(tmp_path), metric="acc", filter="none")
    greedy = msgspec.structs.replace(picked, id="greedy", metric="exact_match")
    found = json.loads(read(offline, picked, greedy).stdout.splitlines()[-1])
    assert found == {"picked": {"many": [0.5]}, "greedy": {"many": [0.0]}}

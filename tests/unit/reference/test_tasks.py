"""The committed items of the reference tasks: made by the generators, right, balanced, and not in the training text."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fixtures.reference import make, mixture
from fixtures.reference.tasks import arithmetic, facts, retrieval

SPLITS = [(name, split) for name, task in make.TASKS.items() for split in task.SIZES]
SLICE = 20_000  # documents; the chance that training text made from millions holds an item is cut to zero by reserved()


def committed(name: str, split: str) -> str:
    return (Path(make.DATA) / "tasks" / name / f"{split}.jsonl").read_text(encoding="utf-8")


def items(name: str, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in committed(name, split).splitlines()]


def prompts(name: str) -> list[str]:
    return [make.TASKS[name].prompt(item) for split in ("test", "tune") for item in items(name, split)]


@pytest.fixture(scope="module")
def training_text() -> str:
    return "\n\n".join(islice(mixture.documents(0), SLICE))


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_generators_make_the_committed_items_byte_for_byte(name: str, split: str) -> None:
    assert make.lines(make.TASKS[name].items(split)) == committed(name, split)


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_every_answer_is_what_the_solver_finds(name: str, split: str) -> None:
    wrong = [
        item["id"]
        for item in items(name, split)
        if make.TASKS[name].solve(item) != item.get("answer", item.get("gold"))
    ]
    assert wrong == []


@pytest.mark.parametrize("name", make.TASKS)
def test_no_prompt_occurs_twice_over_test_and_tune(name: str) -> None:
    assert [prompt for prompt, count in Counter(prompts(name)).items() if count > 1] == []


def test_each_choice_is_right_as_often_as_any_other() -> None:
    counts = Counter(item["gold"] for item in items("facts", "test"))
    assert sorted(counts.values()) == [312, 312, 313, 313]


def test_choices_are_four_different_values_of_one_kind() -> None:
    assert {len(set(item["choices"])) for split in ("test", "tune") for item in items("facts", split)} == {4}


def test_every_binding_of_a_passage_is_said_in_it() -> None:
    unsaid = [
        item["id"]
        for item in items("retrieval", "test")
        if any(part not in item["passage"] for binding in item["bindings"] for part in binding)
    ]
    assert unsaid == []


@pytest.mark.parametrize("name", make.TASKS)
def test_training_text_holds_no_prompt(name: str, training_text: str) -> None:
    assert [prompt for prompt in prompts(name) if prompt.removesuffix("\nAnswer:") in training_text] == []


def test_training_text_asks_for_no_fact_that_is_held_out(training_text: str) -> None:
    asked = {line.removeprefix("Question: ") for line in training_text.splitlines() if line.startswith("Question: ")}
    held_out = {
        template.format(n=name) for name, attribute in facts.reserved() for template in facts.QUESTIONS[attribute]
    }
    assert asked & held_out == set()


def test_training_text_states_the_facts_that_are_held_out(training_text: str) -> None:
    often = [name for name, _ in facts.held_out()["test"] if facts.level(facts.entities()[name]) == 1]
    assert [name for name in often if name not in training_text] == []


def test_calibration_text_holds_no_prompt() -> None:
    lines = (make.DATA / "calibration/world.jsonl").read_text(encoding="utf-8").splitlines()
    text = "\n".join(json.loads(line)["text"] for line in lines)
    assert [prompt for name in make.TASKS for prompt in prompts(name) if prompt.removesuffix("\nAnswer:") in text] == []


def test_steps_of_a_wrong_item_are_refused() -> None:
    with pytest.raises(ValueError, match="2\\+2 is not 5"):
        arithmetic.solve({"id": "x", "steps": "2+2=5."})


def test_a_thing_that_was_moved_is_where_it_was_moved_to() -> None:
    bindings = [["Mira", "cup", "red box"], ["Mira", "cup", "blue jar"]]
    assert retrieval.solve({"question": "Where is the cup of Mira?", "bindings": bindings}) == "the blue jar"

"""The committed items of the reference tasks: made by the generators, right, balanced, and not in the training text."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fixtures.reference import make, mixture, packing, sizes
from fixtures.reference.tasks import arithmetic, facts

SPLITS = [(name, split) for name, task in make.TASKS.items() for split in task.SIZES]
DOCUMENTS = 20_000  # of the millions in training; what keeps items out of all of them is each generator's reserved()


def committed(name: str, split: str) -> str:
    return (Path(make.DATA) / "tasks" / name / f"{split}.jsonl").read_text(encoding="utf-8")


def items(name: str, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in committed(name, split).splitlines()]


def prompts(name: str) -> list[str]:
    return [make.TASKS[name].prompt(item) for split in ("test", "tune") for item in items(name, split)]


def expected(item: dict[str, Any]) -> Any:
    return next(item[key] for key in ("answer", "gold", "text") if key in item)


def segments(text: str) -> list[str]:
    """Split at line ends and special tokens: what training text and prompts share, if they share anything."""
    return re.split(r"\n|<\|\w+\|>", text)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class Training:
    """Training documents by the hashes of their segments."""

    def __init__(self, documents: list[str]) -> None:
        self.documents = documents
        self.places: dict[bytes, list[int]] = defaultdict(list)
        for place, document in enumerate(documents):
            for segment in set(segments(document)):
                self.places[digest(segment)].append(place)

    def holds(self, prompt: str) -> bool:
        """Whether a document holds the prompt: first by the hash of its longest segment, then in full."""
        asked = prompt.removesuffix("\nAnswer:")
        return any(asked in self.documents[place] for place in self.places[digest(max(segments(asked), key=len))])


@pytest.fixture(scope="module")
def training() -> Training:
    return Training(list(islice(mixture.documents(0), DOCUMENTS)))


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_generators_make_the_committed_items_byte_for_byte(name: str, split: str) -> None:
    assert make.lines(make.TASKS[name].items(split)) == committed(name, split)


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_every_answer_is_what_the_solver_finds(name: str, split: str) -> None:
    assert [item["id"] for item in items(name, split) if make.TASKS[name].solve(item) != expected(item)] == []


@pytest.mark.parametrize("name", make.TASKS)
def test_no_prompt_occurs_twice_over_test_and_tune(name: str) -> None:
    assert [prompt for prompt, count in Counter(prompts(name)).items() if count > 1] == []


@pytest.mark.parametrize("name", make.TASKS)
def test_a_task_has_a_thousand_items_and_several_levels(name: str) -> None:
    found = items(name, "test")
    assert (1000 <= len(found) <= 4000, len({item["level"] for item in found}) > 3) == (True, True)


@pytest.mark.parametrize("name", make.TASKS)
def test_a_prompt_leaves_room_for_its_answer(name: str) -> None:
    encoded = packing.tokenizer().encode_batch(
        [f"{make.TASKS[name].prompt(item)} {expected(item)}" for item in items(name, "test")]
    )
    assert max(len(encoding.ids) for encoding in encoded) < sizes.CONTEXT


@pytest.mark.parametrize("name", ["commonsense", "facts"])
def test_each_choice_is_right_as_often_as_any_other(name: str) -> None:
    counts = Counter(item["gold"] for item in items(name, "test")).values()
    assert (len(counts), max(counts) - min(counts) <= 1) == (4, True)


@pytest.mark.parametrize("name", ["commonsense", "facts"])
def test_choices_are_four_different_values(name: str) -> None:
    assert {len(set(item["choices"])) for split in ("test", "tune") for item in items(name, split)} == {4}


@pytest.mark.parametrize("name", make.TASKS)
def test_training_text_holds_no_prompt(name: str, training: Training) -> None:
    assert [prompt for prompt in prompts(name) if training.holds(prompt)] == []


def test_a_prompt_in_the_training_text_would_be_found() -> None:
    assert Training(["One.\n\nQuestion: What is it?\nAnswer: A horn."]).holds("Question: What is it?\nAnswer:")


def test_training_text_asks_for_no_fact_that_is_held_out(training: Training) -> None:
    asked = {
        f"Question: {template.format(n=name)}"
        for name, attribute in facts.reserved()
        for template in facts.QUESTIONS[attribute]
    }
    assert [question for question in asked if training.places[digest(question)]] == []


def test_training_text_states_the_facts_that_are_held_out(training: Training) -> None:
    often = [name for name, _ in facts.held_out()["test"] if facts.level(facts.entities()[name]) == 1]
    text = "\n".join(training.documents)
    assert [name for name in often if name not in text] == []


def test_calibration_text_holds_no_prompt() -> None:
    lines = (make.DATA / "calibration/world.jsonl").read_text(encoding="utf-8").splitlines()
    calibration = Training([json.loads(line)["text"] for line in lines])
    assert [prompt for name in make.TASKS for prompt in prompts(name) if calibration.holds(prompt)] == []


def test_steps_of_a_wrong_item_are_refused() -> None:
    with pytest.raises(ValueError, match="2\\+2 is not 5"):
        arithmetic.solve({"id": "x", "steps": "2+2=5."})

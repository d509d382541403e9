"""The task `instruction`: its checks take right answers and refuse wrong ones, strictly and loosely."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.data.tasks.instruction import scoring
from fixtures.reference import make
from fixtures.reference.tasks import instruction

FOLDER = Path(make.DATA) / "tasks" / "instruction"
ANIMALS = {"category": "animals"}
SEMICOLONS = {**ANIMALS, "count": "2", "separator": ";"}

RIGHT_AND_WRONG = [
    ("a category", ANIMALS, "goat, cat", "goat, drum"),
    ("no word twice", ANIMALS, "goat, cat", "goat, goat"),
    ("a list's own capitals", {"category": "months"}, "Budmonth", "budmonth"),
    ("a word to repeat", {"word": "kite"}, "kite, kite", "kite, key"),
    ("a count", {**ANIMALS, "count": "2"}, "goat and cat", "goat and cat and dog"),
    ("a count of repetitions", {"word": "kite", "count": "3"}, "kite, kite, kite", "kite, kite"),
    ("a total", {"words": "3", "begin": "list", **ANIMALS}, "list goat, cat", "list goat, cat, dog"),
    ("commas", {**ANIMALS, "separator": ","}, "goat, cat", "goat; cat"),
    ("semicolons", {**ANIMALS, "separator": ";"}, "goat; cat; dog", "goat; cat, dog"),
    ("slashes", {**ANIMALS, "separator": "/"}, "goat/cat", "goat - cat"),
    ("dashes", {**ANIMALS, "separator": "-"}, "goat - cat", "goat, cat"),
    ("the word and", {**ANIMALS, "separator": "and"}, "goat and cat and dog", "goat, cat and dog"),
    ("lines", {**ANIMALS, "separator": "\n"}, "goat\ncat", "goat\ncat, dog"),
    ("numbers", {**ANIMALS, "mark": "number"}, "1. goat, 2. cat", "1. goat, 3. cat"),
    ("a number for each", {**ANIMALS, "mark": "number"}, "1) goat\n2) cat", "1) goat\ncat"),
    ("stars", {**ANIMALS, "mark": "star"}, "* goat, * cat", "* goat, cat"),
    ("capitals", {**ANIMALS, "case": "upper"}, "GOAT, CAT", "GOAT, Cat"),
    ("capitals of framing words", {**ANIMALS, "case": "upper", "end": "done"}, "GOAT DONE", "GOAT done"),
    ("small letters", {"category": "months", "case": "lower"}, "budmonth", "Budmonth"),
    ("capital first letters", {**ANIMALS, "case": "title", "begin": "list"}, "list Goat, Cat", "list Goat, cat"),
    ("brackets around the list", {**ANIMALS, "around": "[]"}, "[goat, cat]", "[goat], [cat]"),
    ("quotation marks around the list", {**ANIMALS, "around": '""'}, '"goat, cat"', '"goat, cat'),
    ("brackets around the list alone", {**ANIMALS, "around": "()", "end": "key"}, "(goat, cat) key", "(goat, cat key)"),
    ("brackets around numbers with brackets", {**ANIMALS, "around": "()"}, "(1) goat, 2) cat)", "1) goat, 2) cat)"),
    ("brackets around each", {**ANIMALS, "each": "()"}, "(goat), (cat)", "(goat, cat)"),
    ("quotation marks around each", {**ANIMALS, "each": '""'}, '1. "goat", 2. "cat"', '1. "goat", 2. cat'),
    ("a first word", {**ANIMALS, "begin": "list"}, "list: goat, cat", "goat, list"),
    ("a first word that is whole", {**ANIMALS, "begin": "list"}, "list\ngoat", "listgoat"),
    ("a last word", {**ANIMALS, "end": "done"}, "goat, cat, done", "goat, cat, done."),
    ("a wanted member", {**ANIMALS, "with": "goat"}, "cat, goat", "cat, dog"),
    ("an unwanted member", {**ANIMALS, "without": "goat"}, "cat, dog", "cat, goat"),
    ("the alphabet", {**ANIMALS, "order": "up"}, "cat, dog, goat", "cat, goat, dog"),
    ("the alphabet from its end", {**ANIMALS, "order": "down"}, "goat, dog, cat", "cat, dog, goat"),
    ("lengths", {**ANIMALS, "order": "length"}, "dog, cat, goat, mule", "dog, goat, cat"),
]
FORGIVEN = {
    "white space": " goat; cat\n",
    "a final full stop": "goat; cat.",
    "capitals": "Goat; CAT",
    "a first line": "Here you are:\ngoat; cat",
    "a last line": "goat; cat\nThat is all.",
    "both": "Sure.\ngoat; cat\nDone.",
}
NOT_FORGIVEN = {
    "another separator": "goat, cat",
    "a word too many": "goat; cat; dog",
    "a foreign word": "goat; drum",
    "words on the line": "Here: goat; cat",
    "two lines too many": "Well\nSure\ngoat; cat",
    "nothing": "",
}


@cache
def committed(split: str) -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines())


def disturb(text: str, rng: random.Random) -> str:
    """Change a text somewhere: cut it, double a character, swap capitals, or add to it."""
    place = rng.randrange(len(text) + 1)
    return rng.choice((
        text[:place],
        text[place:],
        text[:place] + text[place - 1 :],
        text.swapcase(),
        f"{text}.",
        f" {text}\n",
        f"Sure\n{text}",
    ))  # fmt: skip


@pytest.mark.parametrize("split", instruction.SIZES)
def test_every_reference_answer_is_strictly_right(split: str) -> None:
    wrong = [item["id"] for item in committed(split) if not scoring.strict(item["answer"], dict(item["rules"]))]
    assert wrong == []


def test_every_answer_that_training_text_gives_is_strictly_right() -> None:
    rng = random.Random(1)
    drawn = [instruction.draw(rng) for _ in range(5000)]
    given = [(instruction.answer(one["rules"], rng), one["rules"]) for one in drawn]
    assert [pair for pair in given if not scoring.strict(pair[0], dict(pair[1]))] == []


@pytest.mark.parametrize(
    ("rules", "right"), [case[1:3] for case in RIGHT_AND_WRONG], ids=[c[0] for c in RIGHT_AND_WRONG]
)
def test_a_rule_takes_a_right_text(rules: dict[str, str], right: str) -> None:
    assert scoring.strict(right, rules)


@pytest.mark.parametrize(
    ("rules", "wrong"), [case[1::2] for case in RIGHT_AND_WRONG], ids=[c[0] for c in RIGHT_AND_WRONG]
)
def test_a_rule_refuses_a_wrong_text(rules: dict[str, str], wrong: str) -> None:
    assert not scoring.strict(wrong, rules)


def test_the_table_has_every_rule_of_the_items() -> None:
    stated = {kind for item in committed("test") for kind, _ in item["rules"]}
    assert stated - {kind for _, rules, _, _ in RIGHT_AND_WRONG for kind in rules} == set()


def test_what_is_strictly_right_is_loosely_right_after_any_disturbance() -> None:
    rng = random.Random(2)
    disturbed = [(disturb(item["answer"], rng), dict(item["rules"])) for item in committed("test")]
    assert [pair for pair in disturbed if scoring.strict(*pair) and not scoring.loose(*pair)] == []


@pytest.mark.parametrize("text", FORGIVEN.values(), ids=FORGIVEN)
def test_loose_forgives(text: str) -> None:
    assert scoring.loose(text, SEMICOLONS)


@pytest.mark.parametrize("text", NOT_FORGIVEN.values(), ids=NOT_FORGIVEN)
def test_loose_does_not_forgive(text: str) -> None:
    assert not scoring.loose(text, SEMICOLONS)


def test_loose_does_not_forgive_capitals_that_a_rule_asks_for() -> None:
    assert not scoring.loose("goat; cat", {**SEMICOLONS, "case": "upper"})


def test_a_full_stop_after_the_last_word_is_loosely_right_only() -> None:
    doc = {"rules": [["category", "animals"], ["end", "done"]]}
    assert scoring.process_results(doc, ["goat, cat done."]) == {"strict": 0, "loose": 1}


def test_checks_know_the_lists_of_the_generator() -> None:
    assert {name: tuple(members.split()) for name, members in scoring.MEMBERS.items()} == instruction.MEMBERS


def test_no_two_rules_are_said_alike() -> None:
    said = Counter(
        sentence for rules in set(instruction.meanings().values()) for sentence in instruction.sentences(*rules)
    )
    assert [sentence for sentence, count in said.items() if count > 1] == []


def test_a_level_up_to_four_is_the_number_of_rules() -> None:
    request = {"category", "count", "word"}
    wrong = [
        item["id"]
        for item in committed("test")
        if item["level"] < 5 and sum(kind not in request for kind, _ in item["rules"]) != item["level"]
    ]
    assert wrong == []


def test_chance_is_the_best_constant_answer_rounded_up() -> None:
    """Tried for every request: the first members in every form with a separator, marks and signs around."""
    asked = defaultdict(list)
    for item in committed("test"):
        asked[tuple(map(tuple, item["rules"][:2]))].append(dict(item["rules"]))
    forms = list(product(*(sorted(set(instruction.SLOTS[slot])) for slot in ("separator", "mark", "enclose"))))
    best = max(
        sum(scoring.strict(instruction.answer([*request, *form]), rules) for rules in asked[request])
        for request in asked
        if request[1][0] == "count"
        for form in forms
    )
    metadata = (FOLDER / "instruction.yaml").read_text(encoding="utf-8").partition("metadata:")[2]
    assert math.ceil(100 * best / 1000) / 100 == yaml.safe_load(metadata)["chance"]

"""The task commonsense: one right choice a question, none that gives itself away, answers as everybody knows them."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from fixtures.reference import sayings
from fixtures.reference.tasks import commonsense
from fixtures.reference.things import things


@cache
def drawn(count: int = 20_000) -> list[dict[str, Any]]:
    rng = random.Random("test/commonsense")
    return [commonsense.draw(rng) for _ in range(count)]


def share_right(items: list[dict[str, Any]], least: int) -> list[float]:
    """Return, for each choice offered often enough, how often it is right."""
    offered = Counter(choice for item in items for choice in item["choices"])
    right = Counter(item["choices"][item["gold"]] for item in items)
    return [right[choice] / count for choice, count in offered.items() if count >= least]


def test_each_place_is_right_equally_often() -> None:
    assert Counter(item["gold"] for item in commonsense.items("test")) == {0: 250, 1: 250, 2: 250, 3: 250}


def test_choices_are_four_different_words() -> None:
    assert {len(set(item["choices"])) for item in drawn()} == {4}


def test_every_drawn_question_has_one_right_choice_and_it_is_the_one_named() -> None:
    assert [item for item in drawn() if commonsense.solve({"id": "drawn", **item}) != item["gold"]] == []


def test_a_question_that_names_its_choices_names_them_in_the_order_in_which_they_are_scored() -> None:
    shown = [item for item in commonsense.items("test") if item["question"] not in commonsense.open_questions()]
    assert [i["id"] for i in shown if not i["question"].endswith(": {}, {}, {} or {}?".format(*i["choices"]))] == []


def test_no_thing_is_right_much_more_or_less_often_than_others_when_it_is_offered() -> None:
    shown = [item for item in drawn() if item["question"] not in commonsense.open_questions()]
    shares = share_right(shown, least=250)  # standard error at most 0.03; measured on 100,000 draws: 0.16 to 0.32
    assert 0.05 < min(shares) < max(shares) < 0.45


def test_no_value_is_right_more_often_than_two_in_three_times_when_it_is_offered() -> None:
    hidden = [item for item in drawn() if item["question"] in commonsense.open_questions()]
    assert max(share_right(hidden, least=50)) < 0.67  # standard error at most 0.07; measured on 100,000 draws: 0.48


def test_what_a_held_out_question_asks_is_asked_in_other_words_in_training() -> None:
    never = [
        (attribute, name)
        for attribute, templates in sayings.ASK.items()
        for name in sayings.values(attribute)
        if {template.format(a=things()[name].one) for template in templates} <= commonsense.reserved()
    ]
    assert never == []


def test_no_choice_is_the_start_of_another_choice() -> None:
    names = sorted(things())
    assert [pair for pair in pairwise(names) if pair[1].startswith(pair[0])] == []


def test_no_phrase_holds_the_word_that_joins_two_phrases() -> None:
    assert [phrase for phrase in sayings.truths() if " and " in phrase] == []


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which of these floats on water: key, plank, pebble or needle?", "plank"),
        ("Which one breaks when it falls: boot, hammer, cup or blanket?", "cup"),
        ("Which of these is the heaviest: feather, mouse, goat or tower?", "tower"),
        ("Which one is the smallest: bee, boot, cow or mouse?", "bee"),
        ("Which of these is made of the same stuff as a cup: boot, jug, ring or map?", "jug"),
        ("Which one is made of iron and is sharp: kettle, arrow, knife or anvil?", "knife"),
        ("Which of these is not a bird: owl, hen, pear or duck?", "pear"),
    ],
)
def test_the_solver_knows_what_everybody_knows(question: str, answer: str) -> None:
    choices = question.removesuffix("?").split(": ")[1].replace(" or ", ", ").split(", ")
    assert choices[commonsense.solve({"id": "x", "question": question, "choices": choices})] == answer


def test_an_item_with_two_right_choices_is_refused() -> None:
    item = {
        "id": "x",
        "question": "Which one has wings: owl, hen, cow or dog?",
        "choices": ["owl", "hen", "cow", "dog"],
    }
    with pytest.raises(ValueError, match=r"x: right are \['owl', 'hen'\]"):
        commonsense.solve(item)


def test_a_mark_said_of_a_thing_wins_over_the_rule_for_its_stuff() -> None:
    assert "floats" not in things()["cart"].marks  # wood floats; of a cart it is unclear

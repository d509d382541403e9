"""Conversations: what they ask is said in them, answers are scored by their end, pronouns have one reading."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from functools import cache
from typing import Any

import jinja2
import pytest
import yaml

from fixtures.reference import make
from fixtures.reference.tasks import dialogue, facts
from fixtures.reference.tasks.talk import Talk
from fixtures.reference.tokenizer import CHAT_TEMPLATE
from quant.inputs.tasks import _Loader

FOLDER = make.DATA / "tasks/dialogue"
LESSONS = 2000


def pattern() -> str:
    config = yaml.load((FOLDER / "dialogue.yaml").read_text(), Loader=_Loader)  # noqa: S506 - a SafeLoader
    return str(config["filter_list"][0]["filter"][0]["regex_pattern"])


def items(split: str = "test") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{split}.jsonl").read_text().splitlines()]


@cache
def lessons() -> list[str]:
    rng = random.Random("test")
    return [dialogue.lesson(rng) for _ in range(LESSONS)]


def questions_of_people(text: str) -> set[tuple[str, str]]:
    """Find (name, attribute) of every question on a person of the land, also with a pronoun."""
    found, name = set(), ""
    for turn in re.findall(r"<\|user\|>([^<]+)", text):
        for attribute, (_, asks) in dialogue.OTHER.items():
            if match := re.search(asks.replace("?", r"\?").replace("{n}", r"(\w+ \w+|she|he)").lower(), turn.lower()):
                name = match[1] if " " in match[1] else name
                found.add((name.title(), attribute))
    return found


@pytest.mark.parametrize("level", dialogue.LEVELS)
def test_the_scored_end_of_a_right_sentence_is_the_answer(level: int) -> None:
    rng = random.Random(level)
    asked = [dialogue.start(rng, level)[1] for _ in range(300)]
    scored = re.compile(pattern())
    assert [a for a in asked if scored.findall(a.sentence) != [a.answer]] == []


def test_a_sentence_that_ends_otherwise_is_scored_otherwise() -> None:
    assert re.findall(pattern(), "You never miss the Day of Kites.") == ["Day of Kites"]


def test_every_conversation_has_two_to_five_turns_of_the_user_and_ends_with_one() -> None:
    assert {len(item["turns"]) for item in items()} == {3, 5, 7, 9}


def test_turns_alternate() -> None:
    assert {tuple(turn["role"] for turn in item["turns"][:3]) for item in items()} == {("user", "assistant", "user")}


def test_no_constant_answer_is_right_more_often_than_the_yaml_says() -> None:
    (_, most), *_ = Counter(item["answer"] for item in items()).most_common(1)
    assert most / len(items()) == 0.028


def test_what_was_taken_back_is_not_the_answer() -> None:
    turns = ["I keep a goat.", "I see.", "No, sorry, I keep a cat.", "Ah, a cat.", "Which animal do I keep?"]
    roles = ("user", "assistant")
    item = {"turns": [{"role": roles[place % 2], "content": turn} for place, turn in enumerate(turns)]}
    assert dialogue.solve(item) == "cat"


def test_two_people_never_have_the_same_value() -> None:
    talk = Talk(random.Random(0))
    for owner in ("", "sister Mira", "brother Joric"):
        talk.hear(owner, "animal")
    assert len({value for (_, attribute), value in talk.said.items() if attribute == "animal"}) == 3


def test_items_with_a_pronoun_ask_for_what_facts_holds_out() -> None:
    rendered = [dialogue.prompt(item) for item in items() if item["level"] == 5]
    assert [text for text in rendered if not questions_of_people(text) & set(facts.held_out()["test"])] == []


def test_lessons_ask_for_no_fact_that_is_held_out() -> None:
    assert [text for text in lessons() if questions_of_people(text) & facts.reserved()] == []


def test_a_lesson_that_starts_as_an_item_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    start, _, _ = dialogue.lesson(random.Random(3)).rpartition("<|assistant|>")
    monkeypatch.setattr(dialogue, "reserved", lambda: frozenset({start}))
    assert not dialogue.lesson(random.Random(3)).startswith(start)


def test_lessons_have_the_form_that_the_chat_template_gives_to_items() -> None:
    template = jinja2.Template(CHAT_TEMPLATE)
    rendered = [template.render(messages=item["turns"], add_generation_prompt=True) for item in items()]
    assert rendered == [dialogue.prompt(item) + "<|assistant|>" for item in items()]


def test_a_lesson_is_a_chat_that_ends_with_an_answer() -> None:
    form = r"(<\|user\|>[^<]+<\|end\|><\|assistant\|>[^<]+<\|end\|>)+"
    assert [text for text in lessons() if not re.fullmatch(form, text + "<|end|>")] == []

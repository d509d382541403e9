"""Task `grounding`: half of the questions have no answer in the passage, on every level."""

from __future__ import annotations

from collections import Counter

from fixtures.reference.tasks import grounding


def test_half_of_the_items_ask_for_what_is_not_there() -> None:
    assert sum("not mentioned" in item["answer"] for item in grounding.items("test")) == 500


def test_no_level_gives_the_answer_away() -> None:
    counts = Counter((item["level"], "not mentioned" in item["answer"]) for item in grounding.items("test"))
    assert [
        level
        for level in grounding.LEVELS
        if not 0.3 < counts[level, True] / (counts[level, False] + counts[level, True]) < 0.7
    ] == []


def test_the_solver_reads_the_passage() -> None:
    item = {
        "passage": "The cup of Mira is red. The cup of Mira lies in the box.",
        "question": "What colour is the cup of Mira?",
    }
    assert grounding.solve(item) == "The cup of Mira is red."


def test_the_solver_says_what_is_not_there() -> None:
    item = {"passage": "The cup of Mira is red.", "question": "Where does the cup of Mira lie?"}
    assert grounding.solve(item) == "The cup of Mira: not mentioned."


def test_the_solver_looks_up_twice() -> None:
    red = "The cup of Mira is red. The cup of Mira lies in the box."
    blue = "The key of Mira is blue. The key of Mira lies in the jar."
    item = {"passage": f"{red} {blue}", "question": "What colour is what Mira has in the jar?"}
    assert grounding.solve(item) == "The key of Mira is blue."

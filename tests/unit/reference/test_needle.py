"""Task `needle`: every length meets every depth, and the needle really lies there."""

from __future__ import annotations

from collections import Counter

from fixtures.reference.tasks import needle


def test_every_length_meets_every_depth_equally_often() -> None:
    counts = Counter((item["level"], item["depth"]) for item in needle.items("test")).values()
    assert (len(counts), max(counts) - min(counts) <= 1) == (30, True)


def test_a_needle_at_depth_one_ends_the_text() -> None:
    assert all(item["passage"].endswith(item["answer"]) for item in needle.items("test") if item["depth"] == 1.0)


def test_a_needle_at_depth_zero_begins_the_text() -> None:
    assert all(item["passage"].startswith(item["answer"]) for item in needle.items("test") if item["depth"] == 0.0)


def test_every_needle_lies_in_its_text_once() -> None:
    assert {item["passage"].count(item["answer"]) for item in needle.items("test")} == {1}

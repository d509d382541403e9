"""A series grows part by part; nothing is scored twice, and a gap hides what lies behind it until it is filled."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from quant.scores import Item, head, planned
from quant.series import Series
from quant.stages.protocol import SCORES, TaskScores
from quant.store import CorruptEntryWarning, Store, key_of

if TYPE_CHECKING:
    from pathlib import Path

KEY = {"task": "facts"}


@pytest.fixture
def series(tmp_path: Path) -> Series:
    """An empty series."""
    return Series(Store(tmp_path), KEY, "small-facts")


def append(series: Series, start: int, stop: int) -> TaskScores:
    """Add the items of these places, in 1 s."""
    items = tuple(Item(doc_hash=f"d{n}", prompt_hash="p", target_hash="t", score=1.0) for n in range(start, stop))
    part = TaskScores(items=items, start=start, documents=10, seconds=1.0, load_seconds=1.0, started=0.0, engine={})
    with series.store.locked(("scores", KEY)), series.store.workspace() as space:
        (space / SCORES).write_bytes(msgspec.json.encode(part))
        return series.append(space)


def names(series: Series) -> list[str]:
    found = series.read()
    return [item.doc_hash for item in found.items] if found else []


def test_nothing_is_there_at_first(series: Series) -> None:
    assert series.read() is None


def test_parts_follow_one_another(series: Series) -> None:
    append(series, 0, 3)
    append(series, 3, 5)
    assert names(series) == ["d0", "d1", "d2", "d3", "d4"]


def test_seconds_add_up(series: Series) -> None:
    append(series, 0, 3)
    assert append(series, 3, 5).seconds == 2.0


def test_items_in_two_parts_count_once(series: Series) -> None:
    append(series, 2, 6)
    append(series, 0, 4)
    assert names(series) == [f"d{n}" for n in range(6)]


def test_items_behind_a_gap_wait_until_it_is_filled(series: Series) -> None:
    append(series, 0, 2)
    append(series, 3, 5)
    assert names(series) == ["d0", "d1"]


def test_a_damaged_part_is_set_aside_with_what_follows(series: Series) -> None:
    append(series, 0, 2)
    append(series, 2, 4)
    (series.store.root / "scores" / key_of(KEY) / "000002" / SCORES).write_bytes(b"{}")
    with pytest.warns(CorruptEntryWarning, match="bytes instead of"):
        assert names(series) == ["d0", "d1"]


def test_a_part_that_was_pruned_is_a_gap(series: Series) -> None:
    append(series, 0, 2)
    append(series, 2, 4)
    shutil.rmtree(series.store.root / "scores" / key_of(KEY) / "000000")
    assert names(series) == []


def test_a_share_is_rounded_up() -> None:
    assert head(planned(items=0, documents=10), share=0.25) == 3

"""The store keeps its promises: one maker, manifest last, nothing corrupt served, sound after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from quant.environment import ROOT
from quant.store import MANIFEST, Busy, CorruptEntryWarning, Store, key_of

if TYPE_CHECKING:
    from pathlib import Path

KEY = {"model": {"a": "1"}, "seed": 0}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path)


def make(store: Store, text: str = "payload") -> Path:
    with store.locked(("scores", KEY)), store.workspace() as space:
        (space / "scores.json").write_text(text)
        return store.commit("scores", "a cell", KEY, space)


def test_a_key_does_not_depend_on_the_order_of_writing() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


def test_a_key_depends_on_every_input() -> None:
    assert key_of(KEY) != key_of({**KEY, "seed": 1})


def test_what_was_committed_is_found(store: Store) -> None:
    made = make(store)
    assert store.find("scores", KEY) == made


def test_a_miss_is_explained_by_what_changed(store: Store) -> None:
    make(store)
    assert store.explain("scores", "a cell", {"model": {"a": "2"}, "seed": 0}) == "model.a 1 -> 2"


def test_an_entry_without_manifest_does_not_exist(store: Store) -> None:
    (make(store) / MANIFEST).unlink()
    assert store.find("scores", KEY) is None


def test_an_entry_without_manifest_is_made_again(store: Store) -> None:
    (make(store) / MANIFEST).unlink()
    assert (make(store, "second") / "scores.json").read_text() == "second"


@pytest.mark.parametrize("damage", ["pay1oad", "short"], ids=["changed byte", "other length"])
def test_a_corrupt_entry_is_reported_and_not_served(store: Store, damage: str) -> None:
    (make(store) / "scores.json").write_text(damage)
    with pytest.warns(CorruptEntryWarning, match=r"scores\.json has"):
        assert store.find("scores", KEY) is None


def test_a_second_maker_is_told_that_the_entry_is_busy(store: Store) -> None:
    with store.locked(("scores", KEY)), pytest.raises(Busy), Store(store.root).locked(("scores", KEY)):
        pass


def test_a_workspace_leaves_nothing_behind(store: Store) -> None:
    with store.workspace() as space:
        (space / "half").write_text("half")
    assert list((store.root / "tmp").iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from quant.store import Store
store, key = Store(Path(sys.argv[1])), {"model": {"a": "1"}, "seed": 0}
with store.locked(("scores", key)), store.workspace() as space:
    (space / "scores.json").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_maker_leaves_no_entry_and_no_lock(store: Store) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(store.root)], cwd=ROOT, check=False)
    assert (done.returncode, store.find("scores", KEY)) == (-signal.SIGKILL, None)
    assert (make(store) / "scores.json").read_text() == "payload"

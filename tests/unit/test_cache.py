"""`python -m quant cache` shows what the store holds, finds damage, and makes room."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from quant.__main__ import main
from quant.store import MANIFEST, Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with an older and a newer entry of 1,000 bytes each."""
    store = Store(tmp_path)
    for age, label in enumerate(("newer", "older")):
        key = {"label": label}
        with store.locked(("scores", key)), store.workspace() as space:
            (space / "scores.json").write_bytes(b"x" * 1000)
            folder = store.commit("scores", label, key, space)
        os.utime(folder / MANIFEST, (1000 - age, 1000 - age))
    return tmp_path


def run(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["cache", *arguments, "--store", str(root)])
    return code, capsys.readouterr().out


def test_listing_names_every_entry(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "2 entries, 2,000 bytes" in run(root, capsys, "list")[1]


def test_a_sound_store_verifies(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, capsys, "verify") == (0, "all entries are sound\n")


def test_damage_is_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next(root.glob("scores/*/scores.json")).write_bytes(b"y" * 1000)
    code, text = run(root, capsys, "verify")
    assert (code, "scores.json has another hash" in text) == (1, True)


def test_pruning_deletes_what_was_used_longest_ago(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, capsys, "prune", "--keep-gb", "0.0000015") == (0, "deleted scores older, 1,000 bytes\n")


def test_an_unknown_stage_is_a_usage_error() -> None:
    assert main(["stage", "no-such-stage"]) == 2

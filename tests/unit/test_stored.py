"""An earlier run is judged again from the records that it names, to the same numbers."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from quant import stored
from quant.__main__ import main
from quant.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from quant.claims import Verdict
    from tests.unit.conftest import World


@pytest.fixture
def run(world: World) -> tuple[World, Path, list[Verdict]]:
    """A run with two tasks and their average: where it wrote its results, and what it found."""
    made = world.verdicts({"facts": 20, "arithmetic": 3}, average=True)
    file, found = world.written(made)
    return world, file, found


def test_verdicts_judged_again_are_the_same(run: tuple[World, Path, list[Verdict]]) -> None:
    world, file, found = run
    assert stored.judge(file, world.store) == found


def test_another_alpha_moves_the_limits(run: tuple[World, Path, list[Verdict]]) -> None:
    world, file, found = run
    again = stored.judge(file, world.store, alpha=0.001)
    assert [v.high > old.high for v, old in zip(again, found, strict=True)] == [True] * 3


def test_the_command_writes_a_line_a_verdict(
    run: tuple[World, Path, list[Verdict]], capsys: pytest.CaptureFixture[str]
) -> None:
    world, file, _ = run
    code = main(["judge", str(file), "--store", str(world.store.root)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (code, [(line["kind"], line["verdict"]) for line in lines]) == (
        1,
        [("task", "FAIL"), ("task", "INCONCLUSIVE"), ("average", "FAIL")],
    )


def test_records_that_are_gone_are_named(run: tuple[World, Path, list[Verdict]]) -> None:
    world, file, _ = run
    shutil.rmtree(world.store.root / "scores")
    with pytest.raises(UsageError, match=r"ref-4m-int8-w8a8-facts: record \w+ of bf16 facts has 0 of \d+ items in"):
        stored.judge(file, world.store)


def test_a_file_that_is_no_result_is_named(tmp_path: Path, world: World) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UsageError, match=r"other\.json: no results\.json of this version"):
        stored.judge(tmp_path / "other.json", world.store)


def test_a_missing_file_is_named(tmp_path: Path, world: World) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        stored.judge(tmp_path / "results.json", world.store)

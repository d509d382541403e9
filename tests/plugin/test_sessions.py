"""Whole sessions on a small world with real engines: two on one store, xdist workers, the Transformers backend."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from quant.report import results

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from quant.records import Verdict

EIGHT_BIT = ("--formats=fp8-dynamic,int8-w8a8", "-knot average")  # 60 items prove no average


def verdicts(report: Path) -> list[Verdict]:
    """What a session found, whatever time it took."""
    return [structs.replace(verdict, seconds=0.0) for verdict in results.read(report / "results.json").verdicts]


def evaluated(output: str) -> list[str]:
    """Names of the cells whose items a session has evaluated itself."""
    return re.findall(r"\] (\S+): \d+ items in", output)


@pytest.fixture(scope="module")
def pair(
    world: Path, tmp_path_factory: pytest.TempPathFactory, background: Callable[..., subprocess.Popen[str]]
) -> tuple[Path, list[str]]:
    """Two sessions started together on one empty store: where their reports are, and what each printed."""
    folder = tmp_path_factory.mktemp("pair")
    common = ("--matrix", world / "matrix.toml", "--store", folder / "store", *EIGHT_BIT)
    running = [background(*common, "--report", folder / name) for name in "ab"]
    return folder, [session.communicate()[0] for session in running]


@pytest.mark.timeout(600)
def test_two_sessions_on_one_store_do_the_work_once(pair: tuple[Path, list[str]]) -> None:
    cells = [
        f"ref-4m-{fmt}-{task}"
        for fmt in ("bf16", "fp8-dynamic", "int8-w8a8")
        for task in ("arithmetic", "facts", "retrieval")
    ]
    assert Counter(evaluated("".join(pair[1]))) == Counter(cells), "\n".join(pair[1])


def test_two_sessions_on_one_store_agree(pair: tuple[Path, list[str]]) -> None:
    assert verdicts(pair[0] / "a") == verdicts(pair[0] / "b")


@pytest.mark.timeout(600)
def test_xdist_workers_come_to_the_same_verdicts(
    pair: tuple[Path, list[str]], world: Path, tmp_path: Path, session: Callable[..., pytest.RunResult]
) -> None:
    found = session("--matrix", world / "matrix.toml", "--store", tmp_path, *EIGHT_BIT, "-n2", "--dist=loadgroup")
    assert verdicts(tmp_path) == verdicts(pair[0] / "a"), found.stdout.str()


@pytest.mark.timeout(600)
def test_transformers_serves_both_sides_when_asked(
    world: Path, tmp_path: Path, session: Callable[..., pytest.RunResult]
) -> None:
    session("--matrix", world / "matrix.toml", "--store", tmp_path, "--backend=hf", "-kint4 and retrieval")
    (verdict,) = verdicts(tmp_path)
    assert (verdict.backend, verdict.n) == ("hf", 60)

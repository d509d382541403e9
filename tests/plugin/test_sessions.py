"""Whole sessions on a small world, really quantized and served by Transformers: two on one store, xdist workers."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from quant.report import results

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from quant.claims import Verdict

FORMATS = ("fp8-dynamic", "int4-w4a16")
# So few items prove no average; in full, each cell is evaluated in one go.
OPTIONS = (f"--formats={','.join(FORMATS)}", "--backend=hf", "--full", "-knot average")


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
    common = ("--matrix", world / "matrix.toml", "--store", folder / "store", *OPTIONS)
    running = [background(*common, "--report", folder / name) for name in "ab"]
    return folder, [session.communicate()[0] for session in running]


@pytest.mark.timeout(600)
def test_two_sessions_on_one_store_do_the_work_once(pair: tuple[Path, list[str]]) -> None:
    cells = [f"ref-4m-{fmt}-{task}" for fmt in ("bf16", *FORMATS) for task in ("arithmetic", "facts", "dialogue")]
    assert Counter(evaluated("".join(pair[1]))) == Counter(cells), "\n".join(pair[1])


def test_two_sessions_on_one_store_agree(pair: tuple[Path, list[str]]) -> None:
    assert verdicts(pair[0] / "a") == verdicts(pair[0] / "b")


@pytest.mark.timeout(600)
def test_xdist_workers_come_to_the_same_verdicts(
    pair: tuple[Path, list[str]], world: Path, tmp_path: Path, session: Callable[..., pytest.RunResult]
) -> None:
    found = session("--matrix", world / "matrix.toml", "--store", tmp_path, *OPTIONS, "-n2", "--dist=loadgroup")
    assert verdicts(tmp_path) == verdicts(pair[0] / "a"), found.stdout.str()


def test_transformers_serves_when_asked_for(pair: tuple[Path, list[str]]) -> None:
    assert {verdict.backend for verdict in verdicts(pair[0] / "a")} == {"hf"}


# Forty items a task prove no average: what that does to its test is the profile's to say.
@pytest.mark.parametrize(("gate", "passed", "warned"), [("release", 0, False), ("nightly", 1, True), ("pr", 1, False)])
def test_an_average_that_is_not_proven_does_what_the_profile_says(
    pair: tuple[Path, list[str]],
    world: Path,
    session: Callable[..., pytest.RunResult],
    gate: str,
    passed: int,
    warned: bool,  # noqa: FBT001
) -> None:
    options = (*OPTIONS[:-1], "-kfp8 and average", "--gate", gate)
    found = session("--matrix", world / "matrix.toml", "--store", pair[0] / "store", *options)
    said = "warning: ref-4m fp8-dynamic average: " in found.stdout.str()
    assert (found.parseoutcomes().get("passed", 0), said) == (passed, warned), found.stdout.str()


def test_a_waived_failure_is_expected_and_shown(
    pair: tuple[Path, list[str]], world: Path, tmp_path: Path, session: Callable[..., pytest.RunResult]
) -> None:
    copied = Path(shutil.copytree(world, tmp_path / "world", symlinks=True))
    waiver = {"cell": "ref-4m-fp8-dynamic-average", "reason": "few items", "owner": "us", "issue": "#1"}
    lines = [f'{key} = "{value}"' for key, value in waiver.items()]
    (copied / "waivers.toml").write_text("\n".join(["[[waivers]]", *lines, "expires = 2999-01-31"]))
    options = (*OPTIONS[:-1], "-kfp8 and average")
    found = session("--matrix", copied / "matrix.toml", "--store", pair[0] / "store", *options)
    shown = "waived until 2999-01-31: few items (us, #1)" in found.stdout.str()
    assert (found.parseoutcomes().get("xfailed"), shown) == (1, True), found.stdout.str()


def test_repeated_runs_of_the_base_are_measured_and_kept(
    pair: tuple[Path, list[str]], world: Path, tmp_path: Path, session: Callable[..., pytest.RunResult]
) -> None:
    options = (*OPTIONS[:-1], "--matrix", world / "matrix.toml", "--store", pair[0] / "store", "--report", tmp_path)
    session(*options, "-kfp8 and facts", "--noise-floor", "2")
    session(*options, "-kfp8 and facts")  # without asking again
    noise = results.read(tmp_path / "results.json").verdicts[0].noise
    assert noise is not None
    assert noise.runs == 2

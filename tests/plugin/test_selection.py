"""People select cells by readable ids, markers and options; a selection of nothing says what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fixtures.options import pytest_addoption

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A format has nine tasks and one average.
SELECTIONS = {
    "-kfp8": 10,
    "-kint4 and arithmetic": 1,
    "-kaverage": 3,
    "-mint8": 10,
    "-mint8 or fp8": 20,
    "--formats=int4-w4a16,fp8-dynamic": 20,
    "--suite=reference": 30,
}


@pytest.mark.parametrize(("option", "count"), SELECTIONS.items(), ids=SELECTIONS)
def test_an_option_selects_cells(session: Callable[..., pytest.RunResult], option: str, count: int) -> None:
    found = session("--collect-only", "-q", option)
    assert len([line for line in found.outlines if "::" in line]) == count


def test_selecting_nothing_says_what_there_is(session: Callable[..., pytest.RunResult]) -> None:
    found = session("-k", "int5")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(
        ["ERROR: 'int5' selects no test; there are ref-4m-fp8-dynamic, *with the tasks commonsense,*"]
    )


def test_an_unknown_format_is_answered_with_the_known_ones(session: Callable[..., pytest.RunResult]) -> None:
    found = session("--formats", "int4")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["ERROR: *no format 'int4'*there are bf16, fp8-dynamic, fp8-static, *"])


def test_a_matrix_file_that_replaces_something_is_named_at_the_head_of_a_run(
    session: Callable[..., pytest.RunResult], tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[formats.int8-rtn]\npurpose = "mine"\nrecipe.QuantizationModifier = { scheme = "W8A8" }\n')
    found = session("--collect-only", "--matrix", file)
    found.stdout.fnmatch_lines(["the matrix file replaces what the reference matrix says: formats.int8-rtn"])


def test_the_options_are_few_and_frozen() -> None:
    parser = pytest.Parser(_ispytest=True)
    pytest_addoption(parser)
    names = [option.names()[0] for option in parser.getgroup("recovery").options]
    assert names == [
        "--models",
        "--formats",
        "--suite",
        "--matrix",
        "--checkpoint",
        "--base",
        "--server",
        "--base-server",
        "--gate",
        "--full",
        "--noise-floor",
        "--backend",
        "--store",
        "--report",
    ]

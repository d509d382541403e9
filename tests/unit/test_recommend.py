"""`python -m quant recommend`: the results of runs in, which format to deploy out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from quant import __main__ as command_line
from quant.environment import current
from quant.report import results
from quant.report.results import Results
from tests.unit.printed import MODEL, average, performance, performances

if TYPE_CHECKING:
    from pathlib import Path

    from quant.budgets import Performance
    from quant.claims import Verdict

SYNC = performances("synchronous")
PASSED = [average("int8-w8a8", "PASS", 1.003), average("int4-w4a16", "PASS", 0.987)]


def run(folder: Path, name: str, verdicts: list[Verdict], found: list[Performance]) -> str:
    """Write the results of a run; return its file."""
    made = Results(
        verdicts=tuple(verdicts),
        performances=tuple(found),
        environment=current(),
        seconds=1.0,
        starts={},
        errors={},
        logs="",
    )
    results.write(made, folder / name)
    return str(folder / name)


def test_the_command_joins_accuracy_and_performance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [run(tmp_path, "perf.json", [], SYNC), run(tmp_path, "accuracy.json", PASSED, [])]
    code = command_line.main(["recommend", *files, "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    assert (code, "deploy int4-w4a16" in printed) == (0, True)
    assert printed.splitlines()[-1] == f"drawn: {tmp_path}/pareto-{MODEL}.svg"


def test_of_two_files_the_later_one_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worse = run(tmp_path, "later.json", [average("int4-w4a16", "FAIL", 0.9)], [])
    files = [run(tmp_path, "first.json", PASSED, SYNC), worse]
    command_line.main(["recommend", *files])
    assert "deploy int8-w8a8" in capsys.readouterr().out


def test_of_two_measurements_the_later_one_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = performance("int8-w8a8", SYNC[0].workload, 24.5e3, 24.5e3 / 3)
    files = [run(tmp_path, "first.json", PASSED, SYNC[:2]), run(tmp_path, "later.json", [], [again])]
    command_line.main(["recommend", *files])
    assert "deploy int8-w8a8" in capsys.readouterr().out


def test_a_matrix_file_brings_its_own_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = tmp_path / "prices.toml"
    price = 'hardware = "nvidia-rtx-a6000", usd_per_hour = 0.4, date = "2026-11-01", provider = "us"'
    matrix.write_text(f"[prices]\nours = {{ {price} }}\n")
    command_line.main(["recommend", run(tmp_path, "a.json", PASSED, SYNC), "--matrix", str(matrix)])
    assert "price of 1 x nvidia-rtx-a6000: 0.40 USD an hour (us, 2026-11-01)" in capsys.readouterr().out


@pytest.mark.parametrize("text", [None, "{}", ""])
def test_a_file_that_is_no_result_is_refused(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "r.json"
    if text is not None:
        file.write_text(text)
    assert (command_line.main(["recommend", str(file)]), str(file) in capsys.readouterr().err) == (2, True)


def test_results_without_performance_name_the_command_that_measures_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = command_line.main(["recommend", run(tmp_path, "a.json", PASSED, [])])
    assert (code, "`pytest -m perf` does" in capsys.readouterr().err) == (2, True)

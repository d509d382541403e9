"""A mistake in a matrix file is named by file, line, key and the closest valid key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import MatrixError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
[gates]
int8 = 0.97

[models.small]
source = "models/small"
context_tokens = 512

[formats.rtn]
purpose = "an example"
family = "int8"

[tasks.sums]
type = "mathematics"
lm_eval = "sums"
metric = "acc"

[suites.all]
models = ["small"]
formats = ["rtn"]
tasks = ["sums"]
"""


def complaint(folder: Path, old: str, new: str) -> str:
    file = folder / "matrix.toml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(MatrixError) as caught:
        reading.load(file)
    return str(caught.value).replace(str(folder), "")


def test_an_unknown_key_is_named_with_line_and_closest_key(tmp_path: Path) -> None:
    found = complaint(tmp_path, "context_tokens", "context_token")
    assert found.startswith(
        "/matrix.toml:6: [models.small] unknown key 'context_token' (did you mean 'context_tokens'?)"
    )


def test_a_chance_in_percent_is_refused(tmp_path: Path) -> None:
    assert "Expected `float` < 1" in complaint(tmp_path, 'metric = "acc"', 'metric = "acc"\nchance = 25.0')


def test_a_suite_that_names_an_unknown_format_is_refused(tmp_path: Path) -> None:
    found = complaint(tmp_path, 'formats = ["rtn"]', 'formats = ["rtm"]')
    assert found == "/matrix.toml:19: [suites.all] no format is called 'rtm' (did you mean 'rtn'?)"


def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    found = complaint(tmp_path, "context_tokens = 512", 'context_tokens = "long"')
    assert found == "/matrix.toml:4: [models.small] Expected `int`, got `str` - at `$.context_tokens`"


def test_a_capability_that_no_machine_has_is_refused(tmp_path: Path) -> None:
    found = complaint(tmp_path, 'family = "int8"', 'family = "int8"\nneeds = ["w8a8-int4"]')
    assert "[formats.rtn] no capability is called 'w8a8-int4' (did you mean 'w8a8-int8'?); there are kv-fp8, " in found


def test_a_family_without_a_gate_is_refused(tmp_path: Path) -> None:
    found = complaint(tmp_path, 'family = "int8"', 'family = "int4"')
    assert found == "/matrix.toml:10: [formats.rtn] [gates] has no threshold for the family 'int4'"


def test_a_threshold_in_percent_is_refused(tmp_path: Path) -> None:
    assert "a recovery threshold lies in (0.05, 1], found 97" in complaint(tmp_path, "int8 = 0.97", "int8 = 97.0")


def test_broken_toml_is_named_with_its_file(tmp_path: Path) -> None:
    assert complaint(tmp_path, "[gates]", "[gates").startswith("/matrix.toml: not valid TOML")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match="no such matrix file"):
        reading.load(tmp_path / "nowhere.toml")


def test_an_unknown_format_on_the_command_line_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "matrix.toml").write_text(GOOD)
    declared = reading.load(tmp_path / "matrix.toml")
    with pytest.raises(MatrixError, match=r"no format 'int5'; there are bf16, rtn"):
        list(declared.cells("all", formats=["int5"]))


def test_the_thresholds_of_the_reference_matrix_are_the_missions() -> None:
    assert reading.load(DEFAULT_MATRIX).gates == {"fp8": 0.99, "int8": 0.97, "int4": 0.95, "fp4": 0.95}


def test_cells_have_readable_ids() -> None:
    cells = list(reading.load(DEFAULT_MATRIX).cells("reference", formats=["fp8-dynamic"]))
    assert cells[0].id == "ref-4m-fp8-dynamic-commonsense"


PERFORMANCE = (
    GOOD
    + """
[workloads]
short = { mode = "synchronous", input_tokens = 64, output_tokens = 16, requests = 4 }

[budgets]
slow = { format = "rtn", workload = "sh*", metric = "latency_ms", limit = 1.1 }
"""
)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("latency_ms", "latency", "no metric is called 'latency' (did you mean 'latency_ms'?); there are latency_ms, "),
        ("limit = 1.1", "limit = 0", "a limit is above 0, found 0"),
        ("limit = 1.1", "limit = inf", "a limit is above 0, found inf"),
        ('_ms"', '_ms.p99", baseline = true', "a baseline holds means over blocks, and latency_ms.p99 has none; "),
        ('"latency_ms"', '"load_s", baseline = true', "a baseline holds means over blocks, and load_s has none; "),
        ('"rtn", w', '"rtm", w', "'rtm' matches no format (did you mean 'rtn'?)"),
        ('"sh*"', '"shirt"', "'shirt' matches no workload (did you mean 'short'?)"),
        ("{ format", '{ model = "big", format', "'big' matches no model"),
    ],
)
def test_a_budget_that_cannot_be_meant_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "matrix.toml"
    file.write_text(PERFORMANCE.replace(old, new))
    with pytest.raises(MatrixError) as caught:
        reading.load(file)
    assert str(caught.value).startswith(f"{file}:26: [budgets.slow] {message}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("input_tokens = 64", "input_tokens = 0", "input_tokens is 1 or more, found 0"),
        ("requests = 4", "requests = -1", "requests is 1 or more, found -1"),
        ("requests = 4", "requests = 4, rate = 2", "synchronous requests follow each other and have no rate"),
        ("requests = 4", "requests = 4, width = 5", "a width lies in (0, 1), .05 for 5 %; found 5"),
        ("requests = 4", "requests = 4, seconds = 0", "seconds are above 0, found 0"),
        ("requests = 4", "requests = 4, slo.ttft_ms = 0", "ttft_ms of a service-level objective is above 0, found 0"),
        ('"synchronous"', '"asynchronous", rate = -1', "a rate is 0 (all at once) or more a second, found -1"),
    ],
)
def test_a_workload_out_of_range_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "matrix.toml"
    file.write_text(PERFORMANCE.replace(old, new))
    with pytest.raises(MatrixError) as caught:
        reading.load(file)
    assert str(caught.value).startswith(f"{file}:23: [workloads.short] {message}")


def test_servings_have_readable_ids() -> None:
    servings = list(reading.load(DEFAULT_MATRIX).servings("reference", formats=["int8-w8a8"]))
    assert [one.id for one in servings] == ["ref-4m-int8-w8a8-short-sync", "ref-4m-int8-w8a8-short-full"]

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

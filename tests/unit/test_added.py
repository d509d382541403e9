"""`python -m quant matrix check` says what a file adds, and every problem in it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quant.__main__ import main
from quant.environment import DEFAULT_MATRIX

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MINE = f"""\
[models.mine]
source = "{DEFAULT_MATRIX.parent / "models" / "ref-0.6m"}"
context_tokens = 512

[models.theirs]
source = "hub:organisation/name"
context_tokens = 4096

[formats.int8-rtn]
purpose = "another int8-rtn"
recipe = "int8.yaml"

[suites.mine]
models = ["mine", "ref-4m"]
formats = ["int8-rtn", "int4-w4a16+fp8-kv"]
tasks = ["facts"]
"""
YAML = """\
quant_stage:
  quant_modifiers:
    QuantizationModifier: {targets: [Linear], scheme: W8A8, ignore: [lm_head]}
"""


def check(folder: Path, text: str = MINE) -> int:
    (folder / "int8.yaml").write_text(YAML)
    (folder / "mine.toml").write_text(text)
    return main(["matrix", "check", str(folder / "mine.toml")])


def test_a_file_is_told_what_it_adds_and_replaces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(tmp_path, MINE.replace('formats = ["int8-rtn", "int4-w4a16+fp8-kv"]', 'formats = ["int8-rtn"]'))
    assert capsys.readouterr().out.splitlines() == [
        "models: mine, theirs",
        "formats: int8-rtn",
        "suites: mine",
        "replaces what the reference matrix says: formats.int8-rtn",
        "not looked at, since it lies elsewhere: theirs: hub:organisation/name",
    ]


def test_every_problem_is_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = check(tmp_path, MINE.replace("ref-0.6m", "ref-0.7m"))
    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines), "2 to correct" in lines[0]) == (2, 3, True)
    assert "model 'mine': no such folder" in lines[1]
    assert "mine-int4-w4a16+fp8-kv: the format is calibrated, but neither it nor the model says with which" in lines[2]


def test_a_reading_mistake_is_named_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(tmp_path, MINE.replace("context_tokens = 4096", "context_token = 4096"))
    assert "mine.toml:7: [models.theirs] unknown key 'context_token'" in capsys.readouterr().err


def test_a_check_without_a_file_is_a_usage_error() -> None:
    assert main(["matrix", "check"]) == 2

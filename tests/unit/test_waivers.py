"""A waiver says which cell, why, who, where and until when; one that is void or names nothing ends the run."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from quant.errors import UsageError
from quant.judge import waivers

if TYPE_CHECKING:
    from pathlib import Path

TODAY = dt.date(2030, 1, 31)
CELLS = ["small-int4-sums", "small-int4-average"]
GOOD = """# known failures
[[waivers]]
cell = "small-int4-sums"
reason = "four bits are too few for it"
owner = "kernels"
issue = "#12"
expires = 2030-01-31
"""


def read(folder: Path, text: str) -> dict[str, waivers.Waiver]:
    file = folder / waivers.FILE
    file.write_text(text)
    return waivers.read(file, CELLS, TODAY)


def test_no_file_waives_nothing(tmp_path: Path) -> None:
    assert waivers.read(tmp_path / waivers.FILE, CELLS, TODAY) == {}


def test_a_waiver_holds_on_its_last_day(tmp_path: Path) -> None:
    assert str(read(tmp_path, GOOD)["small-int4-sums"]) == (
        "waived until 2030-01-31: four bits are too few for it (kernels, #12)"
    )


MISTAKES = {
    "expired": ("2030-01-31", "2030-01-30", "waivers.toml:2: the waiver of small-int4-sums expired on 2030-01-30"),
    "unmatched": ("int4-sums", "int4-sum", "waivers.toml:2: no cell of any suite is called 'small-int4-sum' (did you"),
    "no owner": ('owner = "kernels"', "", "waivers.toml:2: Object missing required field `owner`"),
    "empty reason": ("four bits are too few for it", " ", "waivers.toml:2: reason is empty"),
    "no date": ("2030-01-31", '"soon"', "waivers.toml:2: Invalid RFC3339"),
    "unknown key": ("issue", "ticket", "waivers.toml:2: Object contains unknown field `ticket`"),
    "another table": ("[[waivers]]", "[[waiver]]", "a waivers file holds [[waivers]] tables only; found waiver"),
    "no TOML": ("[[waivers]]", "[[waivers", "not valid TOML"),
}


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_bad_waiver_is_named_by_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert message in str(caught.value)


def test_a_cell_is_waived_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"waivers.toml:8: small-int4-sums is waived twice"):
        read(tmp_path, GOOD + GOOD.removeprefix("# known failures\n"))

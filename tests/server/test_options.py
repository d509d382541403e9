"""`--server` says what it needs before a server is asked, and what it leaves out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fixtures import servers
from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import UsageError

if TYPE_CHECKING:
    from quant.matrix import Cell

HERE, THERE = "http://localhost:8000", "http://localhost:8001"


def cells(*formats: str) -> list[Cell]:
    return list(reading.load(DEFAULT_MATRIX).cells("reference", ["ref-4m"], formats))


def test_a_server_serves_the_format_and_another_the_base() -> None:
    found = servers.by_format(f"{HERE}/v1", THERE, cells("int8-w8a8"))
    assert found == {"int8-w8a8": HERE, "bf16": THERE}


@pytest.mark.parametrize(
    ("server", "base", "formats", "message"),
    [
        (HERE, "", ["int8-w8a8", "int4-w4a16"], "expected one model in one format, found ref-4m in int8-w8a8, int4-"),
        (
            HERE,
            "",
            ["bf16"],
            "expected one model in one format, found none in none; say what it serves by --models and",
        ),
        ("", HERE, ["int8-w8a8"], "--base-server serves the base of a comparison; add --server"),
        (HERE, f"{HERE}/v1", ["int8-w8a8"], "--server and --base-server are both http://localhost:8000"),
        ("localhost:8000", "", ["int8-w8a8"], "'localhost:8000': expected the URL of a server"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    server: str, base: str, formats: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        servers.by_format(server, base, cells(*formats))


def test_a_comparison_that_is_left_out_is_named() -> None:
    assert servers.remarks({"int4-w4a16": HERE}, cells("int4-w4a16")) == [
        "ref-4m: int4-w4a16 is served by http://localhost:8000, its base by an engine here",
        "ref-4m int4-w4a16: not compared with int8-w8a8, since a server serves one format",
    ]

"""What a person reads says which cell, what was found, how sure, what was expected."""

from __future__ import annotations

from msgspec import structs

from quant.records import Verdict
from quant.report import terminal

FAILED = Verdict(
    model="ref-4m",
    format="int4-gptq",
    task="arithmetic",
    status="FAIL",
    base=0.8,
    quantized=0.745,
    recovery=0.93125,
    low=0.918,
    high=0.944,
    threshold=0.95,
    n=1319,
    worse=90,
    better=17,
    p_pass=1.0,
    p_fail=0.001,
)


def test_a_failure_says_what_was_found_and_expected() -> None:
    assert terminal.sentence(FAILED) == (
        "ref-4m int4-gptq arithmetic: recovery 93.12 % (95 % limits 91.80..94.40, n=1,319) is proven below 95.0 %; "
        "base 80.00 %, quantized 74.50 %; 90 items worse, 17 better"
    )


def test_an_undefined_recovery_is_shown_as_such() -> None:
    undefined = structs.replace(
        FAILED, recovery=None, low=0.0, high=None, status="INCONCLUSIVE", why="base scores zero"
    )
    assert "recovery - % (95 % limits 0.00..-" in terminal.sentence(undefined)


def test_a_logged_table_has_no_escape_codes_and_one_line_a_verdict() -> None:
    lines = terminal.table([FAILED], width=40, colour=False).splitlines()
    assert (len(lines), "\x1b" in lines[1], lines[1].split()[-3]) == (2, False, "FAIL")


def test_an_average_is_called_so() -> None:
    assert "average" in terminal.table([structs.replace(FAILED, task="")], width=120, colour=False)

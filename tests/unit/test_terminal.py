"""What a person reads says which cell, what was found, how sure, what was expected."""

from __future__ import annotations

from msgspec import structs

from quant.claims import Comparison, Gate, Noise
from quant.report import terminal
from tests.unit.conftest import FAILED


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


def test_a_verdict_before_all_items_says_so() -> None:
    gate = structs.replace(FAILED.gate, shares=(0.25, 1.0))
    assert "n=1,319 of 5,276" in terminal.sentence(structs.replace(FAILED, planned=5276, gate=gate))


def test_the_limits_of_a_look_are_those_of_its_own_level() -> None:
    assert "(99.49 % limits 91.80..94.40, " in terminal.sentence(structs.replace(FAILED, level=0.00508))


def test_a_competitor_is_named_with_the_difference_and_the_margin() -> None:
    lost = Comparison(competitor="int8-gptq", difference=-0.031, low=-0.04, high=-0.022, status="FAIL")
    sentence = terminal.sentence(structs.replace(FAILED, task="", p_pass=0.01, p_fail=0.99, comparison=lost))
    assert (
        "is proven at or above 95.0 %; and -3.10 points (-4.00..-2.20) against int8-gptq, proven below -2.0" in sentence
    )


def test_a_remark_tells_of_run_noise_that_a_verdict_could_not_overcome() -> None:
    noise = Noise(runs=5, flip_rate=0.02, excess=0.0001, p=0.01, unprovable=True)
    assert terminal.remarks([structs.replace(FAILED, noise=noise)])[-1] == (
        "ref-4m int4-gptq: 5 runs of the base flip at most 2.00 % of items (arithmetic); their excess sd is at "
        "most 1.00 points; a checkpoint as different as a re-run would not PASS on arithmetic"
    )


def test_a_finding_is_named_with_its_task() -> None:
    assert "ref-4m int4-gptq: arithmetic: proven below the gate, multiplicity controlled" in terminal.remarks([FAILED])


def test_a_task_that_may_have_lost_is_called_suspect() -> None:
    among_many = structs.replace(FAILED, p_fail=0.009, gate=Gate(threshold=0.95, family=10))
    assert terminal.remarks([among_many]) == ["ref-4m int4-gptq: arithmetic: suspect (false discovery rate 10 %)"]


def test_a_task_far_below_the_gate_is_said_to_be_so() -> None:
    assert "proven more than 5 points below the gate" in terminal.remarks([structs.replace(FAILED, p_floor=0.001)])[0]


def test_a_waiver_that_nothing_needs_is_to_be_deleted() -> None:
    waived = structs.replace(FAILED, status="PASS", waiver="waived until 2030-01-31: known (me, #1)")
    assert terminal.remarks([waived])[0].endswith("known (me, #1); PASS, so delete it")


def test_an_average_is_called_so() -> None:
    assert "average" in terminal.table([structs.replace(FAILED, task="")], width=120, colour=False)

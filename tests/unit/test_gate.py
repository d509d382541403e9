"""The release gate's exit code tells worse from not proven, and both from a machine that broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from quant import gate
from quant.environment import current
from quant.report.results import Results
from tests.unit.conftest import FAILED

if TYPE_CHECKING:
    from quant.claims import Verdict
    from quant.records import Status

WAIVER = "known, owner, until 2027"


def verdict(task: str, status: Status, p_fail: float = 1.0, waiver: str = "") -> Verdict:
    return replace(FAILED, model="m", format="f", task=task, status=status, p_fail=p_fail, waiver=waiver)


def found(*verdicts: Verdict, errors: dict[str, str] | None = None) -> Results:
    return Results(verdicts=verdicts, environment=current(), seconds=1.0, starts={}, errors=errors or {}, logs="")


GOOD, BAD, OPEN = verdict("", "PASS"), verdict("", "FAIL", 0.001), verdict("", "INCONCLUSIVE")
CRASH = {"test_task_recovery[m-f-facts]": "the engine died"}


@pytest.mark.parametrize(
    ("ended", "results", "code"),
    [
        pytest.param(0, found(GOOD), 0, id="passed"),
        pytest.param(1, found(BAD), 1, id="average proven below"),
        pytest.param(1, found(OPEN), 3, id="average not proven"),
        pytest.param(1, found(OPEN, verdict("facts", "FAIL", 0.001)), 1, id="one task proven below"),
        pytest.param(1, found(OPEN, verdict("facts", "FAIL", 0.001, WAIVER)), 3, id="the task below is waived"),
        pytest.param(1, found(GOOD, errors=CRASH), 4, id="an engine died"),
        pytest.param(1, found(BAD, errors=CRASH), 1, id="proven below, and an engine died"),
        pytest.param(0, found(), 4, id="all tests skipped"),
        pytest.param(0, None, 4, id="nothing written"),
        pytest.param(2, found(GOOD), 4, id="interrupted"),
        pytest.param(3, None, 4, id="internal error"),
        pytest.param(4, None, 2, id="usage error"),
    ],
)
def test_an_exit_code_says_how_a_run_ended(ended: int, results: Results | None, code: int) -> None:
    assert gate.outcome(ended, results) == code

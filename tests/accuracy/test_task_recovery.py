"""Claim: on no task is a quantized model proven worse than its format may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fixtures.verdicts import fail

if TYPE_CHECKING:
    import pytest

    from quant.records import Verdict


def test_task_recovery(task_verdict: Verdict, findings: list[str], request: pytest.FixtureRequest) -> None:
    """Recovery on this task is not proven below the threshold (Holm over the suite's tasks, alpha 0.05)."""
    if task_verdict.task in findings:
        fail(task_verdict, request)

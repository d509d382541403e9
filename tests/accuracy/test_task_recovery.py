"""Claim: on no task is a quantized model proven worse than its format may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fixtures.verdicts import respond

if TYPE_CHECKING:
    import pytest

    from quant.claims import Profile, Verdict
    from quant.judge.recovery import Findings


def test_task_recovery(
    task_verdict: Verdict, findings: Findings, profile: Profile, request: pytest.FixtureRequest
) -> None:
    """Recovery on this task is not proven below the threshold (Holm over the suite's tasks, alpha 0.05)."""
    if task_verdict.task in findings.below:
        respond(task_verdict, "fail" if task_verdict.task in findings.vetoed else profile.findings, request)

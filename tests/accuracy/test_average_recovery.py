"""Claim: over all tasks together, a quantized model is proven to keep what its format promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fixtures.verdicts import fail

if TYPE_CHECKING:
    import pytest

    from quant.records import Verdict


def test_average_recovery(average_verdict: Verdict, request: pytest.FixtureRequest) -> None:
    """Recovery over the suite is proven at or above the threshold: 99 % for FP8, 97 % for INT8, 95 % for INT4."""
    if average_verdict.status != "PASS":
        fail(average_verdict, request)

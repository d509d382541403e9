"""Claim: over all tasks together, a quantized model is proven to keep what its format promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fixtures.verdicts import respond

if TYPE_CHECKING:
    import pytest

    from quant.claims import Profile, Verdict


def test_average_recovery(average_verdict: Verdict, profile: Profile, request: pytest.FixtureRequest) -> None:
    """Recovery over the suite is proven at or above the threshold, that of INT4 also no worse than INT8 by a margin."""
    if average_verdict.status != "PASS":
        respond(average_verdict, "fail" if average_verdict.status == "FAIL" else profile.inconclusive, request)

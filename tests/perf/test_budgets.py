"""Claim: latency, throughput and memory of a quantized model keep within the budgets of this hardware class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fixtures.perf import keep, respond

if TYPE_CHECKING:
    import pytest

    from fixtures.baselines import Baseline
    from quant.budgets import Performance


def test_budgets_hold(performance: Performance, baseline: Baseline, request: pytest.FixtureRequest) -> None:
    """No budget is proven broken: ratios to the base of the same run, sizes, and changes since the baseline."""
    keep(performance, baseline, request)
    respond(performance, request, accepted=baseline.updating)

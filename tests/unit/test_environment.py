"""A child is offline for every library alike, unless the user lets it fetch."""

from __future__ import annotations

import pytest

from quant.environment import child_environment


@pytest.mark.parametrize(("said", "told"), [(None, "1"), ("1", "1"), ("0", "0")])
def test_evaluate_is_told_what_the_hubs_library_is_told(
    said: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_EVALUATE_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    if said:
        monkeypatch.setenv("HF_HUB_OFFLINE", said)
    assert child_environment("cpu")["HF_EVALUATE_OFFLINE"] == told

"""Judging refuses records that are not about the same items, and decides by proof."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from quant.errors import PairingError
from quant.judge.recovery import Pair, judge_average, judge_task, proven_below
from quant.records import Item, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.records import Backend, Verdict


def scores(values: Sequence[float], *, task: str = "sums", backend: Backend = "vllm", prompt: str = "p") -> Scores:
    items = tuple(
        Item(doc_hash=f"d{n}", prompt_hash=f"{prompt}{n}", target_hash="t", score=value)
        for n, value in enumerate(values)
    )
    return Scores(
        model="small",
        format="rtn",
        task=task,
        metric="acc",
        filter="none",
        backend=backend,
        items=items,
        seconds=1.0,
        load_seconds=1.0,
        started=0.0,
    )


def counted(n: int, right: int, worse: int, better: int) -> Pair:
    """Make a pair with these counts: base right on the first `right` items."""
    base = [1.0] * right + [0.0] * (n - right)
    quantized = [0.0] * worse + [1.0] * (right - worse + better) + [0.0] * (n - right - better)
    return Pair(scores(base), scores(quantized))


def complaint(base: Scores, quantized: Scores) -> str:
    with pytest.raises(PairingError) as caught:
        judge_task(Pair(base, quantized), 0.97)
    return str(caught.value)


def test_an_item_missing_in_one_record_is_an_error_and_not_a_zero() -> None:
    assert "1 items are in one record only" in complaint(scores([1, 1, 0]), scores([1, 1]))


def test_a_changed_prompt_is_an_error() -> None:
    assert "had another prompt or target" in complaint(scores([1, 1]), scores([1, 1], prompt="q"))


def test_nan_is_an_error() -> None:
    assert "not in [0, 1]" in complaint(scores([1, 1]), scores([1, math.nan]))


def test_an_item_scored_twice_is_an_error() -> None:
    twice = structs.replace(scores([1]), items=scores([1]).items * 2)
    assert "was scored twice" in complaint(scores([1]), twice)


def test_two_backends_are_never_compared() -> None:
    assert "base was served by vllm, the format by hf" in complaint(scores([1]), scores([1], backend="hf"))


def test_items_are_joined_by_document_and_not_by_position() -> None:
    base = scores([1, 0])
    turned = structs.replace(base, items=base.items[::-1])
    assert judge_task(Pair(base, turned), 0.97).worse == 0


def test_identical_scores_recover_everything() -> None:
    assert judge_task(counted(1000, 800, 0, 0), 0.99).recovery == 1.0


# The three rows of Nam & Blackwelder's score test with the exact p-value of Lloyd: recovery 1.00, .97 and .9375 at .97.
@pytest.mark.parametrize(
    ("worse", "better", "status"),
    [(20, 20, "PASS"), (40, 16, "INCONCLUSIVE"), (60, 10, "FAIL")],
)
def test_a_verdict_is_what_the_items_prove(worse: int, better: int, status: str) -> None:
    assert judge_task(counted(1000, 800, worse, better), 0.97).status == status


def test_an_average_is_proven_where_its_tasks_alone_are_not() -> None:
    counts = {"a": (1000, 800, 30, 26), "b": (400, 160, 18, 10), "c": (5000, 3500, 150, 160)}
    pairs = [Pair(*(structs.replace(side, task=name) for side in counted(*four)[:2])) for name, four in counts.items()]
    verdict = judge_average(pairs, 0.97)
    # Worked by hand: A1/A0 = .6260/.63333 = .98842, z' = 2.229.
    assert (verdict.status, round(verdict.recovery or 0, 5)) == ("PASS", 0.98842)


def failing(p_fail_counts: tuple[int, int]) -> Verdict:
    return judge_task(counted(1000, 800, *p_fail_counts), 0.97)


def test_one_raw_fail_among_many_tasks_is_no_finding() -> None:
    raw = failing((50, 12))  # p_fail = .031
    assert (raw.status, proven_below([raw], family=10)) == ("FAIL", [])


def test_a_clear_loss_is_a_finding_among_many_tasks() -> None:
    assert len(proven_below([failing((60, 10))], family=10)) == 1

"""Judging refuses records that are not about the same items, and decides by proof."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from quant.claims import Gate
from quant.errors import PairingError
from quant.judge.pairs import Pair
from quant.judge.recovery import findings, judge_average, judge_task, settled
from quant.scores import Item, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.claims import Verdict
    from quant.records import Backend


GATE = Gate(threshold=0.97, family=10)
LOOKS = (0.25, 0.5, 0.75, 1.0)


def scores(
    values: Sequence[float], *, task: str = "sums", backend: Backend = "vllm", prompt: str = "p", planned: int = 0
) -> Scores:
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
        planned=planned or len(items),
        seconds=1.0,
        load_seconds=1.0,
        started=0.0,
    )


def counted(n: int, right: int, worse: int, better: int) -> Pair:
    """Make a pair with these counts: base right on the first `right` items."""
    base = [1.0] * right + [0.0] * (n - right)
    quantized = [0.0] * worse + [1.0] * (right - worse + better) + [0.0] * (n - right - better)
    return Pair(scores(base), scores(quantized))


def own(side: Scores, task: str) -> Scores:
    """Make them the scores of another task, with documents of its own."""
    items = tuple(structs.replace(item, doc_hash=f"{task}-{item.doc_hash}") for item in side.items)
    return structs.replace(side, task=task, items=items)


def complaint(base: Scores, quantized: Scores) -> str:
    with pytest.raises(PairingError) as caught:
        judge_task(Pair(base, quantized), GATE)
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


def test_a_server_is_compared_with_the_engine_here() -> None:
    assert judge_task(Pair(scores([1, 0]), scores([0, 0], backend="server")), GATE).worse == 1


def test_items_are_joined_by_document_and_not_by_position() -> None:
    base = scores([1, 0])
    turned = structs.replace(base, items=base.items[::-1])
    assert judge_task(Pair(base, turned), GATE).worse == 0


def test_identical_scores_recover_everything() -> None:
    assert judge_task(counted(1000, 800, 0, 0), GATE).recovery == 1.0


# The three rows of Nam & Blackwelder's score test with the exact p-value of Lloyd: recovery 1.00, .97 and .9375 at .97.
@pytest.mark.parametrize(
    ("worse", "better", "status"),
    [(20, 20, "PASS"), (40, 16, "INCONCLUSIVE"), (60, 10, "FAIL")],
)
def test_a_verdict_is_what_the_items_prove(worse: int, better: int, status: str) -> None:
    assert judge_task(counted(1000, 800, worse, better), GATE).status == status


def test_an_average_is_proven_where_its_tasks_alone_are_not() -> None:
    counts = {"a": (1000, 800, 30, 26), "b": (400, 160, 18, 10), "c": (5000, 3500, 150, 160)}
    pairs = [Pair(*(own(side, name) for side in counted(*four)[:2])) for name, four in counts.items()]
    verdict = judge_average(pairs, GATE)
    # Worked by hand: A1/A0 = .6260/.63333 = .98842, z' = 2.229.
    assert (verdict.status, round(verdict.recovery or 0, 5)) == ("PASS", 0.98842)


def test_an_item_of_two_tasks_counts_once_in_their_average() -> None:
    whole = counted(1000, 800, 30, 26)
    part = Pair(*(structs.replace(side, task="part", items=side.items[:400]) for side in whole[:2]))
    verdict = judge_average([whole, part], GATE)
    assert (verdict.n, verdict.why) == (1000, "400 items are in two tasks and count once")


def failing(p_fail_counts: tuple[int, int]) -> Verdict:
    return judge_task(counted(1000, 800, *p_fail_counts), GATE)


def test_one_raw_fail_among_many_tasks_is_no_finding() -> None:
    raw = failing((50, 12))  # p_fail = .031
    assert (raw.status, list(findings([raw]).below)) == ("FAIL", [])


def test_a_clear_loss_is_a_finding_among_many_tasks() -> None:
    assert findings([failing((60, 10))]).below == ("sums",)


def test_a_task_far_below_the_gate_vetoes() -> None:
    assert findings([failing((120, 10))]).vetoed == ("sums",)


def test_a_finding_near_the_gate_does_not_veto() -> None:
    assert findings([failing((60, 10))]).vetoed == ()


def test_a_loss_that_chance_may_explain_among_many_tasks_is_suspect() -> None:
    raw = failing((55, 12))  # p_fail = .008: Holm .08, Benjamini-Hochberg .08
    assert (findings([raw]).below, findings([raw]).suspect) == ((), ("sums",))


def shuffled(pair: Pair) -> Pair:
    """Mix the items, so that every look has its share of each kind."""
    order = sorted(range(len(pair.base.items)), key=lambda place: (place * 379) % 1000)
    turned = [structs.replace(side, items=tuple(side.items[place] for place in order)) for side in pair[:2]]
    return pair._replace(base=turned[0], quantized=turned[1])


SEQUENTIAL = Gate(threshold=0.97, shares=LOOKS, family=10)


@pytest.mark.parametrize(
    ("counts", "look"),
    # Levels .0051 .0101 .0201 .0385. Of 10 worse and 10 better, p is .020 at the first look and .0025 at the second.
    [((1000, 800, 200, 0), 1), ((1000, 800, 100, 0), 1), ((1000, 800, 10, 10), 2), ((1000, 800, 40, 16), 4)],
)
def test_a_claim_is_settled_at_the_first_look_that_proves_it(counts: tuple[int, int, int, int], look: int) -> None:
    pair = shuffled(counted(*counts))
    assert next(k for k in range(1, 5) if settled(judge_task(pair, SEQUENTIAL, k))) == look


def test_a_look_takes_its_share_of_the_planned_items() -> None:
    verdict = judge_task(shuffled(counted(1000, 800, 20, 20)), SEQUENTIAL, 2)
    assert (verdict.n, verdict.planned, verdict.stopped) == (500, 1000, True)


def test_a_look_is_judged_at_its_own_level() -> None:
    # Hwang-Shih-DeCani, gamma -2, four looks: nominal p .00508 at the first
    assert round(judge_task(shuffled(counted(1000, 800, 20, 20)), SEQUENTIAL, 1).level, 5) == 0.00508


def test_a_verdict_names_the_records_and_how_many_items_of_each() -> None:
    pair = shuffled(counted(1000, 800, 20, 20))
    named = pair._replace(
        base=structs.replace(pair.base, record="b"), quantized=structs.replace(pair.quantized, record="q")
    )
    evidence = judge_task(named, SEQUENTIAL, 1).evidence[0]
    assert (evidence.base, evidence.quantized) == ("b:250", "q:250")


def test_a_base_that_fails_against_itself_leaves_nothing_proven() -> None:
    pair = counted(1000, 800, 300, 0)
    noisy = pair._replace(repeats=(pair.base, pair.quantized))
    assert judge_task(noisy, GATE).why == "two runs of the base itself fail this gate against each other"


def test_an_average_over_such_a_base_is_not_proven_either() -> None:
    pair = counted(1000, 800, 300, 0)
    noisy = pair._replace(repeats=(pair.base, pair.quantized))
    assert judge_average([noisy], GATE).why.endswith("fail this gate against each other on sums")


def test_dependent_items_prove_less() -> None:
    pair = counted(1000, 800, 30, 20)
    together = structs.replace(
        pair.base, items=tuple(structs.replace(i, cluster=f"c{n % 20}") for n, i in enumerate(pair.base.items))
    )
    assert judge_task(pair._replace(base=together), GATE).p_pass > judge_task(pair, GATE).p_pass


RIVAL = Gate(threshold=0.95, competitor="int8")


@pytest.mark.parametrize(("flips", "status"), [((20, 20), "PASS"), ((60, 10), "FAIL"), ((26, 12), "INCONCLUSIVE")])
def test_a_competitive_format_keeps_up_with_its_competitor(flips: tuple[int, int], status: str) -> None:
    # Above its own threshold of .95 in any case; the competitor loses nothing, the margin is 2 points.
    pair = counted(1000, 800, *flips)
    assert judge_average([pair._replace(rival=pair.base)], RIVAL).status == status


def test_a_competitor_without_scores_is_an_error_and_no_pass() -> None:
    with pytest.raises(PairingError, match="small-int8-sums: no scores, but the gate names it"):
        judge_average([counted(1000, 800, 20, 20)], RIVAL)

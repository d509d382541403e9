"""A suite of normalised scores is judged on one scale, that of the Open LLM Leaderboard V2, and again from its records.

Averages are worked by hand by the leaderboard's formula: (raw - chance)/(1 - chance) of each subtask, the mean over the
subtasks of a task, the mean over tasks (its documentation, "Scores Normalization").
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from quant import reading, stored
from quant.claims import Gate
from quant.environment import DEFAULT_MATRIX
from quant.errors import PairingError
from quant.judge.pairs import Pair
from quant.judge.recovery import judge_average, judge_task
from quant.report import terminal
from quant.scores import Item, Scores
from tests.unit.conftest import GATE

if TYPE_CHECKING:
    from pathlib import Path

    from quant.claims import Verdict
    from tests.unit.conftest import World

RAW = Gate(threshold=0.95, family=3)
NORMALISED = structs.replace(RAW, normalised=True)

# A subtask: its items, how many of them the base and the quantized model get right, and its chance.
Subtask = tuple[int, int, int, float]
MUSR: list[Subtask] = [(300, 180, 165, 1 / 2), (300, 108, 96, 1 / 5), (300, 150, 150, 1 / 3)]
MMLU_PRO: list[Subtask] = [(1000, 370, 343, 1 / 10)]
IFEVAL: list[Subtask] = [(500, 350, 340, 0.0)]


def side(task: str, subtasks: list[Subtask], place: int) -> Scores:
    """Return one model's scores: of each subtask, the first so many items are right."""
    items = tuple(
        Item(
            doc_hash=f"{task}-{number}-{n}",
            prompt_hash="p",
            target_hash="t",
            score=float(n < subtask[place]),
            chance=subtask[3],
        )
        for number, subtask in enumerate(subtasks)
        for n in range(subtask[0])
    )
    return Scores(
        model="small",
        format="rtn",
        task=task,
        metric="acc",
        filter="none",
        backend="vllm",
        items=items,
        planned=len(items),
        seconds=1.0,
        load_seconds=1.0,
        started=0.0,
    )


def pair(task: str, subtasks: list[Subtask]) -> Pair:
    return Pair(side(task, subtasks, 1), side(task, subtasks, 2))


SUITE = [pair("musr", MUSR), pair("mmlu-pro", MMLU_PRO), pair("ifeval", IFEVAL)]


def test_a_score_is_moved_by_its_own_chance() -> None:
    # 1, 0 at 1/2; 1, 0 at 1/5: (1 - c)/(1 - c) and -c/(1 - c)
    made = pair("musr", [(2, 1, 2, 0.5), (2, 1, 1, 0.2)]).normalised()
    assert (made.columns(), made.lowest) == (([1, -1, 1, -0.25], [1, 1, 1, -0.25]), -1)


def test_to_normalise_again_changes_nothing() -> None:
    once = SUITE[0].normalised()
    assert once.normalised().columns() == once.columns()


def test_rivals_and_repeated_runs_are_moved_too() -> None:
    scores = side("musr", [(2, 1, 1, 0.5)], 1)
    made = Pair(scores, scores, scores, (scores, scores)).normalised()
    assert [made.against("int8"), *([item.score for item in run.items] for run in made.repeats)] == [[1, -1]] * 3


def test_the_chance_of_a_task_is_the_mean_of_its_items() -> None:
    assert pair("musr", [(3, 1, 1, 0.5), (1, 1, 1, 0.1)]).chance == pytest.approx(0.4)


def test_equal_chances_have_that_very_mean() -> None:
    assert pair("dialogue", [(997, 1, 1, 0.028)]).chance == 0.028


def test_an_item_of_another_chance_for_each_model_is_an_error() -> None:
    base, other = side("musr", [(9, 5, 5, 0.5)], 1), side("musr", [(9, 5, 5, 0.2)], 1)
    with pytest.raises(PairingError, match="had another chance for each; evaluate both again"):
        judge_task(Pair(base, other), NORMALISED)


def test_an_item_that_any_guess_gets_right_has_no_normalised_score() -> None:
    with pytest.raises(PairingError, match="any guess of document musr-0-0 is right"):
        judge_task(pair("musr", [(9, 5, 5, 1.0)]), NORMALISED)


def test_the_base_average_of_a_suite_is_the_leaderboards() -> None:
    # MuSR (.2 + .2 + .25)/3, MMLU-Pro .3, IFEval .7: 1.216667/3
    assert judge_average(SUITE, NORMALISED).base == pytest.approx(1.2166667 / 3)


def test_the_quantized_average_of_a_suite_is_the_leaderboards() -> None:
    # MuSR (.1 + .15 + .25)/3, MMLU-Pro .27, IFEval .68: 1.116667/3
    assert judge_average(SUITE, NORMALISED).quantized == pytest.approx(1.1166667 / 3)


def test_the_recovery_of_a_suite_is_the_ratio_of_the_leaderboards_averages() -> None:
    # Raw it would be (.4566667 + .343 + .68)/(.4866667 + .37 + .7) = .9505
    found = [judge_average(SUITE, gate).recovery for gate in (NORMALISED, RAW)]
    assert found == pytest.approx([1.1166667 / 1.2166667, 1.4796667 / 1.5566667])


def test_a_task_is_shown_on_the_scale_that_it_is_judged_on() -> None:
    verdict = judge_task(SUITE[1], NORMALISED)
    assert (verdict.base, verdict.quantized, verdict.recovery) == pytest.approx((0.3, 0.27, 0.9))


def test_a_loss_of_what_is_not_guessed_fails_where_raw_scores_pass() -> None:
    # 500 of 2000 can be guessed, and of 600 right answers 20 are lost: .967 raw, .8 normalised
    pairs = pair("gpqa", [(2000, 600, 580, 0.25)])
    assert [judge_task(pairs, gate).status for gate in (RAW, NORMALISED)] == ["PASS", "FAIL"]


def test_a_task_that_nobody_can_guess_is_judged_the_same() -> None:
    raw, normalised = judge_task(SUITE[2], RAW), judge_task(SUITE[2], NORMALISED)
    assert structs.replace(normalised, gate=RAW) == raw


def test_items_that_got_worse_are_counted_as_ever() -> None:
    verdict = judge_task(SUITE[0], NORMALISED)
    assert (verdict.worse, verdict.better) == (27, 0)


def test_a_rival_is_compared_on_the_same_scale() -> None:
    # Of (300 right, 270) at c = 1/2 and 500 items: (.54 - .6)/(.6 - .5)
    base, quantized = side("musr", [(500, 300, 270, 0.5)], 1), side("musr", [(500, 300, 270, 0.5)], 2)
    gate = structs.replace(NORMALISED, competitor="int8")
    verdict = judge_average([Pair(base, quantized, structs.replace(base, format="int8"))], gate)
    assert verdict.comparison is not None
    assert verdict.comparison.difference == pytest.approx(-0.6)


def test_run_noise_is_shown_as_a_share_of_items() -> None:
    # Six runs of 100 items at c = .5, of which one differs in four items: within .04/6, of raw scores
    runs = [side("musr", [(100, 80, 0, 0.5)], 1)] * 5 + [side("musr", [(100, 84, 0, 0.5)], 1)]
    verdict = judge_task(Pair(runs[0], runs[0], None, tuple(runs)), NORMALISED)
    assert verdict.noise is not None
    assert verdict.noise.flip_rate == pytest.approx(2 * 0.04 / 6)


def test_the_excess_of_run_noise_is_of_the_scale_that_is_judged() -> None:
    # Run means .6 five times and .68: variance .08^2/6, less within 4 x .04/6 over 100 items
    runs = [side("musr", [(100, 80, 0, 0.5)], 1)] * 5 + [side("musr", [(100, 84, 0, 0.5)], 1)]
    verdict = judge_task(Pair(runs[0], runs[0], None, tuple(runs)), NORMALISED)
    assert verdict.noise is not None
    assert verdict.noise.excess == pytest.approx(0.0064 / 6 - 0.16 / 600)


def test_the_suite_of_the_leaderboard_is_normalised_and_no_other_is() -> None:
    suites = reading.load(DEFAULT_MATRIX).suites.values()
    assert [suite.id for suite in suites if suite.normalised] == ["openllm-v2"]


def test_a_gate_has_the_scale_of_its_suite() -> None:
    matrix = reading.load(DEFAULT_MATRIX)
    gate = matrix.gate("openllm-v2", matrix.formats["fp8-dynamic"], matrix.profiles["release"])
    assert gate.normalised


def test_the_report_says_once_that_scores_are_normalised() -> None:
    lines = terminal.remarks([judge_task(each, NORMALISED) for each in SUITE])
    assert lines.count("scores are normalised, (score - chance) / (1 - chance): a guess scores 0 on average") == 1


def test_the_sentence_of_a_verdict_says_that_its_scores_are_normalised() -> None:
    said = terminal.sentence(judge_task(SUITE[1], NORMALISED))
    assert "base 30.00 %, quantized 27.00 % (normalised)" in said


@pytest.fixture
def run(world: World) -> tuple[World, Path, list[Verdict]]:
    """A normalised run: where it wrote its results, and what it found."""
    gate = structs.replace(GATE, normalised=True)
    made = world.verdicts({"facts": 20, "arithmetic": 3}, average=True, gate=gate, chance=0.25)
    file, found = world.written(made)
    return world, file, found


def test_a_normalised_run_is_judged_again_to_the_same_verdicts(run: tuple[World, Path, list[Verdict]]) -> None:
    world, file, found = run
    assert stored.judge(file, world.store) == found


def test_the_results_say_that_scores_are_normalised(run: tuple[World, Path, list[Verdict]]) -> None:
    written = json.loads(run[1].read_text())
    assert [verdict["gate"]["normalised"] for verdict in written["verdicts"]] == [True] * 3


def test_a_line_of_a_verdict_says_that_its_scores_are_normalised(run: tuple[World, Path, list[Verdict]]) -> None:
    assert [line["normalised"] for line in stored.lines(run[2])] == [True] * 3


def test_the_store_keeps_raw_scores(run: tuple[World, Path, list[Verdict]]) -> None:
    world, *_ = run
    files = (world.store.root / "scores").rglob("scores.json")
    kept = {(item[3], item[5]) for file in files for item in json.loads(file.read_text())["items"]}
    assert kept == {(0.0, 0.25), (1.0, 0.25)}

"""The gates are silent about a checkpoint that is only written differently, and about one that was not harmed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from fixtures.sabotage.catalogue import CONTROLS
from fixtures.sabotage.trial import LOOKS, Trial, ask
from quant.judge.pairs import Pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from fixtures.sabotage.catalogue import Sabotage
    from fixtures.sabotage.trial import Bench
    from quant.report.sensitivity import Catch
    from quant.scores import Scores

pytestmark = pytest.mark.timeout(0)  # a stage has a time limit of its own; a test only waits for it

EACH = pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
DRAWS = 20
ITEMS = 200


def subset(pair: Pair, items: int, draw: random.Random) -> Pair:
    """The same `items` random documents of both sides."""
    chosen = set(draw.sample(sorted(item.doc_hash for item in pair.base.items), items))

    def cut(scores: Scores) -> Scores:
        kept = tuple(item for item in scores.items if item.doc_hash in chosen)
        return structs.replace(scores, items=kept, planned=len(kept))

    return Pair(cut(pair.base), cut(pair.quantized))


def alarms(trial: Trial, pairs: list[Pair], items: int) -> list[str]:
    """What the gates said that spoke, over random subsets of `items` of each task."""
    draw, found = random.Random(0), []
    gate = structs.replace(trial.bench.gate(trial.good), shares=(1.0,))
    for _ in range(DRAWS):
        drawn = [subset(pair, min(items, len(pair.base.items)), draw) for pair in pairs]
        gates, why = ask(drawn, gate, 1)
        found += [why] * any(gates.values())
    return found


@EACH
def test_no_gate_speaks_about_the_same_model(
    control: Sabotage, trials: dict[str, Trial], keep: Callable[[Catch], Catch]
) -> None:
    catch = keep(trials[control.name].catch.result())
    assert not any(catch.gates.values()), catch.why


@EACH
def test_the_same_tensors_give_the_same_scores(control: Sabotage, trials: dict[str, Trial], bench: Bench) -> None:
    trial = trials[control.name]
    unharmed = bench.scores(trial.good, 1)
    assert [s.result().items for s in trial.begin()[1]] == [s.result().items for s in unharmed]


# Recovery of INT8 lies far above its gate of 97 %, so the chance of an alarm is far below 20 x alpha.
def test_no_random_subset_of_an_unharmed_checkpoint_alarms(bench: Bench) -> None:
    trial = Trial(bench, CONTROLS["unchanged"])
    assert alarms(trial, bench.pairs(*trial.begin(len(LOOKS))), ITEMS) == []


@pytest.mark.slow
@EACH
def test_no_random_subset_of_all_items_alarms(control: Sabotage, bench: Bench) -> None:
    tasks = bench.pipeline.inputs.matrix.suite_tasks("reference-full")
    everything = bench._replace(tasks=tuple(tasks))
    trial = Trial(everything, control)
    assert alarms(trial, everything.pairs(*trial.begin(len(LOOKS))), 2 * ITEMS) == []

"""Each gate catches what it is there for: real checkpoints, broken on purpose, really served and judged."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import pytest

from fixtures.sabotage.catalogue import SABOTAGES
from fixtures.sabotage.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from fixtures.sabotage.catalogue import Sabotage
    from fixtures.sabotage.trial import Bench
    from quant.report.sensitivity import Catch

pytestmark = pytest.mark.timeout(0)  # a stage has a time limit of its own; a test only waits for it


def _skip_unless_served(trial: Trial) -> None:
    if not trial.served:
        pytest.skip(f"Transformers serves {trial.good.id} on this machine, and does not see {trial.sabotage.name}")


@pytest.mark.parametrize("sabotage", SABOTAGES.values(), ids=SABOTAGES)
def test_the_gate_named_for_a_sabotage_catches_it(
    sabotage: Sabotage, trials: dict[str, Trial], keep: Callable[[Catch], Catch]
) -> None:
    trial = trials[sabotage.name]
    _skip_unless_served(trial)
    catch = keep(trial.catch.result())
    assert catch.caught, catch.why


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", [s for s in SABOTAGES.values() if s.ladder], ids=lambda sabotage: sabotage.name)
def test_the_catalogue_names_the_mildest_dose_that_is_caught(
    sabotage: Sabotage, bench: Bench, keep: Callable[[Catch], Catch]
) -> None:
    trials = [Trial(bench, sabotage, dose) for dose in sabotage.ladder]
    _skip_unless_served(trials[0])
    begun = [trial.catch for trial in trials]
    caught = takewhile(lambda catch: catch.caught, [keep(catch.result()) for catch in begun])
    assert [catch.dose for catch in caught][-1:] == [sabotage.dose]

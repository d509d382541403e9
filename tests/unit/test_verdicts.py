"""Items are scored only as far as an open claim needs them; each claim stops by its own items."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from tests.unit.conftest import World

FORMAT = "int8-w8a8"
QUARTERS = [0.25, 0.5, 0.75, 1.0]


def test_a_clear_loss_is_proven_at_the_first_look(world: World) -> None:
    verdict = world.verdicts({"facts": 20, "arithmetic": 20}).tasks["facts"].result()
    assert (verdict.status, verdict.look, verdict.n, verdict.planned) == ("FAIL", 1, 100, 400)


def test_a_settled_claim_asks_for_no_more_items(world: World) -> None:
    world.verdicts({"facts": 20, "arithmetic": 3})
    assert (world.asked(FORMAT, "facts"), world.asked(FORMAT, "arithmetic")) == ([0.25], QUARTERS)


def test_the_base_is_scored_as_far_as_a_claim_needs_it(world: World) -> None:
    world.verdicts({"facts": 20, "arithmetic": 3})
    assert (world.asked("bf16", "facts"), world.asked("bf16", "arithmetic")) == ([0.25], QUARTERS)


def test_an_open_average_needs_every_task(world: World) -> None:
    world.verdicts({"facts": 20, "arithmetic": 0}, average=True, claims=())
    assert world.asked(FORMAT, "facts") == world.asked(FORMAT, "arithmetic")


def test_a_claim_has_the_same_numbers_whatever_else_is_open(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone = type(world)(tmp_path_factory.mktemp("alone")).verdicts({"facts": 20, "arithmetic": 0}, claims=("facts",))
    beside = world.verdicts({"facts": 20, "arithmetic": 0}, average=True)
    assert beside.tasks["facts"].result() == alone.tasks["facts"].result()


def test_what_is_never_proven_takes_all_items(world: World) -> None:
    verdict = world.verdicts({"facts": 3, "arithmetic": 3}).tasks["facts"].result()
    assert (verdict.status, verdict.look, verdict.stopped) == ("INCONCLUSIVE", 4, False)


def test_stored_scores_start_no_process(world: World) -> None:
    world.verdicts({"facts": 20, "arithmetic": 0}, average=True)
    assert world.pipeline.workers.starts == {}

"""What a suite can prove is known before anything is run, from what the store has measured or from assumptions.

Expected numbers of the assumed effects are the planner's own table's (p0 .75; d .03, .06, .12); those of measured
ones are counted by hand from the scores that the tests write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from quant import hardware, plan, reading
from quant.environment import ROOT
from quant.inputs.run import Inputs
from quant.jobs import Context, Side
from quant.matrix import BASE, Matrix
from quant.quantization import CHECKPOINT
from quant.records import Checkpoint, Hardware
from quant.report.plan import Number
from quant.scores import Item
from quant.series import find
from quant.stages.protocol import SCORES, TaskScores
from quant.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from quant.report.plan import Plan, Row

MATRIX = reading.load(ROOT / "fixtures" / "data" / "matrix.toml")
FP8, ONE = MATRIX.formats["fp8-dynamic"], MATRIX.models["ref-4m"]
GPU = Hardware(kind="some-gpu", name="some GPU", devices=1, capabilities=hardware.CAPABILITIES["sm90"])
CPU = msgspec.structs.replace(GPU, kind="cpu-avx512", name="some CPU")
MADE = Checkpoint(model="ref-4m", format=FP8.id, path="model", files={"w": "0"}, tensor_bytes=1, seconds=120.0)


def keep(where: Context, key: dict[str, Any] | None = None) -> None:
    """Put a checkpoint into the store, where a run looks for it or under another key."""
    with where.store.workspace() as space:
        (space / CHECKPOINT).write_bytes(msgspec.json.encode(MADE))
        inputs = key or where.inputs.checkpoint_key(ONE, FP8)
        where.store.commit("checkpoints", f"ref-4m-{FP8.id}", inputs, space)


def context(folder: Path, machine: Hardware = CPU, declared: Matrix = MATRIX, *, kept: bool = False) -> Context:
    """Return a context with a store of its own, in which the checkpoint is `kept`."""
    made = Context(Inputs(declared, machine), Store(folder), lambda _message: None)
    if kept:
        keep(made)
    return made


def score(
    where: Context, fmt: str, scores: Sequence[float], task: str = "facts", *, seconds: float = 1.0, chance: float = 0.0
) -> None:
    """Put scores of the first items of a task into the store, where a run looks for them."""
    side = Side(where.inputs.matrix.models["ref-4m"], BASE if fmt == "bf16" else FP8, "vllm")
    checkpoint = where.inputs.base(ONE) if fmt == "bf16" else MADE
    items = tuple(
        Item(doc_hash=f"d{i}", prompt_hash="p", target_hash="t", score=y, chance=chance) for i, y in enumerate(scores)
    )
    part = TaskScores(items=items, start=0, documents=1250, seconds=seconds, load_seconds=0.0, started=0.0, engine={})
    with where.store.workspace() as space:
        (space / SCORES).write_bytes(msgspec.json.encode(part))
        find(where, side, where.inputs.matrix.tasks[task], checkpoint).append(space)


def planned(where: Context, *, formats: Sequence[str] = (FP8.id,), gate: str = "release", **options: Any) -> Plan:
    """Plan the reference suite."""
    declared, profile = where.inputs.matrix, MATRIX.profiles[gate]
    cells = list(declared.cells("reference", formats=formats, items=profile.items))
    return plan.plan(where, "reference", cells, profile, **options)


def facts(found: Plan) -> Row:
    return next(row for row in found.rows if row.task == "facts")


def with_task(**changes: Any) -> Matrix:
    """Return the reference matrix with one task changed."""
    task = msgspec.structs.replace(MATRIX.tasks["facts"], **changes)
    return msgspec.structs.replace(MATRIX, tasks=MATRIX.tasks | {"facts": task})


def with_suite(**changes: Any) -> Matrix:
    """Return the reference matrix with its first suite changed."""
    suite = msgspec.structs.replace(MATRIX.suites["reference"], **changes)
    return msgspec.structs.replace(MATRIX, suites=MATRIX.suites | {"reference": suite})


@pytest.mark.parametrize(("fmt", "needed"), [("fp8-dynamic", 3391), ("int8-w8a8", 769), ("int4-w4a16", 531)])
def test_without_scores_a_plan_assumes_what_the_family_does(tmp_path: Path, fmt: str, needed: int) -> None:
    assert facts(planned(context(tmp_path), formats=[fmt])).needed == needed


def test_what_is_assumed_says_so(tmp_path: Path) -> None:
    assert facts(planned(context(tmp_path))).base == Number(value=0.75, source="assumed")


def test_the_average_has_the_power_of_all_items_together(tmp_path: Path) -> None:
    # gap .0075, s1 .029719, 3600 items: 1 - Phi(1.6449 - .0075/.0028732) = .833
    assert planned(context(tmp_path)).averages[0].power == pytest.approx(0.833, abs=0.001)


def test_base_accuracy_is_measured_where_the_store_has_the_base(tmp_path: Path) -> None:
    where = context(tmp_path)
    score(where, "bf16", [1.0] * 90 + [0.0] * 10)
    assert facts(planned(where)).base == Number(value=0.9, source="measured", n=100)


def test_discordance_is_that_of_the_items_on_both_sides(tmp_path: Path) -> None:
    where = context(tmp_path, kept=True)
    score(where, "bf16", [1.0] * 90 + [0.0] * 10)
    score(where, FP8.id, [1.0] * 47 + [0.0] * 3)
    assert facts(planned(where)).discordance == Number(value=0.06, source="measured", n=50)


def test_no_flip_among_few_items_is_planned_as_one(tmp_path: Path) -> None:
    where = context(tmp_path, kept=True)
    for fmt in ("bf16", FP8.id):
        score(where, fmt, [1.0] * 80 + [0.0] * 20)
    assert facts(planned(where)).effect(1.0).discordance == 0.01


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_base_that_is_always_or_never_right_can_be_planned(tmp_path: Path, value: float) -> None:
    where = context(tmp_path, kept=True)
    for fmt in ("bf16", FP8.id):
        score(where, fmt, [value] * 100)
    assert facts(planned(where)).base.value == value


def test_a_discordance_below_the_loss_planned_for_is_raised_to_it(tmp_path: Path) -> None:
    assert facts(planned(context(tmp_path))).effect(0.5).discordance == pytest.approx(0.375)


def test_scores_of_another_checkpoint_measure_nothing(tmp_path: Path) -> None:
    where = context(tmp_path)
    score(where, "bf16", [1.0] * 100)
    score(where, FP8.id, [1.0] * 100)  # but the checkpoint that it belongs to is not there
    assert facts(planned(where)).discordance.source == "assumed"


def test_a_recovery_at_the_threshold_is_provable_at_no_size(tmp_path: Path) -> None:
    found = planned(context(tmp_path), recovery=0.99)
    assert {(row.needed, row.outcome) for row in found.rows} == {(None, "unprovable")}


def test_an_unprovable_average_says_how_many_items_are_needed(tmp_path: Path) -> None:
    # ((1.6449 + .8416)/.0075)^2 * .029719 = 3266 items in all, of 1800
    average = planned(context(tmp_path), gate="pr").averages[0]
    assert (average.items, average.needed, average.outcome) == (1800, 3267, "unprovable")


def test_tasks_with_fewer_items_than_count_leave_no_average(tmp_path: Path) -> None:
    average = planned(context(tmp_path, declared=with_suite(items=100))).averages[0]
    assert (average.power, average.outcome, average.why) == (0.0, "unprovable", "no task has the 200 items that count")


def test_items_of_a_task_without_files_are_unknown_until_it_is_scored(tmp_path: Path) -> None:
    found = planned(context(tmp_path, declared=with_task(folder="")))
    assert (facts(found).items, found.averages[0].outcome, found.exit_code) == (None, "unknown", 3)


def test_items_of_a_task_without_files_are_those_of_its_series(tmp_path: Path) -> None:
    where = context(tmp_path, declared=with_task(folder=""))
    score(where, "bf16", [1.0] * 100)
    assert (facts(planned(where)).items, facts(planned(where)).documents) == (400, 1250)


def test_looks_save_items_and_a_full_run_saves_none(tmp_path: Path) -> None:
    where = context(tmp_path)
    full = msgspec.structs.replace(MATRIX.profiles["release"], looks=(1.0,))
    cells = list(MATRIX.cells("reference", formats=[FP8.id]))
    expected = plan.plan(where, "reference", cells, full).averages[0].expected, planned(where).averages[0].expected
    assert expected == pytest.approx((3600, 2664), abs=1)


def test_a_task_that_items_without_a_flip_cannot_prove_is_not_expected_to_stop_early(tmp_path: Path) -> None:
    where = context(tmp_path, kept=True)
    for fmt in ("bf16", FP8.id):
        score(where, fmt, [0.45] * 400)  # .99 ** (400 * .45) = .16
    assert (facts(planned(where)).power, (facts(planned(where)).expected or 0) > 360) == (0.0, True)


def test_cost_is_that_of_the_items_that_the_store_lacks(tmp_path: Path) -> None:
    where = context(tmp_path, kept=True)
    for fmt, seconds in (("bf16", 10.0), (FP8.id, 20.0)):
        score(where, fmt, [1.0, 0.0, 1.0, 1.0, 1.0] * 20, seconds=seconds)
    row = facts(planned(where))
    assert row.seconds == pytest.approx(((row.expected or 0.0) - 100) * 0.3)


def test_a_format_never_scored_is_priced_at_the_rate_of_the_base(tmp_path: Path) -> None:
    where = context(tmp_path, kept=True)
    score(where, "bf16", [1.0, 0.0, 1.0, 1.0, 1.0] * 20, seconds=10.0)
    row = facts(planned(where))
    assert row.seconds == pytest.approx((2 * (row.expected or 0.0) - 100) * 0.1)


def test_a_task_never_scored_has_no_known_cost(tmp_path: Path) -> None:
    assert (planned(context(tmp_path)).seconds, planned(context(tmp_path, GPU)).gpu_hours) == (None, None)


def test_a_checkpoint_of_another_key_tells_what_making_one_costs(tmp_path: Path) -> None:
    where = context(tmp_path)
    keep(where, key={"another": "version"})
    score(where, "bf16", [1.0, 0.0, 1.0, 1.0, 1.0] * 100, seconds=0.0)
    assert facts(planned(where)).seconds == 120.0


def test_the_total_counts_the_base_and_each_checkpoint_once(tmp_path: Path) -> None:
    where = context(tmp_path, declared=with_suite(tasks=("facts",)))
    keep(where, key={"another": "version"})
    score(where, "bf16", [1.0, 0.0, 1.0, 1.0, 1.0] * 20, seconds=10.0)
    found = planned(where)
    assert found.seconds == pytest.approx(120 + (2 * (facts(found).expected or 0.0) - 100) * 0.1)


def test_two_formats_share_the_base(tmp_path: Path) -> None:
    where = context(tmp_path, declared=with_suite(tasks=("facts",)))
    for fmt in ("fp8-dynamic", "fp8-dynamic+fp8-kv"):
        with where.store.workspace() as space:
            (space / CHECKPOINT).write_bytes(msgspec.json.encode(MADE))
            where.store.commit("checkpoints", f"ref-4m-{fmt}", {"another": fmt}, space)
    score(where, "bf16", [1.0, 0.0, 1.0, 1.0, 1.0] * 20, seconds=10.0)
    found = planned(where, formats=["fp8-dynamic", "fp8-dynamic+fp8-kv"])
    assert found.seconds == pytest.approx(240 + (3 * (facts(found).expected or 0.0) - 100) * 0.1)


def test_gpu_hours_count_every_device_of_a_model(tmp_path: Path) -> None:
    models = MATRIX.models | {"ref-4m": msgspec.structs.replace(ONE, tensor_parallel=4)}
    four = msgspec.structs.replace(GPU, devices=4)
    where = context(tmp_path, four, msgspec.structs.replace(with_suite(tasks=("facts",)), models=models))
    keep(where, key={"another": "version"})
    score(where, "bf16", [1.0, 0.0, 1.0, 1.0, 1.0] * 100, seconds=0.0)
    assert planned(where).gpu_hours == pytest.approx(4 * 120 / 3600)


def test_only_items_on_both_sides_are_cached(tmp_path: Path) -> None:
    where = context(tmp_path, kept=True)
    score(where, "bf16", [1.0] * 500)
    score(where, FP8.id, [1.0] * 100)
    row = facts(planned(where))
    assert (row.cached, row.checkpoint) == (100, True)


def test_a_task_that_the_base_always_gets_right_tells_an_average_least(tmp_path: Path) -> None:
    where = context(tmp_path)
    score(where, "bf16", [1.0] * 100, "needle")
    assert planned(where).averages[0].first[-1] == "needle"


def test_a_format_that_must_keep_up_with_another_is_planned_for_it(tmp_path: Path) -> None:
    # 9 x 400 items, base .75, formats that differ on .12: gap .015, sd .00578, so 1 - Phi(1.645 - 2.597) = .83
    assert planned(context(tmp_path), formats=["int4-w4a16"]).averages[0].rivalry == pytest.approx(0.83, abs=0.005)


NORMALISED = with_suite(normalised=True)


def test_a_normalised_plan_takes_the_chance_that_the_task_states(tmp_path: Path) -> None:
    assert facts(planned(context(tmp_path, declared=NORMALISED))).chance == Number(value=0.25, source="measured")


def test_a_normalised_plan_takes_the_chance_of_the_items_that_the_store_has(tmp_path: Path) -> None:
    where = context(tmp_path, declared=NORMALISED)
    score(where, "bf16", [1.0] * 90 + [0.0] * 10, chance=0.5)
    assert facts(planned(where)).chance == Number(value=0.5, source="measured", n=100)


def test_a_raw_plan_subtracts_no_chance(tmp_path: Path) -> None:
    where = context(tmp_path)
    score(where, "bf16", [1.0] * 90 + [0.0] * 10, chance=0.5)
    assert facts(planned(where)).chance.value == 0


def test_a_normalised_plan_needs_more_items(tmp_path: Path) -> None:
    # c .25, p0 .75, d .03, R .99: gap .01 x .5 = .005 of accuracy, s1 .02971875, n = 2.48648^2 s1/gap^2; raw 3,391
    assert facts(planned(context(tmp_path, declared=NORMALISED))).needed == 7350


def test_a_normalised_average_weighs_each_task_on_its_own_scale(tmp_path: Path) -> None:
    # By hand of the nine tasks at p0 .75, d .03, rho 1, R .99, 400 items: with c, gap_t = .01(.75-c)/(1-c) and
    # s1_t = (.735 x .0001 + .015 x .9801 + .015 - (.01(.75-c) + .01c)^2)/(1-c)^2; c = .25 twice, .5, .028, .01, 0 four
    # times: gap .063236/9 = .0070262, V = .405194/(81 x 400) = .000012506, 1 - Phi(1.6449 - 1.9868) = .634
    assert planned(context(tmp_path, declared=NORMALISED)).averages[0].power == pytest.approx(0.634, abs=0.001)


def test_a_base_at_chance_is_unprovable(tmp_path: Path) -> None:
    where = context(tmp_path, declared=NORMALISED)
    score(where, "bf16", [1.0] * 20 + [0.0] * 80, chance=0.25)
    row = facts(planned(where))
    assert (row.outcome, row.loss) == ("unprovable", None)

"""`python -m quant plan`: a table, sentences that say what to add, an exit code; mistakes end with 2."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from quant.__main__ import main
from quant.environment import ROOT
from quant.report import plan
from quant.report.plan import Number, Plan, Row

if TYPE_CHECKING:
    from pathlib import Path

TASK = Row(
    model="ref-4m",
    format="fp8-dynamic",
    task="facts",
    threshold=0.99,
    items=400,
    documents=1250,
    base=Number(value=0.93, source="measured", n=400),
    discordance=Number(value=0.03),
    cached=100,
    checkpoint=True,
    needed=3000,
    loss=0.031,
    power=0.23,
    expected=380.2,
    seconds=90.0,
    outcome="unprovable",
)
AVERAGE = replace(
    TASK, task="", items=1200, documents=3750, needed=1801, loss=None, power=0.61, first=("needle", "facts"), timed=True
)
PLAN = Plan(
    suite="reference",
    profile="release",
    alpha=0.05,
    target=0.8,
    recovery=1.0,
    hardware="some-gpu",
    rows=(TASK, replace(TASK, task="needle", outcome="provable"), AVERAGE),
    seconds=5400.0,
    gpu_hours=6.0,
)


def of(average: Row) -> str:
    return plan.sentence(average, PLAN)


def test_an_average_that_lacks_items_says_how_many_and_which_tasks_tell_most() -> None:
    assert of(AVERAGE) == (
        "ref-4m fp8-dynamic: the average is unprovable at 99.0 % (power 0.61 with 1,200 items): for 0.80 add 601 "
        "items, x1.51 of each task (the files hold 3,750); needle, facts tell most a second; "
        "1 of 2 tasks alone are unprovable (facts x7.50)"
    )


def test_an_average_that_no_items_prove_says_so() -> None:
    assert "(power 0.61 with 1,200 items); no number of items gives 0.80;" in of(replace(AVERAGE, needed=None))


def test_a_provable_average_asks_for_nothing() -> None:
    assert "provable at 99.0 % (power 0.61 with 1,200 items); 1 of 2" in of(replace(AVERAGE, outcome="provable"))


def test_an_unknown_average_says_why() -> None:
    unknown = replace(AVERAGE, items=None, power=None, outcome="unknown", why="the items of facts are unknown")
    assert "the average is unknown at 99.0 % (the items of facts are unknown);" in of(unknown)


def test_the_power_against_a_competitor_is_said() -> None:
    rivals = replace(AVERAGE, competitor="int8-w8a8", rivalry=0.567)
    assert of(rivals).endswith("; that it keeps up with int8-w8a8 is proven with power 0.57")


def test_many_lacking_tasks_are_told_by_the_least_and_the_largest_factor() -> None:
    rows = tuple(replace(TASK, task=f"t{n}", needed=needed) for n, needed in enumerate((800, 4000, None, 2000)))
    told = plan.sentence(AVERAGE, replace(PLAN, rows=rows))
    assert told.endswith("4 of 4 tasks alone are unprovable (t0 x2.00 to t2 at any number)")


def test_the_cost_of_all_is_told_in_minutes_and_gpu_hours() -> None:
    assert plan.remarks(PLAN)[-1] == "to be served and quantized: 90.0 min, 6.00 GPU hours"


def test_what_is_assumed_is_marked_and_the_mark_explained() -> None:
    assert (" ~3.00 " in plan.table(PLAN, width=132, colour=False), "~ is assumed" in plan.remarks(PLAN)[0]) == (
        True,
        True,
    )


def test_a_row_shows_every_number() -> None:
    line = plan.table(PLAN, width=132, colour=False).splitlines()[1]
    shown = "ref-4m fp8-dynamic facts 93.00 ~3.00 400 3,000 3.1 0.23 381 1.5 25 % unprovable"
    assert line.split() == shown.split()


def test_numbers_that_are_not_known_are_dashes() -> None:
    unknown = replace(TASK, items=None, needed=None, loss=None, power=None, expected=None, seconds=None)
    line = plan.table(replace(PLAN, rows=(unknown,)), width=132, colour=False).splitlines()[1]
    assert line.split()[5:12] == ["-"] * 7


def test_a_task_that_no_items_prove_says_never() -> None:
    assert " never " in plan.table(replace(PLAN, rows=(replace(TASK, needed=None),)), width=132, colour=False)


def test_a_terminal_keeps_the_table_to_its_width() -> None:
    text = re.sub(r"\x1b\[[0-9;]*m", "", plan.table(PLAN, width=100, colour=True))
    assert max(map(len, text.splitlines())) <= 100


def run(tmp_path: Path, *options: str) -> int:
    return main(["plan", "--store", str(tmp_path / "store"), *options])


def test_the_exit_code_is_0_if_every_average_is_provable(tmp_path: Path) -> None:
    assert run(tmp_path) == 0


def test_the_exit_code_is_3_if_an_average_is_not(tmp_path: Path) -> None:
    assert run(tmp_path, "--gate", "pr") == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suite", "referense"], "did you mean 'reference'?"),
        (["--models", "nobody"], "no model 'nobody'"),
        (["--gate", "strict"], "no profile 'strict'"),
        (["--power", "80"], "--power 80.0: must lie in [0.5, 1), such as 0.8"),
        (["--power", "nan"], "--power nan: must lie in"),
        (["--recovery", "0"], "--recovery 0.0: must lie in (0, 2], such as 0.995 for 99.5 %"),
        (["--recovery", "99"], "--recovery 99.0: must lie in"),
        (["--formats", "bf16"], "nothing to plan"),
        (["--matrix", "nowhere.toml"], "nowhere.toml: no such matrix file"),
        (["--store", f"{ROOT}/README.md"], "README.md: cannot be used"),
    ],
)
def test_a_mistake_ends_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert (run(tmp_path, *options), message in capsys.readouterr().err) == (2, True)


def test_json_holds_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "--json", "--formats", "fp8-dynamic,int8-w8a8")
    assert [row["task"] for row in json.loads(capsys.readouterr().out)["rows"]].count("") == 2


def test_a_table_has_a_line_a_cell_and_one_an_average(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "--models", "ref-4m,ref-0.6m", "--formats", "int8-w8a8", "--full")
    assert capsys.readouterr().out.count("int8-w8a8  ") == 20


def test_a_plan_of_normalised_scores_says_so_and_what_it_does_not_know() -> None:
    unknown = replace(TASK, task="musr", chance=Number(value=0.0))
    said = plan.remarks(replace(PLAN, normalised=True, rows=(TASK, unknown, AVERAGE)))[0]
    scale = "of scores normalised by chance (taken as 0 for musr until scored once), base and disc. are raw"
    assert f"alpha 0.05 {scale}" in said


def test_a_plan_of_raw_scores_says_nothing_of_chance() -> None:
    assert "chance" not in plan.remarks(PLAN)[0]

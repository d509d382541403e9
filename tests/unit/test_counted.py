"""`python -m quant judge`: counts from a CSV, verdicts as JSON lines, mistakes named by file and line.

Expected numbers are the worked example and the table of the gate's specification (see `stats/test_paired.py` and
`stats/test_pooling.py` for their sources).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quant.__main__ import main
from quant.errors import UsageError
from quant.judge import counted
from quant.stats.counts import Counts, limits
from quant.stats.paired import counts_recoveries, counts_recovery
from quant.stats.pooling import TaskCounts, pool, pools

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "cell,task,n,base_correct,worse,better,threshold"
EXAMPLE = f"""{HEADER}
ref,A,1000,800,30,26,0.97
ref,B,400,160,18,10,0.97
ref,C,5000,3500,150,160,0.97
"""
TABLE = {  # n, X0, b, c, R, chance: verdict, why
    "1000,800,20,20,.97,0": ("PASS", None),
    "1000,800,40,16,.97,0": ("INCONCLUSIVE", None),
    "1000,800,60,10,.97,0": ("FAIL", None),
    "400,300,12,0,.97,0": ("INCONCLUSIVE", None),
    "300,298,0,0,.99,0": ("INCONCLUSIVE", None),
    "300,299,0,0,.99,0": ("PASS", None),
    "250,200,0,0,.97,0": ("PASS", None),
    "250,200,0,0,.99,0": ("INCONCLUSIVE", None),
    "8,8,8,0,.97,0": ("FAIL", None),
    "8,4,4,0,.97,0": ("INCONCLUSIVE", None),
    "100,0,0,5,.97,0": ("INCONCLUSIVE", "base scores zero"),
    "400,104,10,20,.95,.25": ("INCONCLUSIVE", "base at chance (P = .576)"),
    "400,104,104,0,.95,.25": ("FAIL", None),
    "0,0,0,0,.97,0": ("INCONCLUSIVE", "no items"),
}


def run(tmp_path: Path, text: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and the lines written."""
    (tmp_path / "counts.csv").write_text(text)
    code = main(["judge", str(tmp_path / "counts.csv"), "-o", str(tmp_path / "out.jsonl"), *options])
    return code, [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def complaint(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        counted.parse(text, "c.csv")
    return str(caught.value)


def test_the_worked_example_passes_with_its_macro_average(tmp_path: Path) -> None:
    code, lines = run(tmp_path, EXAMPLE)
    found = [round(lines[-1][key], 5) for key in ("recovery", "low", "high", "item", "average_of_ratios")]
    assert (code, lines[-1]["verdict"], found) == (0, "PASS", [0.98842, 0.97486, 1.00169, 0.99955, 0.98262])


def test_tasks_come_in_the_order_of_the_file_and_averages_after_them(tmp_path: Path) -> None:
    lines = run(tmp_path, EXAMPLE + "other,A,1000,800,30,26,0.97\nref,D,1000,800,30,26,0.97\n")[1]
    found = [(line["kind"], line["cell"], line.get("task")) for line in lines[3:]]
    assert found == [("task", "other", "A"), ("task", "ref", "D"), ("average", "ref", None), ("average", "other", None)]


def test_a_task_line_has_the_declared_fields(tmp_path: Path) -> None:
    line = run(tmp_path, EXAMPLE)[1][0]
    assert list(line) == ["kind", "cell", "task", "n", "recovery", "low", "high", "verdict", "p_fail", "p_pass"]


@pytest.mark.parametrize("fields", TABLE)
def test_every_row_of_the_table_has_its_verdict(fields: str) -> None:
    line = counted.judge(counted.parse(f"{HEADER},chance\ncell,task,{fields}\n", "c.csv"))[0]
    assert (line["verdict"], line.get("why")) == TABLE[fields]


def test_numbers_are_those_of_the_library_in_full(tmp_path: Path) -> None:
    line, r = run(tmp_path, EXAMPLE)[1][0], counts_recovery(Counts(1000, 800, 30, 26), 0.97)
    assert [line[k] for k in ("recovery", "low", "high", "p_fail", "p_pass")] == [
        *(r.recovery, r.low, r.high, r.p_fail, r.p_pass)
    ]


def test_undefined_and_infinite_numbers_are_null(tmp_path: Path) -> None:
    line = run(tmp_path, f"{HEADER}\nx,t,100,0,0,5,.97\n")[1][0]
    assert (line["recovery"], line["low"], line["high"]) == (None, 0.0, None)


def test_a_task_too_small_to_count_is_named(tmp_path: Path) -> None:
    assert run(tmp_path, EXAMPLE + "ref,tiny,199,150,150,0,0.97\n")[1][-1]["not_counted"] == ["tiny"]


@pytest.mark.parametrize(
    ("flips", "code"), [("20,20", 0), ("60,10", 1), ("40,16", 3)], ids=["better", "worse", "not proven"]
)
def test_the_exit_code_is_that_of_the_averages(tmp_path: Path, flips: str, code: int) -> None:
    assert run(tmp_path, f"{HEADER}\nx,t,1000,800,{flips},.97\n")[0] == code


def test_one_average_that_is_worse_outweighs_one_that_is_not_proven(tmp_path: Path) -> None:
    assert run(tmp_path, f"{HEADER}\nx,t,1000,800,40,16,.97\ny,t,1000,800,60,10,.97\n")[0] == 1


def test_a_task_proven_worse_does_not_set_the_exit_code(tmp_path: Path) -> None:
    code, lines = run(tmp_path, EXAMPLE + "ref,lost,8,8,8,0,0.97\n")
    assert (code, lines[3]["verdict"]) == (0, "FAIL")


def test_the_item_average_may_gate(tmp_path: Path) -> None:
    line = run(tmp_path, EXAMPLE, "--definition", "item")[1][-1]
    assert (line["definition"], line["recovery"]) == ("item", line["item"])


def test_verdicts_go_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.csv").write_text(EXAMPLE)
    main(["judge", str(tmp_path / "c.csv")])
    assert len(capsys.readouterr().out.splitlines()) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("100,80,81,0,.97", "worse (81) exceeds the 80 items the base got right"),
        ("100,80,0,21,.97", "better (21) exceeds the 20 items the base missed"),
        ("100,101,0,0,.97", "base_correct (101) exceeds n (100)"),
        ("100,80,-1,0,.97", "worse must be a whole number >= 0, written in digits only; found '-1'"),
        ("100,80,nan,0,.97", "worse must be a whole number"),
        ("100,80,1.5,0,.97", "worse must be a whole number"),
        ("1e3,80,1,0,.97", "n must be a whole number"),
        ("100,80,12.0,0,.97", "worse must be a whole number"),
        ("100,80,²,0,.97", "worse must be a whole number"),
        ("9999999999,80,1,0,.97", "n must be at most 1,000,000,000"),
        ("100,80,1,0,97", "threshold must be a recovery between 0.001 and 2, such as 0.97 for 97 %; found '97'"),
        ("100,80,1,0,0", "threshold must be a recovery"),
        ("100,80,1,0,nan", "threshold must be a recovery"),
        ("100,80,1,0,97%", "threshold must be a number"),
    ],
)
def test_counts_that_cannot_be_are_named_with_their_line(fields: str, message: str) -> None:
    assert f"c.csv:3: x t: {message}" in complaint(f"{HEADER}\nx,s,1,1,0,0,.97\nx,t,{fields}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER}\nx,t,100,80,,0,.97\n", "c.csv:2: worse is empty"),
        (f"{HEADER}\nx,t,100,80,0,.97\n", "c.csv:2: expected 7 fields"),
        (f"{HEADER}\nx,t,9,8,0,0,.97\n\nx,t,9,8,0,0,.97\n", "c.csv:4: x t is already in line 2"),
        (f"{HEADER}\nx,t,9,8,0,0,.97\nx,s,9,8,0,0,.99\n", "c.csv:3: x s: threshold 0.99, but line 2 gives the same"),
        (f"{HEADER},chance\nx,t,9,8,0,0,.97,1\n", "c.csv:2: x t: chance must be 1/options"),
        (HEADER.replace("worse,", "") + "\n", "c.csv:1: no column 'worse'"),
        (HEADER.replace("worse", "worce") + "\n", "c.csv:1: unknown column 'worce' (did you mean 'worse'?)"),
        (f"{HEADER},worse\n", "c.csv:1: column 'worse' appears twice"),
        (f"{HEADER}\n", "c.csv:1: no rows"),
        ("", "c.csv:1: no column 'cell', 'task'"),
        (f'{HEADER}\n"x,t,100,80,0,0,.97\n', "c.csv:2: not valid CSV"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(text: str, message: str) -> None:
    assert complaint(text).startswith(message)


def test_a_mistake_ends_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.csv").write_bytes(HEADER.encode() + b"\nx,caf\xe9,9,8,0,0,.97\n")
    assert (main(["judge", str(tmp_path / "c.csv")]), "c.csv:2: not UTF-8" in capsys.readouterr().err) == (2, True)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.csv: no such file"):
        counted.read(tmp_path / "nowhere.csv")


def test_an_alpha_that_is_no_error_rate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(EXAMPLE)
    assert main(["judge", str(tmp_path / "c.csv"), "--alpha", "0.5"]) == 2


def test_a_folder_to_write_to_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert main(["judge", str(tmp_path / "c.csv"), "-o", str(tmp_path / "no" / "out")]) == 2


def test_a_byte_order_mark_and_columns_in_another_order_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes(
        b"\xef\xbb\xbfthreshold,task,cell,n,better,worse,base_correct\r\n.97,t,x,9,0,1,8\r\n"
    )
    assert counted.read(tmp_path / "c.csv")[0].counts == Counts(9, 8, 1, 0)


EDGES = [
    (0, 0, 0, 0),
    (9, 0, 0, 0),
    (9, 0, 0, 9),
    (9, 9, 0, 0),
    (9, 9, 9, 0),
    (1, 1, 1, 0),
    (9, 4, 4, 5),
    (500, 1, 0, 499),
]


def some_counts(seed: int, size: int) -> list[Counts]:
    """Return edge cases and random cells: a third with every number of flips as likely, the rest with few."""
    rng = np.random.default_rng(seed)
    cells = [Counts(*edge) for edge in EDGES]
    for k in range(size):
        n = int(rng.integers(1, (12, 300, 12_000)[k % 3]))
        right = int(rng.integers(0, n + 1))
        most = (right, n - right) if k % 3 == 0 else (right // 20, (n - right) // 10)
        cells.append(Counts(n, right, *(int(rng.integers(0, high + 1)) for high in most)))
    return cells


@pytest.mark.parametrize("threshold", [0.97, 1.0, 1.05])
def test_a_batch_has_the_answers_of_single_cells_to_the_last_bit(threshold: float) -> None:
    cells = some_counts(7, 120)
    batch = counts_recoveries(cells, [threshold] * len(cells), chances=[0.25] * len(cells))
    assert batch == [counts_recovery(cell, threshold, chance=0.25) for cell in cells]


def test_many_pools_have_the_answers_of_single_ones_to_the_last_bit() -> None:
    cells = some_counts(8, 60)
    suites = [[TaskCounts(str(i), cells[(7 * k + i) % len(cells)]) for i in range(k + 1)] for k in range(12)]
    assert pools(suites, [0.97] * 12) == [pool(suite, 0.97) for suite in suites]


@pytest.mark.parametrize("threshold", [0.9, 0.97, 1.0, 1.1])
def test_verdict_and_limits_agree_in_a_batch(threshold: float) -> None:
    cells = some_counts(9, 300)
    for r in counts_recoveries(cells, [threshold] * len(cells), chances=[0.0] * len(cells)):
        if not r.why:
            assert (r.verdict == "PASS", r.verdict == "FAIL") == (r.low >= threshold, r.high < threshold), r


@pytest.mark.parametrize(
    ("counts", "expected"),
    [  # by 45 halvings of [.001, 1000] and sums over b' instead of c', an earlier implementation
        ((1000, 800, 20, 20), (0.9866971213948482, 1.013482231088527)),
        ((8, 4, 4, 0), (0.0, 1.1147425268810252)),
        ((250, 200, 0, 0), (0.9851329607686793, 1.015091403722395)),
        ((12000, 9000, 150, 120), (0.9936438165235492, 0.9996698897994568)),
    ],
)
def test_limits_are_those_of_plain_bisection(counts: tuple[int, int, int, int], expected: tuple[float, float]) -> None:
    assert limits(Counts(*counts), near=0.97) == pytest.approx(expected, rel=1e-9)

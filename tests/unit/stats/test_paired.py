"""The verdict on one cell.

Expected p-values and limits of `ROWS` come from a reference implementation of Nam & Blackwelder 2002 with Lloyd's 2008
p-value, rounded as printed there; other values are worked by hand.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from quant.stats.metric import metric_p_values
from quant.stats.paired import Counts, counts_recovery, paired_recovery

INF = math.inf
ROWS = {  # n, X0, b, c, R: recovery, p_pass, p_fail, low, high, verdict
    "equal": ((1000, 800, 20, 20, 0.97), (1.0, 0.0002, 0.9998, 0.9867, 1.0135), "PASS"),
    "at the threshold": ((1000, 800, 40, 16, 0.97), (0.97, 0.508, 0.498, 0.9541, 0.9851), "INCONCLUSIVE"),
    "worse": ((1000, 800, 60, 10, 0.97), (0.9375, 0.9996, 0.0004, 0.9199, 0.9537), "FAIL"),
    "harm only": ((400, 300, 12, 0, 0.97), (0.96, 0.879, 0.194, 0.9360, 0.9768), "INCONCLUSIVE"),
    "no flip, .97": ((250, 200, 0, 0, 0.97), (1.0, 0.0023, 1.0, 0.9851, 1.0151), "PASS"),
    "no flip, .99": ((250, 200, 0, 0, 0.99), (1.0, 0.134, 1.0, 0.9851, 1.0151), "INCONCLUSIVE"),
    "8 of 8 lost": ((8, 8, 8, 0, 0.97), (0.0, 1.0, 0.0044, 0.0, 0.454), "FAIL"),
    "4 of 4 lost": ((8, 4, 4, 0, 0.97), (0.0, 1.0, 0.066, 0.0, 1.115), "INCONCLUSIVE"),
    "base scores zero": ((100, 0, 0, 5, 0.97), (None, 0.029, 1.0, 0.0, INF), "INCONCLUSIVE"),
    "no items": ((0, 0, 0, 0, 0.97), (None, 1.0, 1.0, 0.0, INF), "INCONCLUSIVE"),
}


@pytest.mark.parametrize(("given", "expected"), [row[:2] for row in ROWS.values()], ids=ROWS)
def test_a_cell_has_the_reference_numbers(
    given: tuple[int, int, int, int, float], expected: tuple[float | None, ...]
) -> None:
    r = counts_recovery(Counts(*given[:4]), given[4])
    assert [r.recovery, r.p_pass, r.p_fail, r.low, r.high] == [as_printed(x) for x in expected]


def as_printed(value: float | None) -> object:
    """Match what rounds to `value`: the reference prints three or four decimals."""
    return pytest.approx(value, abs=5.01e-4 if value is None or round(value, 3) == value else 5.01e-5)


@pytest.mark.parametrize(("given", "verdict"), [(row[0], row[2]) for row in ROWS.values()], ids=ROWS)
def test_a_cell_has_the_reference_verdict(given: tuple[int, int, int, int, float], verdict: str) -> None:
    assert counts_recovery(Counts(*given[:4]), given[4]).verdict == verdict


@pytest.mark.parametrize(("threshold", "needed"), [(0.99, 299), (0.97, 99), (0.95, 59)])
def test_pass_without_flips_needs_as_many_right_items_as_the_rule_of_three(threshold: float, needed: int) -> None:
    verdicts = [counts_recovery(Counts(n, n, 0, 0), threshold).verdict for n in (needed - 1, needed)]
    assert verdicts == ["INCONCLUSIVE", "PASS"]


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (Counts(0, 0, 0, 0), "no items"),
        (Counts(100, 0, 0, 5), "base scores zero"),
        (Counts(100, 0, 0, 100), "base scores zero"),
        (Counts(400, 104, 10, 20), "base at chance (P = .576)"),
        (Counts(1000, 800, 20, 20), ""),
    ],
)
def test_a_cell_says_why_it_proves_nothing(counts: Counts, why: str) -> None:
    assert counts_recovery(counts, 0.95, chance=0.25).why == why


def test_a_base_at_chance_forbids_pass_whatever_the_limits() -> None:
    r = counts_recovery(Counts(400, 104, 10, 20), 0.95, chance=0.25)
    assert (r.verdict, round(r.recovery or 0, 4), r.low > 0.95) == ("INCONCLUSIVE", 1.0962, True)


def test_a_base_at_chance_never_forbids_fail() -> None:
    assert counts_recovery(Counts(400, 104, 104, 0), 0.95, chance=0.25).verdict == "FAIL"


@pytest.mark.parametrize("threshold", [0.9, 0.97, 1.0])
def test_verdict_and_limits_agree_in_every_cell(threshold: float) -> None:
    rng = np.random.default_rng(20)
    for n in (5, 20, 60, 60, 150, 150, 300, 300):
        counts = Counts.from_scores(rng.random(n) < 0.8, rng.random(n) < rng.choice([0.5, 0.8, 0.95]))
        r = counts_recovery(counts, threshold)
        assert (r.verdict == "PASS", r.verdict == "FAIL") == (r.low >= threshold, r.high < threshold), counts


@pytest.mark.parametrize("threshold", [0.8, 0.97])
def test_verdict_and_limits_agree_in_every_metric_cell(threshold: float) -> None:
    rng = np.random.default_rng(21)
    for n in (9, 10, 40, 100, 400):
        base = rng.uniform(0.2, 1, n)
        r = paired_recovery(base, base * rng.uniform(rng.choice([0.4, 0.8, 0.999]), 1, n), threshold)
        assert (r.verdict == "PASS", r.verdict == "FAIL") == (r.low >= threshold, r.high < threshold), n


def test_zero_one_scores_take_the_exact_path() -> None:
    base, quantized = [1, 1, 1, 0, 0], [1, 0, 1, 1, 0]
    assert paired_recovery(base, quantized, 0.9) == counts_recovery(Counts(5, 3, 1, 1), 0.9)


def test_one_score_between_zero_and_one_takes_the_metric_path() -> None:
    base, quantized = np.ones(40), np.append(np.ones(39), 0.5)
    assert paired_recovery(base, quantized, 0.9).p_pass == metric_p_values(base, quantized, 0.9)[0]


@pytest.mark.parametrize("recovery", [0.0, 0.5, 1.0])
def test_fewer_than_ten_metric_items_prove_nothing(recovery: float) -> None:
    r = paired_recovery(np.full(9, 0.5), np.full(9, 0.5 * recovery), 0.97)
    assert (r.verdict, r.why, r.p_pass, r.p_fail) == ("INCONCLUSIVE", "fewer than 10 items (n=9)", 1.0, 1.0)


def test_a_metric_base_of_zero_has_no_recovery() -> None:
    r = paired_recovery(np.zeros(50), np.full(50, 0.5), 0.97)
    assert (r.recovery, r.low, r.high, r.verdict, r.why) == (None, 0.0, INF, "INCONCLUSIVE", "base scores zero")


def test_a_metric_base_at_chance_forbids_pass() -> None:
    base = np.tile([0.2, 0.3], 200)  # mean .25 = chance, repeats of a four-way choice
    r = paired_recovery(base, base + 0.05, 0.95, chance=0.25)
    assert (r.verdict, r.why[:14]) == ("INCONCLUSIVE", "base at chance")


def test_a_metric_base_above_chance_may_pass() -> None:
    base = np.tile([0.7, 0.9], 200)
    assert paired_recovery(base, base, 0.95, chance=0.25).verdict == "PASS"


@pytest.mark.parametrize(
    ("base", "quantized", "message"),
    [
        ([1, 0], [1], "one length"),
        ([[1, 0]], [[1, 0]], "flat"),
        ([1, float("nan")], [1, 0], r"base scores must lie in \[0, 1\]; got nan at index 1"),
        ([1, 0], [1, 1.5], r"quantized scores must lie in \[0, 1\]; got 1.5 at index 1"),
    ],
)
def test_scores_that_do_not_pair_are_refused(base: list[float], quantized: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_recovery(base, quantized, 0.97)


@pytest.mark.parametrize(
    ("threshold", "alpha", "chance", "message"),
    [
        (97.0, 1.0, 0.0, "alpha"),
        (0.0, 0.05, 0.0, "threshold"),
        (float("nan"), 0.05, 0.0, "threshold"),
        (0.97, 0.05, 1.0, "chance"),
    ],
)
def test_arguments_outside_their_range_are_refused(threshold: float, alpha: float, chance: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        counts_recovery(Counts(10, 5, 0, 0), threshold, alpha=alpha, chance=chance)

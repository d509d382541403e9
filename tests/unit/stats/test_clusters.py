"""Items that share a passage: hand-worked units and t, and the error rate where passages are lost as a whole.

A simulated rate is bounded at the claimed rate plus 3.3 standard errors: a right implementation fails with probability
< .0005 a bound. Where independence is claimed to fail, the bound is half the rate measured: probability < 1e-6.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import special

from quant.stats.clusters import Units, cluster_units
from quant.stats.counts import Counts, p_fail, p_pass
from quant.stats.metric import MetricTest
from quant.stats.paired import paired_recovery
from quant.stats.pooling import Definition, TaskScores, pool
from quant.stats.strata import Strata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Clustered = tuple[Floats, Floats, list[int]]


def units_of(base: Floats, quantized: Floats, clusters: list[int]) -> Units:
    units = cluster_units(base, quantized, clusters)
    assert units is not None
    return units


def test_a_unit_is_the_sum_of_its_cluster_scaled_by_clusters_over_items() -> None:
    # By hand: sums 2, 1, 0 of the clusters a, b, c, times 3/6
    units = cluster_units(np.array([1.0, 0, 1, 1, 0, 0]), np.ones(6), ["a", "b", "a", "b", "c", "b"])
    assert units is not None
    assert [units.base.tolist(), units.perfect.tolist()] == [[1.0, 0.5, 0.0], [1.0, 1.5, 0.5]]


def test_the_t_of_clusters_is_that_of_their_sums() -> None:
    # Liang & Zeger 1986: sum of all u over sqrt(K) sd of the K sums, df K-1; less its skewness
    base, quantized, clusters = lost_passages(400, 0.8, np.random.default_rng(4))
    sums = np.bincount(clusters, quantized - 0.9 * base)
    t = float(sums.sum() / (math.sqrt(400) * sums.std(ddof=1)))
    p = MetricTest.from_units(units_of(base, quantized, clusters)).p_pass(0.9)
    k = float(((sums - sums.mean()) ** 3).mean() / sums.std(ddof=1) ** 3 / math.sqrt(400))
    assert p == pytest.approx(float(special.stdtr(399, -(t + k * t**2 / 3 + k**2 * t**3 / 27 + k / 6))), rel=1e-9)


def test_few_moved_clusters_are_tested_with_one_lost_cluster_of_mean_size() -> None:
    # By hand, R = .9: 20 units u = .1 and one u = -.9; mean 1.1/21, variance 1/21, so t = 1.1 with df 20.
    right, clusters = np.ones(40), np.arange(40) // 2
    r = paired_recovery(right, right, 0.9, clusters=clusters.tolist())
    assert r.p_pass == pytest.approx(float(special.stdtr(20, -1.1)), rel=1e-9)


def test_few_moved_clusters_are_tested_for_fail_with_one_won_cluster_of_mean_size() -> None:
    # By hand, R = .9: 20 units u = .1 and one u = 1; mean 3/21, variance .81/21, so t = 3/.9 with df 20.
    right, clusters = np.ones(40), np.arange(40) // 2
    r = paired_recovery(right, right, 0.9, clusters=clusters.tolist())
    assert r.p_fail == pytest.approx(float(special.stdtr(20, 3 / 0.9)), rel=1e-9)


def test_a_cluster_moves_where_half_of_its_items_change_one_way() -> None:
    base, quantized = np.array([1.0, 1, 1, 1, 1, 0]), np.array([1.0, 0, 1, 1, 0, 1])
    assert units_of(base, quantized, [0, 0, 1, 1, 2, 2]).moved == 1


def test_recovery_and_means_of_clustered_items_are_those_of_the_items() -> None:
    base, quantized, clusters = lost_passages(50, 0.9, np.random.default_rng(5))
    r = paired_recovery(base, quantized, 0.97, clusters=clusters)
    assert (r.n, r.base_mean, r.quantized_mean) == (len(base), base.mean(), quantized.mean())


def test_clusters_of_one_item_each_are_no_clusters() -> None:
    base, quantized = np.repeat([1.0, 1, 0], [90, 5, 25]), np.repeat([1.0, 0, 0], [90, 5, 25])
    assert paired_recovery(base, quantized, 0.9, clusters=range(120)) == paired_recovery(base, quantized, 0.9)


def test_no_items_have_no_clusters() -> None:
    assert paired_recovery([], [], 0.9, clusters=[]).why == "no items"


@pytest.mark.parametrize("recovered", [0.0, 1.0])
def test_fewer_than_ten_clusters_prove_nothing(recovered: float) -> None:
    base, clusters = np.ones(900), (np.arange(900) // 100).tolist()
    r = paired_recovery(base, base * recovered, 0.97, clusters=clusters)
    assert (r.n, r.verdict, r.why, r.p_pass, r.p_fail) == (900, "INCONCLUSIVE", "fewer than 10 clusters (K=9)", 1, 1)


def test_a_clustered_base_of_zero_has_no_recovery() -> None:
    r = paired_recovery(np.zeros(40), np.ones(40), 0.97, clusters=(np.arange(40) // 2).tolist())
    assert (r.recovery, r.low, r.high, r.why) == (None, 0.0, math.inf, "base scores zero")


@pytest.mark.parametrize(("clusters", "why"), [(None, ""), ((np.arange(400) // 10).tolist(), "base at chance")])
def test_passages_right_as_a_whole_show_less_of_a_base_above_chance(clusters: list[int] | None, why: str) -> None:
    base = np.repeat(
        [1.0, 0.0], [140, 260]
    )  # .35 against .25/.95 = .263: 3.9 standard errors of items, 1.1 of clusters
    assert paired_recovery(base, base, 0.95, chance=0.25, clusters=clusters).why[:14] == why


@pytest.mark.parametrize("threshold", [0.8, 0.97])
def test_verdict_and_limits_agree_in_every_clustered_cell(threshold: float) -> None:
    rng = np.random.default_rng(22)
    for passages, recovery in ((12, 0.5), (40, 0.99), (100, 0.9), (200, 0.8), (400, 0.999)):
        base, quantized, clusters = lost_passages(passages, recovery, rng)
        r = paired_recovery(base, quantized, threshold, clusters=clusters)
        assert (r.verdict == "PASS", r.verdict == "FAIL") == (r.low >= threshold, r.high < threshold), passages


@pytest.mark.parametrize(
    ("clusters", "message"),
    [([1, 1], "got 2 for 3 items"), (["a", None, None], "got None at index 1")],
)
def test_clusters_that_do_not_name_every_item_are_refused(clusters: list[object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_recovery([1, 0, 1], [1, 1, 1], 0.97, clusters=clusters)  # type: ignore[arg-type]


def test_a_task_of_a_pool_names_itself_where_its_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match="task X: clusters must name the cluster of every item"):
        TaskScores("X", np.ones(3), np.ones(3), clusters=[1, 1])


def test_clusters_of_one_size_are_pooled_as_the_means_of_their_items() -> None:
    rng = np.random.default_rng(6)
    base, quantized = (rng.random((60, 5)) < 0.8).astype(float), (rng.random((60, 5)) < 0.75).astype(float)
    items = TaskScores("A", base.ravel(), quantized.ravel(), clusters=(np.arange(300) // 5).tolist())
    means = TaskScores("A", base.mean(axis=1), quantized.mean(axis=1), planned_n=300)
    assert pool([items], 0.97).z == pytest.approx(pool([means], 0.97).z, rel=1e-9)


@pytest.mark.parametrize("definition", ["macro", "item"])
def test_clusters_leave_the_recovery_of_a_pool_as_it_is(definition: Definition) -> None:
    base, quantized, clusters = lost_passages(60, 0.9, np.random.default_rng(7))
    other = TaskScores("B", np.ones(1000), np.repeat([1.0, 0], [900, 100]))
    with_, without = (TaskScores("A", base, quantized, clusters=given) for given in (clusters, None))
    recovered = [pool([task, other], 0.97, definition=definition).recovery for task in (with_, without)]
    assert recovered[0] == pytest.approx(recovered[1], rel=1e-12)


def test_an_unchanged_clustered_task_varies_as_if_one_item_differed() -> None:
    # One of 200 items moves its unit by 40/200: the least V is .97/200^2, as without clusters, and z = .03/sqrt(V).
    units = units_of(np.ones(200), np.ones(200), (np.arange(200) // 5).tolist())
    z = Strata.from_moments([units.moments()], np.ones(1)).z(0.97)
    assert z == pytest.approx(0.03 * 200 / math.sqrt(0.97))


def test_a_pool_with_a_task_of_fewer_than_ten_clusters_proves_nothing() -> None:
    few = TaskScores("few", np.ones(900), np.ones(900), clusters=(np.arange(900) // 100).tolist())
    r = pool([few], 0.97)
    assert (r.verdict, r.why) == ("INCONCLUSIVE", "fewer than 10 clusters in few")


def test_a_plan_counts_items_and_not_clusters() -> None:
    task = TaskScores("A", np.ones(200), np.ones(200), clusters=(np.arange(200) // 5).tolist())
    assert pool([task], 0.97).not_counted == ()


@pytest.mark.parametrize(("passages", "threshold"), [(40, 0.9), (100, 0.95), (300, 0.97), (400, 0.9)])
def test_lost_passages_at_the_threshold_are_misjudged_at_most_061_of_the_time(passages: int, threshold: float) -> None:
    rates = error_rates(passages, threshold, 1000, np.random.default_rng(8))
    assert max(rates) <= 0.061 + 3.3 * math.sqrt(0.061 * 0.939 / 1000)


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.9, 0.95, 0.97, 0.99])
@pytest.mark.parametrize("passages", [12, 40, 100, 300, 1000])
def test_the_grid_of_lost_passages_is_misjudged_at_most_061_of_the_time(passages: int, threshold: float) -> None:
    rates = error_rates(passages, threshold, 4000, np.random.default_rng(9))
    assert max(rates) <= 0.061 + 3.3 * math.sqrt(0.061 * 0.939 / 4000)


@pytest.mark.parametrize(("passages", "threshold"), [(40, 0.9), (100, 0.95), (300, 0.97), (400, 0.9)])
def test_lost_passages_taken_for_independent_items_are_misjudged_more_than_a_tenth_of_the_time(
    passages: int, threshold: float
) -> None:
    # .21-.26 false FAIL and .23-.32 false PASS at these four
    rng = np.random.default_rng(10)
    cells = [Counts.from_scores(*lost_passages(passages, threshold, rng)[:2]) for _ in range(300)]
    p = [(p_pass(k, threshold), p_fail(k, threshold)) for k in cells]
    assert (np.array(p) <= 0.05).mean(axis=0).min() > 0.1


def error_rates(passages: int, threshold: float, draws: int, rng: np.random.Generator) -> list[float]:
    """Return false PASS and false FAIL at alpha = .05 of cells whose true recovery is the threshold."""
    cells = (units_of(*lost_passages(passages, threshold, rng)) for _ in range(draws))
    p = [(test.p_pass(threshold), test.p_fail(threshold)) for test in map(MetricTest.from_units, cells)]
    return [float(rate) for rate in (np.array(p) <= 0.05).mean(axis=0)]


def lost_passages(passages: int, recovery: float, rng: np.random.Generator) -> Clustered:
    """Return 0/1 scores on passages of 5 to 10 items, .8 right, a share 1 - recovery of passages lost altogether."""
    clusters = np.repeat(np.arange(passages), rng.integers(5, 11, passages))
    base = (rng.random(len(clusters)) < rng.beta(8, 2, passages)[clusters]).astype(float)
    kept = (rng.random(passages) < recovery)[clusters]
    return base, base * kept, clusters.tolist()

"""Pooled recovery of one (model, format): a stratified test of the ratio of two weighted averages over tasks.

In: `TaskScores` or `TaskCounts` of every task of the suite. Out: `PooledResult` at a threshold R. Pure; numpy only.

Formulas, for tasks t with n_t items, means p0_t (base) and p1_t (quantized) and weights w_t that sum to 1::

    A0 = sum w p0;  A1 = sum w p1;  recovery = A1/A0
    s2_t(R) = var(y1) + R^2 var(y0) - 2R cov, at least R/n_t as if one pair differed;   V(R) = sum w^2 s2_t(R)/n_t
    V(R) + sum w^2 (1+R^2) tau2_t   where runs of a task differ by more than their items explain (`quant.stats.noise`)
    z = (A1 - R*A0)/sqrt(V(R));  k = sum w^3 mu3_t/n_t^2 / V^1.5 over n_t >= 30;  z' = z + kz^2/3 + k^2z^3/27 + k/6

    macro (default)     w = 1/G for each of G benchmarks, shared by items among the subtasks of one benchmark
    item                w = n_t/N, so recovery = sum X1 / sum X0
    average of ratios   sum w p1/p0, delta-method variance sum w^2 s2_t(r_t)/(n_t p0_t^2), r_t = p1_t/p0_t; reported
                        only: a weak base dominates it and biases it upwards, so it never decides

Where items share clusters (`quant.stats.clusters`), units take their place in s2_t, mu3_t and the n_t of V and k, and
only there: weights and plans count items. PASS where P(Z >= z') <= alpha, FAIL where P(Z <= z') <= alpha; the limits
invert z' in R, so they agree. Where scores are normalised (`lowest` < 0), an item may move by 1 - lowest, so s2_t is at
least R/n_t times the square of that; a base average not proven above 0 by the same z' forbids PASS, and where it is not
above 0, FAIL needs A1 to be proven below A0 too (simulated error with six tasks .036-.056). tau2_t is taken for known:
at a run sd of .010 and 5 runs the error is .055 for 9 tasks, .065 for 3 and .09 for one (.22 if ignored).
Sources: Fieller 1954, J. R. Statist. Soc. B 16, 175-185; Hall 1992, J. R. Statist. Soc. B 54, 221-228.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from quant.records import Definition
from quant.stats.clusters import MIN_CLUSTERS
from quant.stats.decision import at_chance, check_alpha, check_threshold, decide
from quant.stats.strata import UNDEFINED, Estimate, Strata
from quant.stats.tasks import PoolTask, TaskCounts, TaskScores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from quant.records import Status

__all__ = ["Definition", "PooledResult", "TaskCounts", "TaskScores", "pool", "pools"]

MIN_PLANNED = 200  # items; a benchmark planned with fewer is shown but has weight 0
MIN_ITEMS = 2  # a variance needs two


@dataclass(frozen=True)
class PooledResult:
    """What all tasks together prove; `base_mean` and `quantized_mean` are the weighted averages A0 and A1.

    `z` is z' at the threshold. Beside the gate's own numbers stand the three ways to average (one of `macro` and
    `item_pooled` repeats the gate's), whether the two that may gate disagree ("macro PASS, item INCONCLUSIVE", else
    empty), and the tasks that are shown but not counted.
    """

    definition: Definition
    n: int
    base_mean: float | None
    quantized_mean: float | None
    recovery: float | None
    low: float
    high: float
    z: float
    p_pass: float
    p_fail: float
    verdict: Status
    why: str = ""
    macro: Estimate = UNDEFINED
    item_pooled: Estimate = UNDEFINED
    average_of_ratios: Estimate = UNDEFINED
    disagreement: str = ""
    not_counted: tuple[str, ...] = ()


def pool(
    tasks: Sequence[TaskScores], threshold: float, *, alpha: float = 0.05, definition: Definition = "macro"
) -> PooledResult:
    """Judge the suite against a recovery threshold; `alpha` is one-sided, for PASS and for FAIL separately.

    Raises ValueError if a task appears twice, subtasks of a benchmark differ in weight, or an argument is out of range.
    """
    return pools([tasks], [threshold], alpha=alpha, definition=definition)[0]


def pools(
    suites: Sequence[Sequence[PoolTask]],
    thresholds: Sequence[float],
    *,
    alpha: float = 0.05,
    definition: Definition = "macro",
) -> list[PooledResult]:
    """Judge many suites at once, each bit for bit as `pool` does alone; arguments and errors as there."""
    check_alpha(alpha)
    for tasks, threshold in zip(suites, thresholds, strict=True):
        check_threshold(threshold)
        _check_family(tasks, definition)
    counted = [_counted(tasks) for tasks in suites]
    reasons = [_uninformative(tasks) for tasks in counted]
    chosen = [suite for suite, why in enumerate(reasons) if not why]
    judged = _judge([counted[i] for i in chosen], [thresholds[i] for i in chosen], alpha, definition)
    results = [
        _nothing(tasks, definition, why) if why else next(judged) for tasks, why in zip(counted, reasons, strict=True)
    ]
    left_out = map(_left_out, suites, counted)
    return [replace(result, not_counted=names) for result, names in zip(results, left_out, strict=True)]


def _judge(
    suites: Sequence[list[PoolTask]], thresholds: Sequence[float], alpha: float, definition: Definition
) -> Iterator[PooledResult]:
    """Test both ways to average and report the declared one as the gate."""
    if not suites:
        return
    moments = [task.moments() for tasks in suites for task in tasks]
    suite = np.repeat(np.arange(len(suites)), [len(tasks) for tasks in suites])
    weights = {way: np.concatenate([_weights(tasks, way) for tasks in suites]) for way in get_args(Definition)}
    tau2 = [task.tau2 for tasks in suites for task in tasks]
    strata = {way: Strata.from_moments(moments, weights[way], suite, tau2) for way in weights}
    tests = {way: pooled.test(np.asarray(thresholds, np.float64), alpha) for way, pooled in strata.items()}
    guards = {way: _above_zero(suites, pooled) for way, pooled in strata.items()}
    ratios, gate = strata["macro"].averages_of_ratios(alpha), tests[definition]
    for i, tasks in enumerate(suites):
        reasons = {way: at_chance(float(guard[i]), alpha) for way, guard in guards.items()}
        verdicts = {
            way: decide(float(test.p_pass[i]), float(test.p_fail[i]), alpha, informative=not reasons[way])
            for way, test in tests.items()
        }
        own = gate.estimate(i)
        yield PooledResult(
            definition,
            sum(task.n for task in tasks),
            float(gate.base[i]),
            float(gate.quantized[i]),
            own.recovery,
            own.low,
            own.high,
            float(gate.z[i]),
            float(gate.p_pass[i]),
            float(gate.p_fail[i]),
            verdicts[definition],
            why=reasons[definition] if verdicts[definition] != "FAIL" else "",
            macro=tests["macro"].estimate(i),
            item_pooled=tests["item"].estimate(i),
            average_of_ratios=ratios[i],
            disagreement=_disagreement(verdicts),
        )


def _above_zero(suites: Sequence[list[PoolTask]], pooled: Strata) -> NDArray[np.float64]:
    """Return the p-values of an average of normalised base scores that is 0; 0 where no task has such scores."""
    normalised = np.array([any(task.lowest < 0 for task in tasks) for tasks in suites])
    return np.where(normalised, pooled.base_at_zero(), 0.0) if normalised.any() else np.zeros(len(suites))


def _nothing(counted: list[PoolTask], definition: Definition, why: str) -> PooledResult:
    """Return the result of a suite that can prove nothing."""
    n = sum(task.n for task in counted)
    return PooledResult(definition, n, None, None, None, 0.0, math.inf, 0.0, 1.0, 1.0, "INCONCLUSIVE", why)


def _counted(tasks: Sequence[PoolTask]) -> list[PoolTask]:
    """Leave out tasks of weight 0 and benchmarks planned too small."""
    planned: Counter[str] = Counter()
    for task in tasks:
        planned[task.group] += task.n if task.planned_n is None else task.planned_n
    return [task for task in tasks if task.weight > 0 and planned[task.group] >= MIN_PLANNED]


def _left_out(tasks: Sequence[PoolTask], counted: list[PoolTask]) -> tuple[str, ...]:
    """Name the tasks that do not count."""
    kept = {task.name for task in counted}
    return tuple(task.name for task in tasks if task.name not in kept)


def _weights(counted: list[PoolTask], definition: Definition) -> NDArray[np.float64]:
    """Return weights up to a factor, shape (T,)."""
    items = np.array([task.n for task in counted], float)
    if definition == "item":
        return items
    size: Counter[str] = Counter()
    for task in counted:
        size[task.group] += task.n
    return items * [task.weight / size[task.group] for task in counted]


def _uninformative(counted: list[PoolTask]) -> str:
    """Say why these tasks can prove nothing, or nothing."""
    if not counted:
        return f"no task counts: weight 0 or fewer than {MIN_PLANNED} planned items"
    short = [task.name for task in counted if task.n < MIN_ITEMS]
    if short:
        return f"fewer than {MIN_ITEMS} items in {', '.join(short)}"
    few = [task.name for task in counted if task.units < min(task.n, MIN_CLUSTERS)]
    if few:
        return f"fewer than {MIN_CLUSTERS} clusters in {', '.join(few)}"
    return "" if any(task.solved for task in counted) else "base scores zero"


def _disagreement(verdicts: dict[str, Status]) -> str:
    """Say so if the two ways to average come to different verdicts."""
    return "" if len(set(verdicts.values())) == 1 else ", ".join(f"{way} {status}" for way, status in verdicts.items())


def _check_family(tasks: Sequence[PoolTask], definition: str) -> None:
    if definition not in get_args(Definition):
        raise ValueError(f"definition must be one of {', '.join(get_args(Definition))}; got {definition!r}")
    twice = [name for name, times in Counter(task.name for task in tasks).items() if times > 1]
    if twice:
        raise ValueError(f"each task enters a pool once; repeated: {', '.join(twice)}")
    weights: dict[str, float] = {}
    for task in tasks:
        if weights.setdefault(task.group, task.weight) != task.weight:
            raise ValueError(f"subtasks of {task.group} must share one weight; {task.name} has {task.weight!r}")

"""Budgets: what is proven of latency, throughput and memory. (timings, budgets, baseline) -> `Performance`.

Pure, so that stored timings can be judged again. A disturbed machine is never red: with too few quiet blocks, or too
many disturbed ones, nothing is proven of what takes time. The arithmetic is in `quant.stats.blocks`.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from quant.budgets import Measured, Performance
from quant.stats.blocks import MIN_BLOCKS, LogMean, budget, change, log_ratios, log_values, tail_budget
from quant.workloads import METRICS, ONCE, higher_is_better, values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from quant.budgets import Budget
    from quant.records import Status
    from quant.stats.blocks import Better, BudgetResult
    from quant.workloads import Engine, Timings, Workload

MOST_DISTURBED = 0.2  # of the blocks
TIMED_ONCE = ("load_s",)  # has one value, and takes time; bytes are the same on a busy machine
ONE_VALUE = "one value, no interval"


class Logs(NamedTuple):
    """A metric of each quiet block, on log scale, shape (K,)."""

    base: ArrayLike
    quantized: ArrayLike
    ratios: ArrayLike


def performance(timings: Timings, budgets: Iterable[Budget], baseline: Performance | None = None) -> Performance:
    """Return what was reached, and what is proven of each budget that applies.

    `baseline` is what was committed for the same hardware class; budgets against it are left out where there is none.
    """
    logs = {metric: one for metric in METRICS if metric not in ONCE and (one := _logs(timings, metric))}
    disturbed = [block.disturbed for block in timings.blocks if block.disturbed]
    found = Performance(
        model=timings.model,
        format=timings.format,
        workload=timings.workload,
        hardware=timings.hardware,
        base={metric: LogMean.from_logs(one.base) for metric, one in logs.items()},
        quantized={metric: LogMean.from_logs(one.quantized) for metric, one in logs.items()},
        ratios={metric: LogMean.from_logs(one.ratios) for metric, one in logs.items()},
        engines=(timings.base, timings.quantized),
        peaks=timings.peaks,
        blocks=len(timings.quiet),
        disturbed=len(disturbed),
        why=next(iter(disturbed), ""),
        started=timings.started,
        record=timings.record,
    )
    chosen = [one for one in applying(budgets, found) if baseline or not one.baseline]
    return replace(found, measured=tuple(_measured(one, found, logs.get(one.metric), baseline) for one in chosen))


def applying(budgets: Iterable[Budget], found: Performance) -> list[Budget]:
    """Return the budgets whose patterns match what was measured, and where."""
    place = {
        "hardware": found.hardware,
        "model": found.model,
        "format": found.format,
        "workload": found.workload.id,
    }
    return [one for one in budgets if all(fnmatchcase(name, getattr(one, field)) for field, name in place.items())]


def lacks_baseline(budgets: Iterable[Budget], found: Performance) -> bool:
    """Say whether a budget against a committed baseline applies that nothing was held against."""
    wanted = any(one.baseline for one in applying(budgets, found))
    return wanted and not any(one.budget.baseline for one in found.measured)


def doubt(found: Performance) -> str:
    """Say why times of this measurement prove nothing; "" if they can."""
    blocks = found.blocks + found.disturbed
    if found.disturbed > MOST_DISTURBED * blocks:
        return f"{found.disturbed} of {blocks} blocks were disturbed: {found.why}"
    return f"{found.blocks} quiet blocks, {MIN_BLOCKS} are needed" if found.blocks < MIN_BLOCKS else ""


def _logs(timings: Timings, metric: str) -> Logs | None:
    """Return a metric of the quiet blocks; None if there are fewer than 2, or it was 0 in a run."""
    quiet, slo = timings.quiet, timings.workload.slo
    base, quantized = (values(quiet, metric, slo, quantized=side) for side in (False, True))
    if len(quiet) < 2 or min(chain(*base, *quantized)) <= 0:  # noqa: PLR2004 - one block has no spread
        return None
    return Logs(log_values(base), log_values(quantized), log_ratios(base, quantized))


def _measured(one: Budget, found: Performance, logs: Logs | None, baseline: Performance | None) -> Measured:
    if one.metric in ONCE:
        judged = _once(one, found.engines)
        timed = one.metric in TIMED_ONCE
    elif not logs:
        why = doubt(found) or f"{one.metric} was 0 in a run"
        return Measured(budget=one, status="INCONCLUSIVE", value=None, blocks=found.blocks, why=why)
    else:
        judged = _changed(one, found, baseline) if one.baseline and baseline else _judged(one, logs)
        timed = True
    if timed and (why := doubt(found)):
        return replace(judged, status="INCONCLUSIVE", why=why)
    return judged


def _judged(one: Budget, logs: Logs) -> Measured:
    """Hold the ratio of the same run, or the value itself, against a budget."""
    judge = tail_budget if one.metric.endswith(".p99") else budget
    better: Better = "higher" if higher_is_better(one.metric) else "lower"
    result: BudgetResult = judge(logs.ratios if one.of == "ratio" else logs.quantized, one.limit, better)
    low, high = (result.low, result.high) if result.low > 0 else (None, None)
    return Measured(
        budget=one,
        status=result.verdict,
        value=result.value,
        low=low,
        high=high,
        blocks=result.blocks,
        why=result.why,
    )


def _once(one: Budget, engines: tuple[Engine, Engine]) -> Measured:
    """Compare what an engine has one value of, which is 0 where it was not measured."""
    base, quantized = (float(getattr(engine, one.metric)) for engine in engines)
    if not quantized or (one.of == "ratio" and not base):
        return Measured(budget=one, status="INCONCLUSIVE", value=None, why=f"{one.metric} was not measured")
    value = quantized / base if one.of == "ratio" else quantized
    return Measured(budget=one, status="PASS" if value <= one.limit else "FAIL", value=value, why=ONE_VALUE)


def _changed(one: Budget, found: Performance, baseline: Performance) -> Measured:
    """Hold what is now, as a multiple of what the committed baseline has, against a budget."""
    before = baseline.ratios if one.of == "ratio" else baseline.quantized
    after = found.ratios if one.of == "ratio" else found.quantized
    if baseline.hardware != found.hardware or _served(baseline.workload) != _served(found.workload):
        why = "the baseline is of another hardware class or workload"
        return Measured(budget=one, status="INCONCLUSIVE", value=None, blocks=found.blocks, why=why)
    counts = [side[one.metric].blocks if one.metric in side else 0 for side in (before, after)]
    if min(counts) < MIN_BLOCKS:
        why = f"{MIN_BLOCKS} blocks are needed; the baseline has {counts[0]}, this run {counts[1]}"
        return Measured(budget=one, status="INCONCLUSIVE", value=None, blocks=found.blocks, why=why)
    value, low, high = change(after[one.metric], before[one.metric])
    status, why = _direction(one, value, low, high)
    return Measured(budget=one, status=status, value=value, low=low, high=high, blocks=found.blocks, why=why)


def _direction(one: Budget, value: float, low: float, high: float) -> tuple[Status, str]:
    """Return what is proven of a change, and the change itself if one is proven."""
    if higher_is_better(one.metric):  # as if it were a time, so that less is better
        value, low, high, limit = 1 / value, 1 / high, 1 / low, 1 / one.limit
    else:
        limit = one.limit
    status: Status = "FAIL" if low > limit else "PASS" if high <= limit else "INCONCLUSIVE"
    if high < 1:
        return status, f"proven {1 / value:.2f}x faster than the baseline"
    return status, f"proven {value:.2f}x slower than the baseline" if low > 1 else ""


def _served(workload: Workload) -> Workload:
    """Return a workload without what does not change a request."""
    return replace(workload, purpose="", width=1.0, seconds=0.0)

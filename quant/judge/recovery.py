"""Recovery: paired scores of base and quantized model in, a three-way verdict out.

A verdict is PASS (proven at or above the threshold), FAIL (proven below) or INCONCLUSIVE (neither); a point estimate
never decides. Evidence comes in looks: each is judged at the error rate that the spending of alpha allows it
(`quant.stats.sequential`), and the first that settles the claim ends it. Pure: no engine, no store, no pytest.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from quant.claims import Averages, Evidence, Verdict
from quant.judge import competitive, noise
from quant.judge.pairs import once
from quant.stats.multiplicity import benjamini_hochberg, holm
from quant.stats.paired import paired_recovery
from quant.stats.pooling import TaskScores, pool
from quant.stats.sequential import nominal_levels, sequential_p

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.claims import Gate
    from quant.judge.pairs import Columns, Pair
    from quant.stats.paired import PairedResult
    from quant.stats.pooling import PooledResult

VETO_ALPHA = 0.01  # at which a task must be proven below the floor to veto
UNSTEADY = "two runs of the base itself fail this gate against each other"
SUSPECT = 0.10  # false discovery rate of what is listed as suspect


def judge_task(pair: Pair, gate: Gate, look: int = 0) -> Verdict:
    """Judge one cell by its own items, unadjusted (Nam & Blackwelder 2002, exact p-value of Lloyd 2008).

    `look` counts from 1; 0 is the last.
    """
    look = look or len(gate.shares)
    level, raw = nominal_levels(gate.shares, gate.alpha)[look - 1], pair.first(gate.shares[look - 1])
    pair = _scale(raw, gate)
    columns, runs = pair.columns(), noise.measured(pair)
    against = partial(
        paired_recovery,
        *columns,
        alpha=level,
        chance=pair.chance,
        clusters=pair.clusters(),
        noise=runs,
        lowest=pair.lowest,
    )
    result = against(gate.threshold)
    p_floor = against(gate.floor).p_fail if result.p_fail <= gate.alpha else 1.0
    verdict = _verdict([pair], [columns], result, gate, look, level)
    shown = noise.shown(runs, noise.measured(raw), result.base_mean or 0.0, gate, pair.base.planned)
    verdict = replace(verdict, task=pair.quantized.task, p_floor=p_floor, noise=shown, evidence=(_evidence(pair),))
    if noise.against_itself(pair, gate):
        return replace(verdict, status="INCONCLUSIVE", why=UNSTEADY)
    return verdict


def judge_average(pairs: Sequence[Pair], gate: Gate, look: int = 0) -> Verdict:
    """Judge a model x format by the ratio of averages over its tasks (stratified Fieller test).

    Where the gate names a competitor, the average must also be proven no worse than that format's, by a margin.
    """
    look = look or len(gate.shares)
    level, share = nominal_levels(gate.shares, gate.alpha)[look - 1], gate.shares[look - 1]
    whole = [_scale(pair.first(share), gate) for pair in pairs]
    pairs = once(whole)
    columns = [pair.columns() for pair in pairs]
    tasks = [_pooled(pair, column) for pair, column in zip(pairs, columns, strict=True)]
    result = pool(tasks, gate.threshold, alpha=level, definition=gate.definition)
    verdict = _verdict(pairs, columns, result, gate, look, level)
    averages = Averages(
        macro=result.macro.recovery, item=result.item_pooled.recovery, ratios=result.average_of_ratios.recovery
    )
    twice = sum(len(pair.base.items) for pair in whole) - verdict.n
    why = "; ".join(filter(None, (verdict.why, f"{twice:,} items are in two tasks and count once" if twice else "")))
    verdict = replace(verdict, averages=averages, evidence=tuple(map(_evidence, whole)), why=why)
    if gate.competitor:
        rivals = [pair.against(gate.competitor) for pair in pairs]
        comparison, status = competitive.compare(tasks, rivals, result, gate, level)
        verdict = replace(verdict, comparison=comparison, status=status)
    if unsteady := [pair.base.task for pair in pairs if noise.against_itself(pair, gate)]:
        return replace(verdict, status="INCONCLUSIVE", why=f"{UNSTEADY} on {', '.join(unsteady)}")
    return verdict


def settled(verdict: Verdict) -> bool:
    """Say whether a further look could change what a verdict is for: it is proven, or the items are spent.

    A task proven below on its own account goes on until it is a finding whatever the others show (Bonferroni).
    """
    if verdict.look == len(verdict.gate.shares):
        return True
    if verdict.status != "FAIL" or not verdict.task:
        return verdict.status != "INCONCLUSIVE"
    return spent_p(verdict, verdict.p_fail) * verdict.gate.family <= verdict.gate.alpha


def spent_p(verdict: Verdict, p: float) -> float:
    """Return a p-value of a verdict adjusted for its looks: the smallest overall alpha at which it is a proof."""
    return sequential_p(p, verdict.look - 1, verdict.gate.shares)


class Findings(NamedTuple):
    """What a row's tasks show together, by task: `below` (Holm), `vetoed` (Holm, below the floor), `suspect` (BH)."""

    below: tuple[str, ...]
    vetoed: tuple[str, ...]
    suspect: tuple[str, ...]


def findings(verdicts: Sequence[Verdict]) -> Findings:
    """Control multiplicity over the declared family of tasks, whatever was selected of them.

    Cells not run count as p = 1. A verdict that is INCONCLUSIVE because the base differs from itself counts so too.
    """
    if not verdicts:
        return Findings((), (), ())
    gate = verdicts[0].gate
    rest = [1.0] * max(0, gate.family - len(verdicts))
    fail = [1.0 if v.why and v.status != "FAIL" else spent_p(v, v.p_fail) for v in verdicts] + rest
    floor = [max(p, spent_p(v, v.p_floor)) for p, v in zip(fail, verdicts, strict=False)] + rest
    flagged = [(holm(fail), gate.alpha), (holm(floor), VETO_ALPHA), (benjamini_hochberg(fail), SUSPECT)]
    return Findings(*(tuple(v.task for v, p in zip(verdicts, ps, strict=False) if p <= level) for ps, level in flagged))


def _scale(pair: Pair, gate: Gate) -> Pair:
    """Return a pair on the scale that the gate judges: before anything else, so that all numbers are of one scale."""
    return pair.normalised() if gate.normalised else pair


def _pooled(pair: Pair, columns: Columns) -> TaskScores:
    runs = noise.measured(pair)
    return TaskScores(
        pair.base.task,
        *columns,
        planned_n=pair.base.planned,
        clusters=pair.clusters(),
        tau2=runs.tau2 if runs else 0.0,
        lowest=pair.lowest,
    )


def _verdict(  # noqa: PLR0913, PLR0917 - one place for both kinds of verdict
    pairs: Sequence[Pair],
    columns: Sequence[Columns],
    result: PairedResult | PooledResult,
    gate: Gate,
    look: int,
    level: float,
) -> Verdict:
    first = pairs[0].quantized
    flips = [(old, new) for column in columns for old, new in zip(*column, strict=True)]
    return Verdict(
        model=first.model,
        format=first.format,
        task="",
        status=result.verdict,
        base=result.base_mean,
        quantized=result.quantized_mean,
        recovery=result.recovery,
        low=_finite(result.low),
        high=_finite(result.high),
        gate=gate,
        look=look,
        level=level,
        n=sum(len(pair.base.items) for pair in pairs),
        planned=sum(pair.base.planned for pair in pairs),
        worse=sum(new < old for old, new in flips),
        better=sum(new > old for old, new in flips),
        p_pass=result.p_pass,
        p_fail=result.p_fail,
        why=result.why or getattr(result, "disagreement", ""),
        backend=first.backend,
        seconds=sum(pair.quantized.seconds for pair in pairs),
    )


def _evidence(pair: Pair) -> Evidence:
    base, quantized, rival, *repeats = (
        f"{side.record}:{len(side.items)}" if side else ""
        for side in (pair.base, pair.quantized, pair.rival, *pair.repeats)
    )
    return Evidence(
        task=pair.base.task,
        planned=pair.base.planned,
        base=base,
        quantized=quantized,
        rival=rival,
        repeats=tuple(repeats),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

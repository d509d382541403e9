"""Judge again: the verdicts of an earlier run, from the scores that they name, with no engine and no GPU.

Comes in: `results.json`, the `Store` that the run wrote to. Goes out: verdicts by today's statistics, and at another
alpha if one is asked for. A record that is not there, or holds fewer items than were judged, is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from quant.errors import UsageError
from quant.judge.pairs import Pair
from quant.judge.recovery import judge_average, judge_task
from quant.report import results
from quant.scores import Scores
from quant.series import KIND, Series
from quant.stats.decision import check_alpha
from quant.store import read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from quant.claims import Evidence, Gate, Verdict
    from quant.records import Definition
    from quant.store import Store


def judge(file: Path, store: Store, alpha: float | None = None, definition: Definition | None = None) -> list[Verdict]:
    """Judge every verdict of a run again, each at the look that it was decided at."""
    try:
        check_alpha(0.05 if alpha is None else alpha)
    except ValueError as error:
        raise UsageError(f"--alpha: {error}") from None
    try:
        run = results.read(file)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise UsageError(f"{file}: no results.json of this version: {error}") from None
    changed = {name: value for name, value in (("alpha", alpha), ("definition", definition)) if value is not None}
    return [_again(verdict, replace(verdict.gate, **changed), store) for verdict in run.verdicts]


def lines(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return a line a verdict, tasks before averages, with the fields of `quant.judge.counted`; None is undefined."""
    return [_line(verdict) for verdict in sorted(verdicts, key=lambda verdict: verdict.task == "")]


def _line(verdict: Verdict) -> dict[str, Any]:
    own = ("n", "recovery", "low", "high", "p_fail", "p_pass", "why")
    line: dict[str, Any] = {"kind": "task" if verdict.task else "average", "cell": f"{verdict.model}-{verdict.format}"}
    line |= {"task": verdict.task} if verdict.task else {"definition": verdict.gate.definition}
    line |= {name: getattr(verdict, name) for name in own} | {"verdict": verdict.status, "look": verdict.look}
    line |= {"normalised": True} if verdict.gate.normalised else {}
    if verdict.averages:
        line |= {name: getattr(verdict.averages, name) for name in ("macro", "item")}
        line |= {"average_of_ratios": verdict.averages.ratios}
    return line | ({"comparison": verdict.comparison} if verdict.comparison else {})


def _again(verdict: Verdict, gate: Gate, store: Store) -> Verdict:
    pairs = [_pair(verdict, evidence, store) for evidence in verdict.evidence]
    new = judge_task(pairs[0], gate, verdict.look) if verdict.task else judge_average(pairs, gate, verdict.look)
    return replace(new, waiver=verdict.waiver, seconds=verdict.seconds)


def _pair(verdict: Verdict, evidence: Evidence, store: Store) -> Pair:
    def scores(place: str, fmt: str) -> Scores:
        return _scores(place, verdict, evidence, fmt, store)

    return Pair(
        scores(evidence.base, "bf16"),
        scores(evidence.quantized, verdict.format),
        scores(evidence.rival, verdict.gate.competitor) if evidence.rival else None,
        tuple(scores(place, "bf16") for place in evidence.repeats),
    )


def _scores(place: str, verdict: Verdict, evidence: Evidence, fmt: str, store: Store) -> Scores:
    key, _, count = place.partition(":")
    where = f"{verdict.cell}: record {key} of {fmt} {evidence.task}"
    manifest = next(filter(None, map(read_manifest, sorted((store.root / KIND / key).glob("*")))), None)
    part = Series(store, manifest.inputs, manifest.label).read() if manifest else None
    if manifest is None or part is None or len(part.items) < int(count):
        there = len(part.items) if part else 0
        raise UsageError(f"{where} has {there} of {count} items in {store.root}; name the run's own store by --store")
    return Scores(
        model=verdict.model,
        format=fmt,
        task=evidence.task,
        metric=manifest.inputs["task"][1],
        filter=manifest.inputs["task"][2],
        backend=manifest.inputs["backend"],
        items=part.items[: int(count)],
        planned=evidence.planned,
        seconds=0.0,
        load_seconds=0.0,
        started=part.started,
        engine=part.engine,
        record=key,
    )

"""At four bits, GPTQ and AWQ keep more of the smallest model than rounding to nearest does. Really served.

The comparison is paired: all three answer the same items. The numbers are reproducible, so no claim fails by chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fixtures.options import SETTINGS
from quant.claims import Gate
from quant.jobs import Side
from quant.judge.pairs import Pair
from quant.judge.recovery import judge_average
from quant.matrix import BASE

if TYPE_CHECKING:
    from quant.pipeline import Pipeline
    from quant.scores import Scores

pytestmark = [pytest.mark.timeout(0), pytest.mark.slow, pytest.mark.xdist_group("ref-0.6m-methods")]

NEAREST, METHODS = "int4-rtn", ("int4-w4a16", "int4-awq")
GATE = Gate(threshold=0.95, competitor=NEAREST)


@pytest.fixture(scope="module")
def scores(pipeline: Pipeline, pytestconfig: pytest.Config) -> dict[str, list[Scores]]:
    """All items of all tasks, by format."""
    declared = pytestconfig.stash[SETTINGS].matrix
    model, tasks = declared.models["ref-0.6m"], declared.suite_tasks("reference-full")
    served = pipeline.backend_for(declared.formats[NEAREST])
    formats = [BASE, *(declared.formats[name] for name in (NEAREST, *METHODS))]
    begun = {fmt.id: pipeline.scores(Side(model, fmt, served), tasks) for fmt in formats}
    return {name: [future.result() for future in futures] for name, futures in begun.items()}


@pytest.mark.parametrize("method", METHODS)
def test_a_calibrated_method_keeps_more_than_rounding_to_nearest(scores: dict[str, list[Scores]], method: str) -> None:
    sides = zip(scores["bf16"], scores[method], scores[NEAREST], strict=True)
    verdict = judge_average([Pair(base, quantized, rival=rival) for base, quantized, rival in sides], GATE)
    assert verdict.comparison is not None
    assert (verdict.comparison.low or 0) > 0, verdict.comparison

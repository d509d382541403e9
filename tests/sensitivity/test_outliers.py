"""A model with the activation outliers of large ones needs SmoothQuant in INT8, and the gate says so. Really served.

The outliers come from a rescaling that changes no output (`fixtures.reference.outliers`). An INT8 activation has one
scale a token: with outliers 128 times the rest, the other channels keep about one of its 127 steps.

Every number here is reproducible, so no claim fails by chance.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from msgspec import structs

from fixtures.options import SETTINGS
from fixtures.reference import outliers
from quant.claims import Gate
from quant.jobs import Side
from quant.judge.pairs import Pair
from quant.judge.recovery import judge_average
from quant.matrix import BASE
from quant.report.terminal import sentence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from quant.claims import Verdict
    from quant.pipeline import Pipeline
    from quant.scores import Scores

# One worker quantizes and serves what all tests of this file look at; a stage has a time limit of its own.
pytestmark = [pytest.mark.timeout(0), pytest.mark.xdist_group("ref-4m-outliers")]

PLAIN, SMOOTHED = "int8-w8a8", "int8-smoothquant"
THRESHOLD = 0.97


class Found(NamedTuple):
    """Scores, task by task, of the model and of its variant with outliers."""

    base: list[Scores]
    smoothed: list[Scores]
    outliers_base: list[Scores]
    outliers_plain: list[Scores]
    outliers_smoothed: list[Scores]


@pytest.fixture(scope="module")
def found(pipeline: Pipeline, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Serve the model and the variant side by side, on all items of the reference suite."""
    declared = pytestconfig.stash[SETTINGS].matrix
    model, folder = declared.models["ref-4m"], tmp_path_factory.mktemp("models") / "outliers"
    outliers.make(Path(pipeline.inputs.base(model).path), folder)
    variant = structs.replace(model, id="ref-4m-outliers", source=str(folder))
    plain, smoothed = declared.formats[PLAIN], declared.formats[SMOOTHED]
    served, tasks = pipeline.backend_for(plain), declared.suite_tasks("reference")
    sides = [(model, BASE), (model, smoothed), (variant, BASE), (variant, plain), (variant, smoothed)]
    started: list[list[Future[Scores]]] = [pipeline.scores(Side(*side, served), tasks) for side in sides]
    return Found(*([future.result() for future in futures] for futures in started))


def judge(base: Sequence[Scores], quantized: Sequence[Scores]) -> Verdict:
    return judge_average([Pair(*pair) for pair in zip(base, quantized, strict=True)], Gate(threshold=THRESHOLD))


def test_outliers_change_no_score_in_full_precision(found: Found) -> None:
    assert [scores.items for scores in found.outliers_base] == [scores.items for scores in found.base]


def test_plain_int8_of_a_model_with_outliers_fails_the_gate(found: Found) -> None:
    verdict = judge(found.outliers_base, found.outliers_plain)
    assert verdict.status == "FAIL", sentence(verdict)


def test_smoothquant_lets_int8_of_a_model_with_outliers_pass_the_gate(found: Found) -> None:
    verdict = judge(found.outliers_base, found.outliers_smoothed)
    assert verdict.status == "PASS", sentence(verdict)


def test_smoothquant_does_no_harm_where_there_are_no_outliers(found: Found) -> None:
    verdict = judge(found.base, found.smoothed)
    assert verdict.status == "PASS", sentence(verdict)

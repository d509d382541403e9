"""A quantize stage in a process of its own, which serves the tests of a file one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest
from msgspec.structs import replace

from quant import reading
from quant.environment import DEFAULT_MATRIX, child_environment, current
from quant.stages.process import StageProcess
from quant.stages.protocol import QuantizeRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DECLARED = reading.load(DEFAULT_MATRIX)
TIMEOUT_SECONDS = 1800


class Quantize(Protocol):
    """Quantize a model's folder into an empty one in a declared format; returns what the stage told meanwhile."""

    def __call__(self, fmt: str, model: str, output: Path, **changes: Any) -> list[str]: ...


@pytest.fixture(scope="module")
def quantize(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quantize]:
    """Return a function that quantizes with eight short calibration texts, or as `changes` to the request say."""
    log = tmp_path_factory.mktemp("log") / "log"
    process = StageProcess("quantize", child_environment(current().hardware.kind), log)

    def ask(fmt: str, model: str, output: Path, **changes: Any) -> list[str]:
        told: list[str] = []
        wanted = replace(request(fmt, model, output), **changes)
        process.ask(wanted, lambda message: told.append(message.label), TIMEOUT_SECONDS)
        return told

    yield ask
    process.close()


def request(fmt: str, model: str, output: Path) -> QuantizeRequest:
    """Return what a run would ask for."""
    chosen, texts = DECLARED.formats[fmt], DECLARED.models["ref-0.6m"].calibration
    assert texts is not None
    return QuantizeRequest(
        label=fmt,
        model=model,
        output=str(output),
        dtype="bfloat16",
        recipe=chosen.recipe,
        search=chosen.search,
        calibration_file=texts.texts if chosen.calibration is not None else "",
        samples=8,
        tokens=64,
    )

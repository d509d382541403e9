"""A model that the device has no room for is quantized from the host's memory or from disk, to the same tensors."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import pytest
from msgspec.structs import replace

from quant import reading
from quant.environment import DEFAULT_MATRIX, current
from quant.stages.protocol import CHOICE

if TYPE_CHECKING:
    from collections.abc import Callable

    from quant.records import Place

pytestmark = [pytest.mark.timeout(0), pytest.mark.xdist_group("formats")]

DECLARED = reading.load(DEFAULT_MATRIX)
MODEL = DECLARED.models["ref-0.6m"].source
RESIDENT_BYTES = 200_000  # of 1.2 MB of weights: the rest lies on disk
FORMATS = ("fp8-dynamic", "int4-w4a16")  # without calibration, and with


class Quantized(NamedTuple):
    """One run of the stage: the hash of its weights, what it chose and told, what lies beside its output."""

    weights: str
    choice: str
    told: str
    beside: list[str]


@pytest.fixture(scope="module")
def make(
    tmp_path_factory: pytest.TempPathFactory, quantize: Callable[..., list[str]]
) -> Callable[[str, Place], Quantized]:
    """Return a function that quantizes the smallest reference model in a format from a place, each once."""
    made: dict[tuple[str, Place], Quantized] = {}

    def once(fmt: str, place: Place) -> Quantized:
        if (fmt, place) not in made:
            output = tmp_path_factory.mktemp("made") / "model"
            chosen = DECLARED.formats[fmt].search
            search = chosen and replace(chosen, values=(0.5, 0.8), held_out=8)
            told = quantize(fmt, MODEL, output, search=search, place=place, resident_bytes=RESIDENT_BYTES)
            choice = (output / CHOICE).read_text() if (output / CHOICE).is_file() else ""
            beside = sorted(file.name for file in output.parent.iterdir())
            weights = hashlib.sha256((output / "model.safetensors").read_bytes()).hexdigest()
            made[fmt, place] = Quantized(weights, choice, told[-1], beside)
        return made[fmt, place]

    return once


@pytest.mark.parametrize("place", ["host", "disk"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_the_same_tensors_come_out_wherever_the_model_lies(
    make: Callable[[str, Place], Quantized], fmt: str, place: Place
) -> None:
    assert make(fmt, place).weights == make(fmt, "device").weights


@pytest.mark.parametrize("place", ["host", "disk"])
def test_a_search_measures_the_same_losses_wherever_the_model_lies(
    make: Callable[[str, Place], Quantized], place: Place
) -> None:
    found, expected = make("int8-smoothquant", place), make("int8-smoothquant", "device")
    assert (found.choice, found.weights) == (expected.choice, expected.weights)


def test_tensors_on_disk_are_gone_afterwards(make: Callable[[str, Place], Quantized]) -> None:
    assert make("int4-w4a16", "disk").beside == ["model"]


@pytest.mark.parametrize(("place", "said"), [("device", "quantizing"), ("disk", "the model on disk")])
def test_where_a_model_lies_is_told(make: Callable[[str, Place], Quantized], place: Place, said: str) -> None:
    assert make("fp8-dynamic", place).told.endswith(said)


@pytest.mark.gpu
@pytest.mark.parametrize("fmt", [*FORMATS, "int8-smoothquant", "int4-awq"])
@pytest.mark.parametrize("place", ["host", "disk"])
def test_a_gpu_quantizes_from_elsewhere_what_it_quantizes_itself(
    make: Callable[[str, Place], Quantized], fmt: str, place: Place
) -> None:
    if current().hardware.kind.startswith("cpu"):
        pytest.skip("no accelerator: the tests above show the same on a CPU, where no tensor changes its device")
    assert make(fmt, place).weights == make(fmt, "device").weights

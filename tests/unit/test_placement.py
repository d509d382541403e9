"""Where a model lies while it is quantized follows from bytes, and what fits nowhere is refused with what would."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import ModelError
from quant.inputs import placement
from quant.inputs.placement import Placement
from quant.inputs.run import Inputs
from quant.matrix import Cell
from quant.records import Calibration, Hardware, Mixed

if TYPE_CHECKING:
    from quant.records import Format, Model

MATRIX = reading.load(DEFAULT_MATRIX)
LLAMA, LARGE, HUGE = (MATRIX.models[f"llama-3.1-{size}-instruct"] for size in ("8b", "70b", "405b"))
INT4 = MATRIX.formats["int4-w4a16"]
FP8 = MATRIX.formats["fp8-dynamic"]
H100 = Hardware(
    kind="h100",
    name="H100",
    devices=1,
    capabilities=frozenset(),
    memory_bytes=85_520_809_984,
    host_bytes=250 * 10**9,
)
CPU = replace(H100, kind="cpu-avx512", name="CPU", host_bytes=0)
TERABYTE = 10**12


def found(model: Model, machine: Hardware, fmt: Format = INT4, disk: float = math.inf) -> Placement:
    calibration = model.calibration if fmt.calibration is not None else None
    return placement.find(model, fmt, model.shape, calibration, machine, disk)


def complaint(model: Model, machine: Hardware, fmt: Format = INT4, disk: float = math.inf) -> str:
    with pytest.raises(ModelError) as caught:
        found(model, machine, fmt, disk)
    return str(caught.value)


def test_8b_lies_on_an_h100() -> None:
    assert found(LLAMA, H100) == Placement("device")


def test_70b_lies_in_the_hosts_memory() -> None:
    # 141.1 GB of weights and 512 x 8,192 x 8,192 activations of 2 bytes, 68.7 GB, of 225 GB usable
    assert found(LARGE, H100) == Placement("host")


def test_without_calibration_less_memory_is_enough() -> None:
    assert found(LARGE, replace(H100, host_bytes=160 * 10**9), FP8) == Placement("host")


def test_405b_lies_on_disk_with_what_memory_has_room_for() -> None:
    # 225 GB less 512 x 4,096 x 16,384 x 2 = 68.7 GB of activations, 20 GB to write from and 5 layers of 6.4 GB
    assert found(HUGE, H100) == Placement("disk", 104_403_812_864)


def test_a_cpu_has_one_memory_for_weights_and_activations() -> None:
    assert found(LLAMA, replace(CPU, memory_bytes=60 * 10**9)).place == "device"


def test_a_cpu_takes_what_is_left_over_from_disk() -> None:
    # 141.1 GB of weights, 68.7 GB of activations and 5 layers of 1.7 GB to work in, of 216 GB usable
    assert found(LARGE, replace(CPU, memory_bytes=240 * 10**9)).place == "disk"


@pytest.mark.parametrize("machine", [replace(H100, memory_bytes=0), replace(CPU, memory_bytes=0)])
def test_a_machine_of_unknown_size_is_not_doubted(machine: Hardware) -> None:
    assert found(HUGE, machine) == Placement("device")


def test_a_host_of_unknown_size_is_not_doubted() -> None:
    assert found(HUGE, replace(H100, host_bytes=0)) == Placement("host")


def test_a_model_of_unknown_shape_is_not_doubted() -> None:
    assert placement.find(HUGE, INT4, None, None, H100, 0) == Placement("device")


def test_mixed_precision_needs_the_whole_model_on_the_device() -> None:
    assert complaint(LARGE, H100, replace(INT4, mixed=Mixed(high="W8A8", bits=5.0))) == (
        "llama-3.1-70b-instruct-int4-w4a16: `mixed` measures each layer with the whole model on the device, which takes"
        " 149.66 GB, found 76.97 GB on H100; take a larger device, or write the layers into the recipe's config_groups"
    )


def test_a_layer_that_the_device_cannot_hold_is_refused() -> None:
    small = replace(H100, memory_bytes=30 * 10**9)
    assert "quantizing one layer takes 31.88 GB, found 27.00 GB on H100" in complaint(HUGE, small)


def test_too_many_calibration_texts_are_refused_with_what_would_do() -> None:
    assert (
        "68.72 GB of them for the calibration texts' activations, found 90.00 GB; calibrate with fewer `samples`"
        in (complaint(HUGE, replace(H100, host_bytes=100 * 10**9)))
    )


def test_a_full_disk_is_refused_with_what_would_do() -> None:
    # 811.7 GB of weights written anew, and 215.5 GB of the quantized model
    assert "takes 1,027.22 GB on disk, found 1,000.00 GB free in the store" in complaint(HUGE, H100, disk=TERABYTE)


def test_a_run_refuses_it_before_anything_is_fetched() -> None:
    texts = Calibration(texts=MATRIX.models["ref-4m"].calibration.texts, samples=512, tokens=8192)  # type: ignore[union-attr]
    cell = Cell(model=replace(LARGE, calibration=texts), format=INT4, task=MATRIX.tasks["facts"])
    machine = replace(H100, devices=2, host_bytes=50 * 10**9)
    with pytest.raises(ModelError, match="70b-instruct-int4-w4a16: quantizing takes"):
        Inputs(MATRIX, machine).check([cell])

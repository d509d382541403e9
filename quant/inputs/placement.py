"""Where a model lies while it is quantized: on the device, or in a larger memory, a layer at a time on the device.

Comes in: a `Model` with its `Shape`, a `Format`, what calibrates it, `Hardware`. Goes out: a `Placement`, or a
`ModelError` that says what would fit. Pure arithmetic: starts nothing, and must not import torch. The same tensors come
out wherever a model lies. Not counted: activations of one sequence on the device, for which the tenth that is left free
has room, and what other processes take of the host's memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from quant.errors import ModelError
from quant.inputs import memory

if TYPE_CHECKING:
    from quant.records import Calibration, Format, Hardware, Model, Place, Shape

# Of one layer's linear weights, on the device at once: the layer, and what GPTQ sums up of its inputs (a float32 square
# of its inputs for each linear layer: 2.8 layers in Llama 3.1, 3.7 in Qwen3-30B-A3B, by their dimensions).
LAYERS = 5
SHARD_BYTES = 20e9  # a file of weights, which llm-compressor gathers in memory before it is written


class Placement(NamedTuple):
    """Where a model lies; of one on disk, `resident_bytes` stay in the host's memory."""

    place: Place
    resident_bytes: int = 0


class Need(NamedTuple):
    """Bytes while a model is quantized: all its weights, a layer's work, activations of all calibration texts."""

    weights: float
    work: float
    activations: float

    @property
    def spare(self) -> float:
        """Return what the host needs besides weights when these lie on disk."""
        return self.activations + self.work + min(SHARD_BYTES, self.weights)


def find(  # noqa: PLR0913, PLR0917 - what a placement follows from
    model: Model, fmt: Format, shape: Shape | None, calibration: Calibration | None, machine: Hardware, disk: float
) -> Placement:
    """Return the fastest place that a model fits in, the device where sizes are unknown; `ModelError` if there is none.

    `disk` counts the bytes that are free there.
    """
    if shape is None or not machine.memory_bytes:
        return Placement("device")
    takes, cpu = need(model, shape, calibration), machine.kind.startswith("cpu")
    device, host = memory.USABLE * machine.memory_bytes, memory.USABLE * _host_bytes(machine)
    if takes.weights + takes.work + (takes.activations if cpu else 0) <= device:
        return Placement("device")
    where = f"{model.id}-{fmt.id}"
    _check_device(where, fmt, takes, device, machine)
    if not cpu and takes.weights + takes.activations <= host:
        return Placement("host")
    _check_disk(where, takes, memory.need(model, shape, fmt).weights, host, disk)
    return Placement("disk", math.floor(host - takes.spare))


def need(model: Model, shape: Shape, calibration: Calibration | None) -> Need:
    """Return what quantizing takes; between two layers, the activations of all calibration texts wait on the host."""
    wide = 4 if model.dtype == "float32" else 2
    tokens = calibration.samples * calibration.tokens if calibration else 0
    work = LAYERS * shape.linear / shape.layers * wide
    return Need(shape.parameters * wide, work, tokens * shape.hidden * wide)


def _check_device(where: str, fmt: Format, takes: Need, device: float, machine: Hardware) -> None:
    """Refuse what needs more on the device than a layer at a time."""
    found = f"found {memory.gigabytes(device)} on {machine.name}"
    if takes.work > device:
        raise ModelError(
            f"{where}: quantizing one layer takes {memory.gigabytes(takes.work)}, {found}; take a larger device"
        )
    if fmt.mixed:
        raise ModelError(
            f"{where}: `mixed` measures each layer with the whole model on the device, which takes"
            f" {memory.gigabytes(takes.weights + takes.work)}, {found}; take a larger device, or write the layers into"
            " the recipe's config_groups"
        )


def _check_disk(where: str, takes: Need, quantized: float, host: float, disk: float) -> None:
    """Refuse what not even disk helps with."""
    if takes.spare > host:
        raise ModelError(
            f"{where}: quantizing takes {memory.gigabytes(takes.spare)} of the host's memory even with its weights on"
            f" disk, {memory.gigabytes(takes.activations)} of them for the calibration texts' activations, found"
            f" {memory.gigabytes(host)}; calibrate with fewer `samples` or `tokens`, or take a host with"
            f" {memory.gigabytes(takes.spare / memory.USABLE)}"
        )
    if takes.weights + quantized > disk:
        enough = (takes.weights + takes.activations) / memory.USABLE
        raise ModelError(
            f"{where}: quantizing takes {memory.gigabytes(takes.weights + quantized)} on disk, found"
            f" {memory.gigabytes(disk)} free in the store; name another by --store, or take a host with"
            f" {memory.gigabytes(enough)} of memory"
        )


def _host_bytes(machine: Hardware) -> float:
    """Return the host's memory; boundless where it is unknown."""
    return (machine.memory_bytes if machine.kind.startswith("cpu") else machine.host_bytes) or math.inf

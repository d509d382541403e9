"""What safetensors files hold: names, types and shapes from their headers, and the values of small tensors.

Comes in: files. Goes out: `Tensor`s, arrays. Must not import torch: files are checked before anything heavy starts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quant.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray


class Tensor(NamedTuple):
    """One tensor as its file's header describes it; `begin` and `end` are bytes from the start of the file."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def headers(file: Path) -> Iterator[Tensor]:
    """Yield the tensors of a safetensors file: 8 bytes with the header's length, the header as JSON, then the data."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            yield Tensor(file, name, entry["dtype"], tuple(entry["shape"]), begin, end)


def floats(tensor: Tensor) -> NDArray[np.float32]:
    """Read a tensor of any type that scales have, flat, as float32."""
    if tensor.dtype not in _DECODERS:
        raise CheckpointError(f"{tensor.file}: tensor {tensor.name}: a scale of type {tensor.dtype} is unknown here")
    return _DECODERS[tensor.dtype](content(tensor))


def content(tensor: Tensor) -> bytes:
    """Read a tensor as it lies in its file."""
    with tensor.file.open("rb") as stream:
        stream.seek(tensor.begin)
        return stream.read(tensor.end - tensor.begin)


def _bfloat16(data: bytes) -> NDArray[np.float32]:
    return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)


def _float8_e4m3(data: bytes) -> NDArray[np.float32]:
    """Sign, 4 bits of exponent (bias 7), 3 of mantissa; all seven ones are NaN (arXiv:2209.05433, table 1)."""
    bits = np.frombuffer(data, np.uint8).astype(np.int32)
    exponent, mantissa = bits >> 3 & 15, bits & 7
    normal = np.ldexp(1 + mantissa / 8, exponent - 7)
    value = np.where(exponent == 0, np.ldexp(mantissa / 8, -6), normal)
    signed = np.where(bits & 128, -value, value)
    return np.where(bits & 127 == 127, np.nan, signed).astype(np.float32)  # noqa: PLR2004 - see above


def _float8_e8m0(data: bytes) -> NDArray[np.float32]:
    """Read powers of two, bias 127; 255 is NaN (OCP Microscaling Formats 1.0, section 5.4.1)."""
    bits = np.frombuffer(data, np.uint8).astype(np.int32)
    return np.where(bits == 255, np.nan, np.ldexp(1.0, bits - 127)).astype(np.float32)  # noqa: PLR2004 - see above


_DECODERS: dict[str, Callable[[bytes], NDArray[np.float32]]] = {
    "BF16": _bfloat16,
    "F16": lambda data: np.frombuffer(data, np.float16).astype(np.float32),
    "F32": lambda data: np.frombuffer(data, np.float32),
    "F8_E4M3": _float8_e4m3,
    "F8_E8M0": _float8_e8m0,
    "U8": _float8_e8m0,  # how compressed-tensors stores MXFP4's scales
}

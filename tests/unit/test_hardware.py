"""A machine is named by what decides its kernels, and a format goes where its kernels are."""

from __future__ import annotations

import pytest

from quant import hardware
from quant.records import Format, Hardware

INT4 = Format(id="int4", purpose="an example", family="int4", needs=("w4a16",))


def machine(kind: str) -> Hardware:
    return Hardware(kind=kind, name=kind, devices=1, capabilities=hardware.CAPABILITIES[kind])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"sse2"}, "generic"), ({"sse2", "avx2"}, "avx2"), ({"avx2", "avx512f", "avx512bw"}, "avx512")],
)
def test_a_cpu_is_named_by_its_widest_vector_extension(flags: set[str], expected: str) -> None:
    assert hardware.vector_extension(flags) == expected


def test_int4_is_served_by_vllm_where_the_cpu_has_avx512() -> None:
    assert hardware.backend_for(INT4, machine("cpu-avx512"), "auto") == "vllm"


def test_int4_falls_back_to_transformers_on_a_cpu_without_avx512() -> None:
    assert hardware.backend_for(INT4, machine("cpu-avx2"), "auto") == "hf"


def test_transformers_serves_when_asked_for() -> None:
    assert hardware.backend_for(INT4, machine("cpu-avx512"), "hf") == "hf"


def test_what_a_machine_lacks_is_named() -> None:
    assert hardware.missing(INT4, machine("cpu-avx2")) == ("w4a16",)


def test_this_machine_is_of_a_known_kind() -> None:
    assert hardware.probe().devices >= 1

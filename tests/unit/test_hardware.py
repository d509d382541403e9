"""A machine is named by what decides its kernels, and a format goes where its kernels are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from quant import hardware
from quant.records import Format, Hardware

if TYPE_CHECKING:
    from pathlib import Path

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


def test_memory_is_what_a_container_may_use(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1073741824\n")
    assert hardware._ram_bytes(tmp_path / "memory.max") == 2**30


def test_memory_is_all_there_is_without_a_limit(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware._ram_bytes(tmp_path / "memory.max") == hardware._ram_bytes(tmp_path / "absent") > 2**30


@pytest.mark.parametrize(("listed", "expected"), [("81559", 81559 * 2**20), ("[N/A]", 0)])
def test_a_gpu_has_the_memory_that_its_driver_lists(
    listed: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 9.0, 550.54.15, {listed}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    gpu = hardware._gpu()
    assert gpu is not None
    assert (gpu.memory_bytes, gpu.capabilities) == (expected, hardware.CAPABILITIES["sm90"])


def test_without_flashinfer_a_gpu_serves_mxfp4_with_weights_alone() -> None:
    with_it, without = (hardware.of_gpu("sm120", flashinfer=installed) for installed in (True, False))
    assert (with_it - without, without - with_it) == ({"mxfp4"}, {"mxfp4a16"})


def test_flashinfer_changes_nothing_on_a_gpu_without_fp4_units() -> None:
    assert hardware.of_gpu("sm90", flashinfer=False) == hardware.CAPABILITIES["sm90"]


def test_a_gpu_that_is_not_known_serves_nothing_by_vllm() -> None:
    assert hardware.of_gpu("sm70", flashinfer=True) == frozenset()

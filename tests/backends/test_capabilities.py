"""A capability is what vLLM computes as named: each row of the table is asked of vLLM itself.

Rows of this machine are served: `pytest tests/backends -m "slow or not slow" -s` prints a table, on GPUs too.
SM rows of other GPUs are asked of vLLM's classes, which state their own conditions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quant import hardware
from quant.environment import versions
from quant.inputs import given

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("backends")  # checkpoints are made and served once

KIND = hardware.probe().kind
ROW = hardware.probe().capabilities
QUICK = {"w4a16", "w4a8", "mxfp4a16"}  # two that a CPU with AVX-512 serves and one that no CPU does
SCHEMES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in (*sorted(hardware.KNOWN), "w4a16-asym")
]


def need(scheme: str) -> str:
    """Capability that a scheme needs: weights with zero points need the kernel of those without."""
    return scheme.removesuffix("-asym")


def show(answer: dict[str, Any], kind: str) -> str:
    """Print one line of the table and return what was computed."""
    near = ", ".join(f"{label} {distance:.3f}" for label, distance in answer["distances"])
    print(f"\n{kind:12} {answer['scheme']:16} {answer['computed']:16} {near}")  # noqa: T201 - the table
    return str(answer["computed"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_vllm_computes_as_named_what_this_machine_is_said_to_serve_and_nothing_else(
    scheme: str, answer: Callable[..., dict[str, Any]]
) -> None:
    computed = show(answer(scheme, "vllm"), KIND)

    assert (computed == "as named") == (need(scheme) in ROW)


@pytest.mark.skipif(KIND != "cpu-avx512", reason="AVX-512 can only be left unused where it is")
@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_vllm_computes_as_named_what_a_cpu_without_avx512_is_said_to_serve(
    scheme: str, answer: Callable[..., dict[str, Any]]
) -> None:
    computed = show(answer(scheme, "vllm", WITHOUT_AVX512="1"), "cpu-avx2")

    assert (computed == "as named") == (need(scheme) in hardware.CAPABILITIES["cpu-avx2"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_transformers_computes_every_scheme_as_named(scheme: str, answer: Callable[..., dict[str, Any]]) -> None:
    assert show(answer(scheme, "hf"), "transformers") == "as named"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_checkpoint_from_elsewhere_needs_what_its_recipe_would_need(scheme: str, checkpoints: Path) -> None:
    assert given.scheme(checkpoints / scheme).needs == (need(scheme),)


@pytest.fixture(scope="module")
def chosen(program: Callable[..., str]) -> dict[str, dict[str, str]]:
    """Return SM -> capability -> the kernel that vLLM's own lists give it, or why none."""
    return dict(json.loads(program("kernels.py").splitlines()[-1]))


GPUS = [sm for sm in hardware.CAPABILITIES if sm.startswith("sm")]
PINNED = any(version.startswith("0.32.") for name, version in versions().items() if name.startswith("vllm"))


def served(row: dict[str, str]) -> set[str]:
    """Capabilities for which vLLM has a kernel."""
    return {name for name, kernel in row.items() if not kernel.startswith(("no ", "no:"))}


@pytest.mark.parametrize("without", ["", " without FlashInfer"])
@pytest.mark.parametrize("sm", GPUS)
def test_vllm_has_a_kernel_for_whatever_a_gpu_is_said_to_serve(
    sm: str, without: str, chosen: dict[str, dict[str, str]]
) -> None:
    row = chosen[f"{sm}{without}"]

    assert hardware.of_gpu(sm, flashinfer=not without) - {"kv-fp8"} <= served(row), row


@pytest.mark.skipif(not PINNED, reason="the table says what the pinned vLLM 0.32 does not serve; older ones serve more")
@pytest.mark.parametrize("without", ["", " without FlashInfer"])
@pytest.mark.parametrize("sm", GPUS)
def test_vllm_has_a_kernel_for_nothing_else(sm: str, without: str, chosen: dict[str, dict[str, str]]) -> None:
    row = chosen[f"{sm}{without}"]

    assert served(row) <= hardware.of_gpu(sm, flashinfer=not without), row


@pytest.mark.skipif(not PINNED, reason="the table says what the pinned vLLM 0.32 takes first")
@pytest.mark.parametrize("without", ["", " without FlashInfer"])
@pytest.mark.parametrize("sm", GPUS)
def test_vllm_takes_the_kernel_that_a_gpu_is_expected_to_use(
    sm: str, without: str, chosen: dict[str, dict[str, str]]
) -> None:
    needs = hardware.of_gpu(sm, flashinfer=not without) - {"kv-fp8"}
    expected = {need: hardware.expected_kernels([need], sm).get(need, frozenset()) for need in needs}
    row = chosen[f"{sm}{without}"]

    assert {need: row[need] for need in needs if row[need] not in expected[need]} == {}

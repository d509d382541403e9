"""A capability is what vLLM computes as named: each row of the table is asked of vLLM itself.

Rows of this machine are served: `pytest tests/backends -m "slow or not slow" -s` prints a table, on GPUs too.
SM rows of other GPUs are asked of vLLM's classes, which state their own conditions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from quant import hardware

if TYPE_CHECKING:
    from collections.abc import Callable

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


@pytest.fixture(scope="module")
def chosen(program: Callable[..., str]) -> dict[str, dict[str, str]]:
    """Return SM -> capability -> the kernel that vLLM's own lists give it, or why none."""
    return dict(json.loads(program("kernels.py").splitlines()[-1]))


@pytest.mark.parametrize("sm", ["sm80", "sm89", "sm90", "sm100"])
def test_gpu_row_follows_the_conditions_of_vllms_kernels(sm: str, chosen: dict[str, dict[str, str]]) -> None:
    served = {name for name, kernel in chosen[sm].items() if not kernel.startswith(("no ", "no:"))}

    assert served == hardware.CAPABILITIES[sm] - {"kv-fp8"}, chosen[sm]

"""Kernels: whether vLLM computes a format's linear layers with what its hardware class is expected to use.

Comes in: linear layers by kernel as an engine counted them, the kernels expected by capability. Goes out: what is
unexpected, in words. Pure. A fallback serves the same answers more slowly, or of another format, and says so nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

UNQUANTIZED = "UnquantizedLinearMethod"


def unexpected(kernels: Mapping[str, int], expected: Mapping[str, frozenset[str]], wide: int) -> str:
    """Say which layers run on another kernel, or on none that is quantized; "" if none does.

    `wide` is how many linear layers the checkpoint holds in full precision: vLLM fuses some, and never splits one.
    """
    known = {UNQUANTIZED}.union(*expected.values())
    found = [f"{count} layers run on {name}" for name, count in kernels.items() if name not in known]
    if (plain := kernels.get(UNQUANTIZED, 0)) > wide:
        found.append(f"{plain} layers run unquantized, and the checkpoint holds {wide} in full precision")
    found += [
        f"no layer runs on {' or '.join(sorted(names))}, expected for {need}"
        for need, names in expected.items()
        if not names & kernels.keys()
    ]
    return "; ".join(found)

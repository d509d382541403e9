"""From one-sided p-values to a three-way verdict, and the ranges that a test accepts.

In: two p-values. Out: "PASS", "FAIL" or "INCONCLUSIVE". Limits that agree with it: `quant.stats.inversion`.
Pure; imports nothing but the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quant.records import Status

RATIOS = (1e-3, 1e3)  # recoveries searched; a limit outside is reported as 0 or infinity


def decide(p_pass: float, p_fail: float, alpha: float, *, informative: bool = True) -> Status:
    """Say what is proven at `alpha`, one-sided for each side; an uninformative cell may FAIL but never PASS."""
    if p_fail <= alpha:
        return "FAIL"
    return "PASS" if informative and p_pass <= alpha else "INCONCLUSIVE"


def at_chance(p: float, alpha: float) -> str:
    """Say that the base is not proven above what guessing scores, of which `p` is the p-value; "" if it is."""
    return f"base at chance (P = {p:.3f})".replace("0.", ".") if p > alpha else ""


def check_threshold(threshold: float) -> None:
    """Raise ValueError unless the recovery to test lies inside the range searched for limits."""
    if not RATIOS[0] <= threshold <= RATIOS[1]:
        raise ValueError(f"threshold must be a recovery between .001 and 1000, such as 0.97; got {threshold!r}")


def check_alpha(alpha: float) -> None:
    """Raise ValueError unless `alpha` is a one-sided error rate below one half."""
    if not 0.0 < alpha < 0.5:  # noqa: PLR2004  at one half a coin decides
        raise ValueError(f"alpha must lie strictly between 0 and 0.5; got {alpha!r}")

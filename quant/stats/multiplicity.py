"""Many cells, one family: adjusted p-values.

In: the p-values of a family of m hypotheses, shape (m,), any order; a cell that was not run counts as p = 1.
Out: adjusted p-values, shape (m,), same order; hypothesis i is rejected at level a where adjusted[i] <= a. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust so that the chance of any false rejection stays below the level, whatever the dependence.

    With p_(1) <= ... <= p_(m): adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)).
    Source: Holm 1979, Scand. J. Statist. 6, 65-70. Raises ValueError on a value that is no probability.
    """
    p, order = _sorted(p_values)
    steps = np.arange(len(p), 0, -1) * p[order]
    return _restore(np.maximum.accumulate(steps), order)


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust so that the expected share of false ones among the rejected stays below the level (q-values).

    With p_(1) <= ... <= p_(m): adjusted_(i) = min over j >= i of m p_(j) / j; p independent or positively dependent.
    Source: Benjamini & Hochberg 1995, J. R. Statist. Soc. B 57, 289-300. Raises ValueError as `holm`.
    """
    p, order = _sorted(p_values)
    steps = len(p) / np.arange(1, len(p) + 1) * p[order]
    return _restore(np.minimum.accumulate(steps[::-1])[::-1], order)


def _sorted(p_values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the family and the positions that sort it."""
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must be a flat sequence of numbers in [0, 1]; got {p_values!r}")
    return p, np.argsort(p, kind="stable")


def _restore(steps: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return sorted values to the order the family came in, at most 1."""
    adjusted = np.empty_like(steps)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted

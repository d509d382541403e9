"""Items that share a passage: one unit a passage, so that what its items have in common is counted once.

In: two arrays of n scores and the cluster (passage) of each item. Out: `Units`, K of them, or None where no two items
share a cluster. Pure; numpy only. Source: Liang & Zeger 1986, Biometrika 73, 13-22; for benchmarks: Miller 2024,
Adding Error Bars to Evals, arXiv 2411.00640.

With sums Y0_k and Y1_k over the items of cluster k, the units are Y0_k K/n and Y1_k K/n. Their plain mean is the mean
over items, and their u = (Y1_k - R Y0_k) K/n is the cluster's sum of u up to a factor that t does not see, so whatever
tests items tests units. A unit of a cluster of mean size whose items are all right is 1, one whose items score `lowest`
(0 unless scores are normalised) is `lowest`; a larger cluster's exceeds them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quant.stats.moments import PairedMoments

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_CLUSTERS = 10
MIN_MOVED = 30
MOVE = 0.5 - 1e-9  # of the cluster's mean; a hair less, as floating point may fall short of one half


@dataclass(frozen=True, eq=False)
class Units:
    """K clusters of n items, shape (K,) each: sums scaled by K/n; `perfect` is the unit whose items are all right.

    `lowest` is what an item scores at least.
    """

    base: Floats
    quantized: Floats
    perfect: Floats
    items: int
    lowest: float = 0.0

    @property
    def moved(self) -> int:
        """How many clusters have a mean that moved by half of what it can move, or more."""
        return int(np.count_nonzero(np.abs(self.quantized - self.base) >= MOVE * (1 - self.lowest) * self.perfect))

    def moments(self) -> PairedMoments:
        """Reduce to sufficient statistics; K takes the place of n."""
        return PairedMoments.from_scores(self.base, self.quantized, 1 - self.lowest, self.items)

    def against_perfect(self) -> Units:
        """Return the pair (perfect score, base), whose recovery is the base's mean."""
        return replace(self, base=self.perfect, quantized=self.base)


def cluster_units(base: Floats, quantized: Floats, clusters: Sequence[Hashable], lowest: float = 0.0) -> Units | None:
    """Sum scores, shape (n,), over clusters, shape (n,), in order of first appearance.

    None where every item is a cluster of its own: such items are judged as if no clusters were given.
    Raises ValueError if clusters do not pair with items or one is None, which would join all items that lack one.
    """
    names: dict[Hashable, int] = {}
    of_item = np.array([names.setdefault(name, len(names)) for name in clusters], np.intp)
    if len(of_item) != len(base):
        raise ValueError(f"clusters must name the cluster of every item; got {len(of_item)} for {len(base)} items")
    if None in names:
        raise ValueError(
            f"clusters must name the cluster of every item; got None at index {list(clusters).index(None)}"
        )
    if len(names) == len(base):
        return None
    scale = len(names) / len(base)

    def summed(values: Floats) -> Floats:
        return (np.bincount(of_item, values) * scale).astype(np.float64, copy=False)

    return Units(summed(base), summed(quantized), summed(np.ones(len(base))), len(base), lowest)

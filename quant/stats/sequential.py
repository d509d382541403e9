"""Group-sequential stopping: look at a prefix of the items, stop where the test is already decided.

In: the shares of the planned items at which a test is looked at, and its one-sided alpha. Out: bounds for z, the levels
that p-values are compared with at each look, p-values adjusted for the looks, chances of a crossing. PASS and FAIL are
two tests that spend an alpha each; neither bound counts on the other (non-binding). Pure; numpy and scipy.

Alpha spent by share t (gamma = -2: little early, most at the end), and the bounds b_1..b_K that spend it::

    alpha(t) = alpha (1 - e^(-gamma t)) / (1 - e^-gamma)
    P(Z_1 < b_1, ..., Z_(k-1) < b_(k-1), Z_k >= b_k) = alpha(t_k) - alpha(t_(k-1)),   Z_k sqrt(t_k) a Brownian motion

The chance is integrated look by look over the density of the paths not yet stopped, on Gauss-Legendre panels.

Sources: Lan & DeMets 1983, Biometrika 70, 659-663 (spending); Hwang, Shih & DeCani 1990, Statist. Med. 9, 1439-1445
(this function); Armitage, McPherson & Rowe 1969, J. R. Statist. Soc. A 132, 235-244 (the recursion).
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from scipy import optimize, special

from quant.stats.decision import check_alpha

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SHARES = (0.25, 0.5, 0.75, 1.0)  # of the planned items: the default looks
GAMMA = -2.0
REACH = 9.0  # standard deviations; 1e-19 of the paths are further out
PANEL = np.polynomial.legendre.leggauss(8)  # on panels one standard deviation of a step wide: bounds agree to 1e-9
HAIR = 1e-6  # put around a bracket whose ends may be the root itself
TINY = 1e-200  # p-values below are adjusted by their limit, an upper bound that is 1e-9 too large here
SURE = 1 - 1e-9  # alphas above are taken for 1


def spent(share: float, alpha: float) -> float:
    """Return the alpha spent when this share of the planned items has been looked at; all of it at share 1."""
    return alpha * (math.expm1(-GAMMA * share) / math.expm1(-GAMMA))


@cache
def boundaries(shares: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """Return the bound of z at each look, shape (K,): the test is decided where z >= bound.

    Raises ValueError unless the shares rise strictly inside (0, 1] and end at 1, and 0 < alpha < .5.
    """
    _check_shares(shares)
    check_alpha(alpha)
    return _bounds(shares, alpha)


def nominal_levels(shares: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """Return 1 - Phi(bound), what a look's p-value is compared with; one look has exactly `alpha`."""
    bounds = boundaries(shares, alpha)
    return (spent(shares[0], alpha), *(float(special.ndtr(-bound)) for bound in bounds[1:]))


def sequential_p(p: float, look: int, shares: tuple[float, ...]) -> float:
    """Return the smallest overall alpha at which a p-value `p` at look `look` (from 0) would have decided the test.

    Rises in p, is at least p, equals p if there is one look, and is 1 where no alpha would do. Solved to 1e-9 relative;
    at most alpha <=> p at most `nominal_levels(shares, alpha)[look]`. Raises ValueError on a look or a p that is none.
    Source: Jennison & Turnbull 2000, Group Sequential Methods, ch. 9; Liu & Anderson 2008, Statist. Med. 27, 1313-1323.
    """
    _check_shares(shares)
    if not 0 <= look < len(shares):
        raise ValueError(f"look must be one of 0..{len(shares) - 1}; got {look!r}")
    if not 0 <= p <= 1:
        raise ValueError(f"p must be a probability; got {p!r}")
    by_now = spent(shares[look], 1.0)
    new = by_now - spent(shares[look - 1], 1.0) if look else by_now
    least, most = p / by_now, min(p / new, 1.0)  # a look's level lies between alpha's increment and alpha spent by then
    if look == 0 or p < TINY:
        return most
    if least >= SURE:
        return 1.0
    seen, bar = shares[: look + 1], float(-special.ndtri(p))

    def excess(log_alpha: float) -> float:
        return _bounds(seen, math.exp(log_alpha))[look] - bar

    low, high = math.log(least) - HAIR, min(math.log(most) + HAIR, math.log(SURE))
    return 1.0 if excess(high) > 0 else math.exp(float(optimize.brentq(excess, low, high, xtol=1e-9)))


def first_crossings(shares: tuple[float, ...], alpha: float, drift: float) -> tuple[float, ...]:
    """Return the chance that z first reaches its bound at each look, shape (K,), where E[z at share t] = drift sqrt(t).

    The sum is the power: `alpha` at drift 0.
    """
    paths, chances = _Paths.start(drift), []
    for share, bound in zip(shares, boundaries(shares, alpha), strict=True):
        chances.append(paths.beyond(share, bound))
        paths = paths.kept(share, -math.inf, bound)
    return tuple(chances)


def expected_share(shares: tuple[float, ...], alpha: float, drift: float) -> float:
    """Return the mean share of the planned items used, if z >= bound stops for PASS and z <= -bound for FAIL.

    E[z at share t] = drift sqrt(t); both tests are of one threshold at `alpha` each.
    """
    bounds, paths, mean = boundaries(shares, alpha), _Paths.start(drift), shares[0]
    for share, following, bound in zip(shares, shares[1:], bounds, strict=False):
        paths = paths.kept(share, -bound, bound)
        mean += (following - share) * float(paths.mass.sum())
    return mean


def _check_shares(shares: tuple[float, ...]) -> None:
    steps = zip((0.0, *shares), shares, strict=False)
    if not shares or shares[-1] != 1 or not all(before < share for before, share in steps):
        raise ValueError(f"shares must rise strictly from above 0 to exactly 1; got {shares!r}")


def _bounds(shares: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """Return the bounds for any alpha inside (0, 1) and for looks that need not end at 1."""
    before = spent(shares[0], alpha)
    paths, bounds = _Paths.start(0.0), [float(-special.ndtri(before))]
    for last, share in pairwise(shares):
        paths = paths.kept(last, -math.inf, bounds[-1])
        by_now = spent(share, alpha)
        bounds.append(_bound(paths, share, by_now - before, by_now))
        before = by_now
    return tuple(bounds)


def _bound(paths: _Paths, share: float, new: float, by_now: float) -> float:
    """Return the bound at `share` that paths not yet stopped reach with chance `new`, of `by_now` since the start."""
    log_new = math.log(new)

    def excess(bound: float) -> float:
        return math.log(paths.beyond(share, bound)) - log_new

    low, high = float(-special.ndtri(by_now)) - HAIR, float(-special.ndtri(new)) + HAIR
    return float(optimize.brentq(excess, low, high, xtol=1e-12))


class _Paths(NamedTuple):
    """The paths not stopped by share `time`: where they are (z sqrt(t)), and how probable, shape (points,) each."""

    time: float
    drift: float
    at: Floats
    mass: Floats

    @classmethod
    def start(cls, drift: float) -> Self:
        return cls(0.0, drift, np.zeros(1), np.ones(1))

    def beyond(self, share: float, bound: float) -> float:
        """Return the chance of z >= bound at `share`."""
        step = share - self.time
        distance = (self.at + self.drift * step - bound * math.sqrt(share)) / math.sqrt(step)
        return float(np.sum(self.mass * special.ndtr(distance)))

    def kept(self, share: float, low: float, high: float) -> _Paths:
        """Go on to `share` and drop the paths outside low < z < high, and those too improbable to matter.

        On the way to a high bound improbable paths do matter, so the reach upwards is longer by that bound.
        """
        step, root = share - self.time, math.sqrt(share)
        middle = self.drift * root
        floor = max(low, min(middle, high) - REACH)
        ceiling = max(floor, min(high, max(middle, low) + REACH + abs(high)))
        at, weight = _panels(floor * root, ceiling * root, math.sqrt(step))
        distance = (at[:, None] - self.at - self.drift * step) / math.sqrt(step)
        density = np.exp(-distance * distance / 2) @ self.mass / math.sqrt(2 * math.pi * step)
        return _Paths(share, self.drift, at, weight * density)


def _panels(low: float, high: float, width: float) -> tuple[Floats, Floats]:
    """Return points and weights that integrate from low to high in panels of at most `width`."""
    edges = np.linspace(low, high, max(1, math.ceil((high - low) / width)) + 1)
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    points, weights = PANEL
    return (middle + half * points).ravel(), (half * weights).ravel()

"""Run-to-run noise (A/A): how much the base differs from itself, and what that adds to the test of one cell.

In: scores of the same n items in J runs of the base. Out: `RunNoise`, and p-values widened by it.
Pure; numpy and scipy.special.

Formulas, for run means whose variance over runs is `observed` and items whose mean variance over runs is `within`::

    expected = within/n if items flip independently;   phi = observed/expected, (J-1)phi ~ chi2(J-1)
    tau2 = max(0, observed - within/n), 0 if J < 5: what runs differ by beyond what their items explain
    z' = z_E / sqrt(1 + (1+R^2) tau2/v);   p' from t with (v + (1+R^2) tau2)^2 (J-1) / ((1+R^2) observed)^2 degrees

where z_E is the normal deviate of a p-value of the paired test at R and v the variance of the mean of y1 - R*y0. Two
runs enter that mean, one of them times R. Independent flips already are in v, so only the excess tau2 is added, without
a test of whether it is there: adding the whole A/A variance would count the flips twice (power .64 for .85).

At an R outside [1/2, 2] the widening is that at the nearer end. Further out v/(1+R^2) falls to 0 faster than the
deviate of an exact p-value grows, so p' would turn back and a limit be lost.

Simulated error at the threshold for alpha .05, tau2 from 5 or 10 runs: .03-.062, where ignoring a run sd of .005 or
.010 gives .09-.26 or .17-.36.
Sources: Satterthwaite 1946, Biometrics Bull. 2, 110-114 (degrees of freedom); McNemar 1947, Psychometrika 12, 153-157.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from quant.stats.counts import Counts
from quant.stats.metric import CellTest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

MIN_RUNS = 2  # a variance needs two,
MEASURED = 5  # and tau2 more than four
WIDENED = (0.5, 2.0)  # recoveries
LEAST = 1e-300  # a p-value below has no deviate; taking this instead makes z' smaller
ROUNDING = 1e-12  # of shares of items


@dataclass(frozen=True)
class RunNoise:
    """What J runs on the same n items show; variances of scores, with J-1 denominators.

    `span` is how far an item's score can move: 1, or 1/(1 - c) where scores are normalised.
    """

    runs: int
    n: int
    within: float
    observed: float
    span: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError if no runs could have shown this."""
        if self.runs < MIN_RUNS or self.n < 1:
            raise ValueError(f"run noise needs 2 or more runs of 1 or more items; got {self.runs} and {self.n}")
        for name in ("within", "observed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a variance, finite and >= 0; got {getattr(self, name)!r}")

    @property
    def measured(self) -> bool:
        """Whether the runs are enough to tell tau2; if not, it is 0 and the report says so."""
        return self.runs >= MEASURED

    @property
    def flip_rate(self) -> float:
        """Return f = 2 within: for 0/1 items the share that differs between two runs."""
        return 2 * self.within

    @property
    def expected(self) -> float:
        """Variance of the run means if items flip independently."""
        return self.within / self.n

    @property
    def tau2(self) -> float:
        """Variance of the run means beyond that."""
        return max(0.0, self.observed - self.expected) if self.measured else 0.0

    @property
    def phi(self) -> float:
        """Return observed/expected; 0 where no item ever differed."""
        if self.expected == 0:
            return math.inf if self.observed > 0 else 0.0
        return self.observed / self.expected

    @property
    def p(self) -> float:
        """P(chi2(J-1) >= (J-1)phi): small proves that runs differ by more than their items' independent flips."""
        return float(special.chdtrc(self.runs - 1, (self.runs - 1) * self.phi))


def run_noise(scores: ArrayLike, lowest: float = 0.0) -> RunNoise:
    """Compare J >= 2 runs on the same n items, scores in [lowest, 1], shape (J, n); ValueError on anything else."""
    runs = np.asarray(scores, dtype=np.float64)
    if runs.ndim != 2 or runs.shape[0] < MIN_RUNS or runs.shape[1] < 1:  # noqa: PLR2004 - runs by items
        raise ValueError(f"scores must have shape (runs, items), 2 runs or more of the same items; got {runs.shape}")
    valid = (runs >= lowest) & (runs <= 1)
    if not valid.all():
        run, item = (int(at) for at in np.argwhere(~valid)[0])
        raise ValueError(f"scores must lie in [{lowest:.4g}, 1]; got {runs[run, item]!s} in run {run} at index {item}")
    moved = runs - runs[0]  # the same variances, and exact zeros where runs are equal
    within, observed = float(moved.var(axis=0, ddof=1).mean()), float(moved.mean(axis=1).var(ddof=1))
    return RunNoise(runs.shape[0], runs.shape[1], within, observed, 1 - lowest)


def mcnemar_z(first: ArrayLike, second: ArrayLike) -> float:
    """Return (b-c)/sqrt(b+c) of two runs of 0/1 items, shape (n,); b = right -> wrong; 0 if no item flipped."""
    flips = Counts.from_scores(first, second)
    return (flips.worse - flips.better) / math.sqrt(max(flips.worse + flips.better, 1))


def widened(test: CellTest, variance: Callable[[float], float], noise: RunNoise | None) -> CellTest:
    """Return the test with p' for p; the same test, bit for bit, where there is no noise or tau2 = 0.

    `variance` gives v at a recovery R: of the mean of y1 - R*y0 over items.
    """
    if noise is None or noise.tau2 == 0:
        return test

    def wide(p: Callable[[float], float]) -> Callable[[float], float]:
        return lambda ratio: _widened_p(p(ratio), min(max(ratio, WIDENED[0]), WIDENED[1]), variance, noise)

    return CellTest(wide(test.p_pass), wide(test.p_fail))


def counted_variance(counts: Counts, ratio: float) -> float:
    """Return v of 0/1 items: R max(b+c, 1)/n^2, so never 0."""
    return ratio * max(counts.worse + counts.better, 1) / counts.n**2


def unprovable(base_mean: float, threshold: float, n: int, noise: RunNoise) -> bool:
    """Say whether a checkpoint as different as a re-run would PASS with probability below one half.

    (1-R) p0 < 1.645 sqrt(max(f, 1/n)/n + 2 tau2), for alpha = .05, 1/n times the square of the span. A label of the
    cell, never its verdict.
    """
    if n < 1:
        return True
    reach = float(special.ndtri(0.95)) * math.sqrt(max(noise.flip_rate, noise.span**2 / n) / n + 2 * noise.tau2)
    return (1 - threshold) * base_mean < reach


def no_different(worse: int, better: int, n: int, noise: RunNoise) -> bool:
    """Say whether (b+c)/n <= f: no more items differ than in a re-run. A good sign, never a reason to drop a cell."""
    return n > 0 and (worse + better) / n <= noise.flip_rate + ROUNDING


def _widened_p(p: float, ratio: float, variance: Callable[[float], float], noise: RunNoise) -> float:
    if p >= 1:
        return p
    own, twice = variance(ratio), 1 + ratio * ratio
    total = own + twice * noise.tau2
    z = -float(special.ndtri(max(p, LEAST))) * math.sqrt(own / total)
    freedom = (total / (twice * noise.observed)) ** 2 * (noise.runs - 1)
    return float(special.stdtr(freedom, -z))

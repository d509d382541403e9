"""Planner: how many items prove a recovery, what a given number can prove, and what a pool lacks.

In: `Effect` (what is believed of base and quantized model), a threshold R. Out: items, powers, detectable losses.
Normal approximation of the tests of `quant.stats.counts` (one cell) and `quant.stats.pooling` (a suite). Pure.

Formulas, with gap and s1 of `quant.stats.effect`, mean and variance of u of one item::

    s0 = R(x+y) of `quant.stats.counts`, with probabilities for m, b and c        its restricted estimate at R
    s0 = s1 of normalised scores, whose test estimates it without that restriction; if n d < 30 it adds a worst item,
         which takes |u|/n of gap and adds u^2/n to s0
    e = (1+R^2) tau2                                        run noise of the mean, which no item averages out

    power = Phi((|gap| - z_alpha sqrt(s0/n + e)) / sqrt(s1/n + e));   0 for a PASS with n(p0+p01) < ln(alpha)/ln(R)
    n at e = 0:  ((z_alpha sqrt(s0) + z_power sqrt(s1))/gap)^2
    pool:  1 - Phi(z_alpha - gap/sqrt(V)),  gap = sum w gap_t,  V = sum w^2 (s1_t/n_t + e_t)

The minimum for a PASS, at the R of raw scores, is what items without a flip need if the base gets exactly n*p0 right;
as it may get fewer, the power at d = 0 is about one half there. Above it, simulated power is within .03 of the plan
where n*d >= 20 (PASS) or 50 (FAIL), of normalised scores within .05 where n*d >= 4 (PASS, simulated .755-.811 for
.80); with fewer flips a FAIL has up to .24 less.
Sources: Nam & Blackwelder 2002, Statist. Med. 21, 689-699 (z); Hanley & Lippman-Hand 1983, JAMA 249, 1743-1745 (the
minimum); Blackwelder 1982, Contr. Clin. Trials 3, 345-353.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import partial
from typing import TYPE_CHECKING, Literal

from scipy import special

from quant.stats.decision import check_alpha, check_threshold
from quant.stats.effect import Effect, discordances
from quant.stats.metric import MIN_CHANGED

if TYPE_CHECKING:
    from collections.abc import Sequence

    Values = Sequence[float]

Proof = Literal["PASS", "FAIL"]

MOST = 10**12  # items; a plan that needs more is no plan
HALVINGS = 50  # of an interval of recoveries at most 1000 wide
TINY = 1e-12  # of a variance: identical models still have one


def items_needed(  # noqa: PLR0913 - keyword-only: what a plan may change
    effect: Effect,
    threshold: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    tau2: float = 0.0,
    proof: Proof = "PASS",
) -> int | None:
    """Return the fewest items that give the verdict `proof` with probability `power`; None where no number does.

    None for a PASS where rho <= R, for a FAIL where rho >= R, and where the run noise `tau2` alone hides the gap.
    Raises ValueError unless .5 <= power < 1.
    """
    _check(threshold, alpha, power, tau2)
    reached = partial(power_at, effect, threshold, alpha=alpha, tau2=tau2, proof=proof)
    n = 1 + bisect_left(range(1, MOST), power, key=reached)
    return n if n < MOST else None


def power_at(  # noqa: PLR0913 - keyword-only: what a plan may change
    effect: Effect, threshold: float, n: int, *, alpha: float = 0.05, tau2: float = 0.0, proof: Proof = "PASS"
) -> float:
    """Return the probability that n items give the verdict `proof`; 0 below its minimum and if rho contradicts it."""
    _check(threshold, alpha, 0.5, tau2)
    distance = _distance(effect, threshold, proof)
    if distance <= 0 or n < 1 or (proof == "PASS" and n < _without_flips(effect, threshold, alpha)):
        return 0.0
    runs, worst = (1 + threshold**2) * tau2, _worst(effect, threshold, n, proof)
    tested = math.sqrt((effect.restricted_variance(threshold) + worst * worst / n) / n + runs)
    short = distance - worst / n - _deviate(alpha) * tested
    spread = math.sqrt(effect.variance(threshold) / n + runs)
    return float(special.ndtr(short / spread)) if spread > 0 else float(short >= 0)


def detectable_loss(  # noqa: PLR0913 - keyword-only: what a plan may change
    base: float,
    discordance: float,
    threshold: float,
    n: int,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    tau2: float = 0,
    chance: float = 0.0,
) -> float | None:
    """Return 1 - rho for the largest rho < R that n items prove to be below R with probability `power`; None if none.

    To be read: a true recovery of rho or below would be proven below R with 80 %. `discordance` is that of a model
    without the loss; where the loss does not fit into it, it is as large as the loss itself.
    """
    _check(threshold, alpha, power, tau2)
    if not (0 <= chance < base <= 1 and 0 <= discordance <= 1):
        raise ValueError(f"base accuracy lies in (chance, 1], discordance in [0, 1]; got {base!r}, {discordance!r}")
    low, high = 0.0, min(threshold, (1 - chance) / (base - chance))

    def detected(recovery: float) -> bool:
        least, most = discordances(base, recovery, chance)
        effect = Effect(base, min(max(discordance, least), most), recovery, chance)
        return power_at(effect, threshold, n, alpha=alpha, tau2=tau2, proof="FAIL") >= power

    if not detected(low):
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if detected(middle) else (low, middle)
    return 1 - low


def pool_power(  # noqa: PLR0913 - keyword-only: what a plan may change
    effects: Sequence[Effect],
    sizes: Sequence[int],
    weights: Sequence[float],
    threshold: float,
    *,
    alpha: float = 0.05,
    tau2s: Sequence[float] | None = None,
) -> float:
    """Return the probability that a suite of T tasks is proven at or above the threshold; weights are relative."""
    _check(threshold, alpha, 0.5, 0.0)
    gap, items, runs = _pooled(effects, sizes, weights, threshold, tau2s)
    power = float(special.ndtr(gap / math.sqrt(max(items + runs, TINY)) - _deviate(alpha)))
    return power if gap > 0 else 0.0


def pool_factor(  # noqa: PLR0913 - keyword-only: what a plan may change
    effects: Sequence[Effect],
    sizes: Sequence[int],
    weights: Sequence[float],
    threshold: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    tau2s: Sequence[float] | None = None,
) -> float | None:
    """Return the factor by which all sizes must grow for `pool_power` to reach `power`: 1 if it does already.

    None where no factor does: the average recovery is not above the threshold, or run noise alone hides the gap.
    """
    _check(threshold, alpha, power, 0.0)
    gap, items, runs = _pooled(effects, sizes, weights, threshold, tau2s)
    allowed = (gap / (_deviate(alpha) + _deviate(1 - power))) ** 2 - runs
    return max(1.0, items / allowed) if gap > 0 and allowed > 0 else None


def worth(effect: Effect, threshold: float) -> float:
    """Return gap^2/s1: what one more item of such a task adds to the squared z; 0 where it cannot help.

    Divided by seconds per item it ranks the tasks to add: high base accuracy and low discordance first.
    """
    return max(0.0, effect.gap(threshold)) ** 2 / max(effect.variance(threshold), TINY)


def _pooled(
    effects: Sequence[Effect], sizes: Sequence[int], weights: Values, threshold: float, tau2s: Values | None
) -> tuple[float, float, float]:
    """Return the pool's gap, and what its items and its runs contribute to V."""
    noise, total = tau2s or [0.0] * len(effects), math.fsum(weights)
    if any(n < 1 for n in sizes) or any(w < 0 for w in weights) or (len(weights) and total <= 0):
        raise ValueError(f"a pool needs items in every task and weights >= 0, not all 0; got {sizes}, {weights}")
    tasks = list(zip((w / total for w in weights), effects, sizes, noise, strict=True))
    gap = math.fsum(w * effect.gap(threshold) for w, effect, _, _ in tasks)
    items = math.fsum(w * w * effect.variance(threshold) / n for w, effect, n, _ in tasks)
    return gap, items, math.fsum(w * w * (1 + threshold**2) * tau2 for w, _, _, tau2 in tasks)


def _distance(effect: Effect, threshold: float, proof: Proof) -> float:
    """Return how far the truth lies on the side that is to be proven; 0 or less where it lies on the other."""
    return effect.gap(threshold) if proof == "PASS" else -effect.gap(threshold)


def _worst(effect: Effect, threshold: float, n: int, proof: Proof) -> float:
    """Return |u| of the worst item that a test of normalised scores adds where few flip (`quant.stats.metric`)."""
    if effect.chance == 0 or n * effect.discordance >= MIN_CHANGED:
        return 0.0
    lowest = -effect.chance / (1 - effect.chance)
    return threshold - lowest if proof == "PASS" else 1 - threshold * lowest


def _without_flips(effect: Effect, threshold: float, alpha: float) -> float:
    """Return the fewest items that prove a PASS at all; no bound at R >= 1, which nothing without flips exceeds."""
    return math.log(alpha) / math.log(effect.raw(threshold)) / (effect.base + effect.p01) if threshold < 1 else 0.0


def _deviate(tail: float) -> float:
    """Return z with this probability beyond it."""
    return float(-special.ndtri(tail))


def _check(threshold: float, alpha: float, power: float, tau2: float) -> None:
    check_threshold(threshold)
    check_alpha(alpha)
    if not 0.5 <= power < 1:  # noqa: PLR2004 - below, no items at all would do
        raise ValueError(f"power must lie in [0.5, 1), such as 0.8; got {power!r}")
    if not 0 <= tau2 < math.inf:
        raise ValueError(f"tau2 must be a variance, finite and >= 0; got {tau2!r}")

"""What a plan believes of a base and of a quantized model: accuracies, and the share of items that they differ on.

In: four rates. Out: `Effect`, the mean and the variance of u = y1 - R*y0 of one item. Pure.

Formulas, with p0 the base's accuracy, d the share of items that flip, rho the true recovery and c the rate at which
guessing is right (0: scores are raw); per item, with y = (raw - c)/(1 - c)::

    loss = (1-rho)(p0-c)                                    of accuracy, since rho = (p1-c)/(p0-c)
    p10 = (d + loss)/2 right -> wrong;   p01 = (d - loss)/2 wrong -> right;   p11 = p0 - p10
    gap = (rho-R)(p0-c)/(1-c)                               mean of u
    s1 = (p11(1-R)^2 + p10 R^2 + p01 - e^2)/(1-c)^2         variance of u if recovery = rho; e = (1-c) gap + (1-R)c

A recovery R of normalised scores is one of R + (1-R)c/p0 of raw scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ROUNDING = 1e-12  # of a probability: .8 x (1 - .99) exceeds .008 by less


@dataclass(frozen=True)
class Effect:
    """What a plan believes: base accuracy p0, discordance d (share of items that flip) and true recovery rho.

    Accuracy and discordance are those of raw scores; with a `chance`, recovery is that of normalised scores.
    """

    base: float
    discordance: float
    recovery: float
    chance: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError if no two models could be so."""
        if not (0 < self.base <= 1 and self.recovery >= 0):
            raise ValueError(f"base accuracy lies in (0, 1], recovery from 0; got {self.base!r}, {self.recovery!r}")
        if not 0 <= self.chance < self.base:
            raise ValueError(f"chance lies in [0, base accuracy {self.base!r}); got {self.chance!r}")
        least, most = discordances(self.base, self.recovery, self.chance)
        if least > most + ROUNDING:
            raise ValueError(f"recovery {self.recovery!r} of base accuracy {self.base!r} is an accuracy above 1")
        if not least - ROUNDING <= self.discordance <= most + ROUNDING:
            span = f"needs a discordance from {least:.6g} to {most:.6g}; got {self.discordance!r}"
            raise ValueError(f"recovery {self.recovery!r} of base accuracy {self.base!r} {span}")

    @property
    def loss(self) -> float:
        """Accuracy of the base less that of the quantized model."""
        return (1 - self.recovery) * (self.base - self.chance)

    @property
    def p10(self) -> float:
        """Probability that an item goes from right to wrong."""
        return min(max((self.discordance + self.loss) / 2, 0.0), self.base)

    @property
    def p01(self) -> float:
        """Probability that an item goes from wrong to right."""
        return min(max((self.discordance - self.loss) / 2, 0.0), 1 - self.base)

    @property
    def p11(self) -> float:
        """Probability that both models get an item right."""
        return self.base - self.p10

    def gap(self, threshold: float) -> float:
        """Return the mean of u: above 0 where the recovery exceeds the threshold."""
        return (self.recovery - threshold) * (self.base - self.chance) / (1 - self.chance)

    def raw(self, threshold: float) -> float:
        """Return the recovery of raw scores that is `threshold` of normalised ones."""
        return threshold + (1 - threshold) * self.chance / self.base

    def variance(self, threshold: float) -> float:
        """Return s1, the variance of u of one item."""
        lost, won = self.p10 * threshold**2, self.p01
        mean = self.gap(threshold) * (1 - self.chance) + (1 - threshold) * self.chance
        return max(0.0, self.p11 * (1 - threshold) ** 2 + lost + won - mean**2) / (1 - self.chance) ** 2

    def restricted_variance(self, threshold: float) -> float:
        """Return s0, what the test takes for that variance: the estimate if recovery = `threshold`, other than rho.

        The test of normalised scores estimates it without that restriction.
        """
        if self.chance > 0:
            return self.variance(threshold)
        free, gain = (self.base + self.p01) * (1 - threshold**2), self.p01 * threshold**2
        root = math.sqrt((free - self.p10) ** 2 + gain * (2 * (free + self.p10) + gain))
        return (free + self.p10 + gain + root) / 2 - (self.base + self.p01) * (1 - threshold)


def discordances(base: float, recovery: float, chance: float = 0.0) -> tuple[float, float]:
    """Return the least and the largest share of items that may flip, given both accuracies."""
    lost = (1 - recovery) * (base - chance)
    return abs(lost), min(2 * base - lost, 2 * (1 - base) + lost)

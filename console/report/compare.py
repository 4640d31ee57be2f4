"""How a score changed from one period to the next, and whether by more than chance. Pure functions of sums."""

from collections.abc import Mapping
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

from streams.model.intervals import Estimate, Z

#: The chance that anything at all is told of a period in which nothing changed.
ALARM = 0.05


class Sums(NamedTuple):
    """Sums over the contacts of a period. Of customer i: k contacts with x, and s, the sum of their x."""

    #: Sum of k, sum of s.
    n: int
    sum_x: float
    customers: int
    #: Sums over customers: s^2, s k, k^2.
    ss: float
    sk: float
    kk: int


class Mean(NamedTuple):
    """A score, 0 to 100, with its standard error and 95 % interval."""

    score: Estimate
    error: float
    n: int
    customers: int


class Compared(NamedTuple):
    """A score in two periods of the same length; `difference` in points, now minus before.

    A side is None where too few customers were there; then there is no difference either.
    """

    name: str
    before: Mean | None
    now: Mean | None
    difference: Estimate | None
    #: The difference is more than chance.
    told: bool


def mean(sums: Sums | None, fewest: int) -> Mean | None:
    """The mean of x in per cent; None below `fewest` customers (at least 2).

    The contacts of one customer resemble each other, so customers count as draws, not contacts. With m = sum s / sum k,
    var(m) = c / (c - 1) sum (s - m k)^2 / (sum k)^2 over c customers: the linearised variance of a ratio (Cochran,
    Sampling Techniques, 1977, section 6.4), the cluster-robust one of a mean. Interval: m +- 1.96 sqrt(var), clipped.
    """
    if sums is None or sums.customers < max(fewest, 2):
        return None
    value = sums.sum_x / sums.n
    # Rounding can take a difference of nearly equal numbers below zero.
    squares = max(0.0, sums.ss - 2 * value * sums.sk + value * value * sums.kk)
    error = 100 * sqrt(squares * sums.customers / (sums.customers - 1)) / sums.n
    score = 100 * value
    low, high = max(0.0, score - Z * error), min(100.0, score + Z * error)
    return Mean(Estimate(score, min(low, score), max(high, score)), error, sums.n, sums.customers)


def compare(before: Mapping[str, Sums], now: Mapping[str, Sums], fewest: int) -> list[Compared]:
    """Each name of either period. What is told is more than chance.

    With d = now - before and e = sqrt(error before^2 + error now^2), d is told where |d| > z e, z being the normal
    quantile of 1 - 0.05 / (2 K) for K comparisons (Bonferroni): in 95 of 100 periods in which nothing changed, nothing
    is told. A customer of both periods makes e too large rather than too small. The interval is d +- 1.96 e.
    """
    pairs = {name: (mean(before.get(name), fewest), mean(now.get(name), fewest)) for name in sorted({*before, *now})}
    z = limit(sum(old is not None and new is not None for old, new in pairs.values()))
    return [_compared(name, old, new, z) for name, (old, new) in pairs.items()]


def limit(comparisons: int) -> float:
    """How many standard errors a difference must have to be told, among so many comparisons."""
    return NormalDist().inv_cdf(1 - ALARM / (2 * max(comparisons, 1)))


def _compared(name: str, before: Mean | None, now: Mean | None, z: float) -> Compared:
    if before is None or now is None:
        return Compared(name, before, now, None, told=False)
    change = now.score.value - before.score.value
    error = sqrt(before.error**2 + now.error**2)
    difference = Estimate(change, change - Z * error, change + Z * error)
    # Equal scores can differ by rounding where neither has any spread.
    return Compared(name, before, now, difference, told=abs(change) > max(z * error, 1e-9))

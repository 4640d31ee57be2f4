"""95 % intervals of shares, means and survey metrics: pure functions of counts and sums.

Each returns an `Estimate`, or None for n = 0: empty is unknown, never 0. `low <= value <= high` always holds, all three
within the scale.
"""

from math import sqrt
from typing import NamedTuple

#: The 97.5 % quantile of the standard normal distribution.
Z = 1.959963984540054
_ZZ = Z * Z


class Estimate(NamedTuple):
    """A value and its 95 % interval, in the unit of the value."""

    value: float
    low: float
    high: float


def share(n: int, count: int) -> Estimate | None:
    """`count / n` in [0, 1] with the Wilson score interval.

    Source: Brown, Cai, DasGupta, Interval Estimation for a Binomial Proportion, Statistical Science 16 (2001), eq. 4:
    (count + z^2/2) / (n + z^2) +- z sqrt(n) / (n + z^2) * sqrt(p (1 - p) + z^2 / (4 n)).
    """
    if n <= 0:
        return None
    p = count / n
    center = (count + _ZZ / 2) / (n + _ZZ)
    half = Z / (n + _ZZ) * sqrt(n * p * (1 - p) + _ZZ / 4)
    # At the ends the interval touches the scale exactly; rounding must not move it.
    return Estimate(p, center - half if count > 0 else 0.0, center + half if count < n else 1.0)


def mean(n: int, total: float, total_squares: float, lowest: float, highest: float) -> Estimate | None:
    """Mean of n values on the scale [lowest, highest] from their sum and sum of squares, with the normal interval.

    mean +- z sqrt(s^2 / n) with the sample variance s^2 = (sum of squares - n mean^2) / (n - 1), clipped to the scale
    (central limit theorem; Wasserman, All of Statistics, 2004, sections 5.4 and 6.3.2). A single value says nothing
    about the spread: its interval is the whole scale.
    """
    if n <= 0:
        return None
    value = total / n
    if n == 1:
        return Estimate(value, lowest, highest)
    # Rounding can take the difference of two nearly equal numbers below zero.
    squared_deviations = total_squares - total * value
    half = Z * sqrt(squared_deviations / (n - 1) / n) if squared_deviations > 0 else 0.0
    return Estimate(value, max(lowest, value - half), min(highest, value + half))


def experience(n: int, sum_x: float, sum_xx: float) -> Estimate | None:
    """Score in [0, 100]: 100 mean(x) of n experiences x in [0, 1], interval of `mean`."""
    return _percent(mean(n, sum_x, sum_xx, 0.0, 1.0))


def nps(n: int, promoters: int, detractors: int) -> Estimate | None:
    """Net Promoter Score in [-100, 100]: 100 (promoters - detractors) / n, clipped normal interval.

    The variance of one answer (+1, 0, -1) is p + d - (p - d)^2 with p and d the shares of promoters and detractors
    (variance of a multinomial contrast; Agresti, Categorical Data Analysis, 2013, section 1.2.2). Score: Reichheld, The
    One Number You Need to Grow, Harvard Business Review, December 2003.
    """
    if n <= 0:
        return None
    p, d = promoters / n, detractors / n
    value = 100 * (promoters - detractors) / n
    half = 100 * Z * sqrt(max(0.0, p + d - (p - d) ** 2) / n)
    return Estimate(value, max(-100.0, value - half), min(100.0, value + half))


def csat(n: int, top: int) -> Estimate | None:
    """Customer satisfaction in [0, 100]: percentage of answers in the top two of 1-5, Wilson interval of `share`."""
    return _percent(share(n, top))


def ces(n: int, total: float, total_squares: float) -> Estimate | None:
    """Customer Effort Score 2.0 in [1, 7], high is easy: mean of the answers, interval of `mean`."""
    return mean(n, total, total_squares, 1.0, 7.0)


def _percent(estimate: Estimate | None) -> Estimate | None:
    return None if estimate is None else Estimate(100 * estimate.value, 100 * estimate.low, 100 * estimate.high)

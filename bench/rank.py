"""How well a number separates two groups: the area under the ROC curve with DeLong's interval."""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
_Z_95 = 1.959963984540054


class Auc(NamedTuple):
    """The chance that a random member of the upper group scores higher than one of the lower, and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def auc(
    lower: Numbers, upper: Numbers, lower_weight: Numbers | None = None, upper_weight: Numbers | None = None
) -> Auc:
    """AUC by ranks, ties counting half, each member with its weight (default: 1). Raises ValueError for an empty group.

    Interval: DeLong, DeLong and Clarke-Pearson 1988, "Comparing the areas under two or more correlated ROC curves",
    from the variance of each member's own share of pairs won; computed by sorting as in Sun and Xu 2014.
    """
    if not len(lower) or not len(upper):
        raise ValueError("both groups need a member")
    weight_low = np.ones(len(lower)) if lower_weight is None else lower_weight
    weight_up = np.ones(len(upper)) if upper_weight is None else upper_weight
    won_by_upper = _share_below(upper, lower, weight_low)
    won_over_lower = 1.0 - _share_below(lower, upper, weight_up)
    value = float(np.average(won_by_upper, weights=weight_up))
    variance = _variance(won_by_upper, weight_up, value) + _variance(won_over_lower, weight_low, value)
    half = _Z_95 * sqrt(variance)
    return Auc(value, max(value - half, 0.0), min(value + half, 1.0))


def _share_below(values: Numbers, others: Numbers, weights: Numbers) -> Numbers:
    """For each value the weight share of `others` below it, ties counting half."""
    order = np.argsort(others)
    cumulated = np.concatenate(([0.0], np.cumsum(weights[order])))
    ordered = others[order]
    below = cumulated[np.searchsorted(ordered, values, "left")]
    up_to = cumulated[np.searchsorted(ordered, values, "right")]
    share: Numbers = (below + up_to) / (2.0 * cumulated[-1])
    return share


def _variance(shares: Numbers, weights: Numbers, mean: float) -> float:
    """Variance of the weighted mean of `shares`."""
    if len(shares) < 2:
        return 0.0
    correction = len(shares) / (len(shares) - 1)
    return float(correction * np.sum((weights * (shares - mean)) ** 2) / np.sum(weights) ** 2)

"""How fast customers get used to a change: s(t) = b + a e^(-t / tau). Pure; tau in seconds.

Least squares over a grid of tau. For one tau the model is linear in a and b, so the best a, b and the weighted sum of
squares Q(tau) are exact; the best tau is found on the grid, then between its neighbours. Weights: contacts of a bin
over the variance of x within bins.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from streams.model.intervals import Estimate

#: Less than this cannot show a curve: contacts, bins with contacts.
FEWEST_CONTACTS, FEWEST_BINS = 100, 8
#: So many bins cover the time after a change.
BINS = 200
#: 99 % quantile of chi square with two degrees of freedom (-2 ln 0.01), 95 % quantile with one.
_CURVED, _WITHIN = 9.2103, 3.8415
_GRID, _FINE = 600, 201
#: Variance of a score without any spread, so that exact data can be fitted. Points squared.
_LEAST_VARIANCE = 1e-9

#: fitted; few: too few contacts; flat: no more than chance; unbounded: the data hold tau from one side only.
Verdict = Literal["fitted", "few", "flat", "unbounded"]


class Bin(NamedTuple):
    """Contacts at about the same time after a change: mean of that time (seconds), and sums of x (0 to 1)."""

    t: float
    n: int
    sum_x: float
    sum_xx: float


class Habituation(NamedTuple):
    """The fitted curve in points of the score; tau with its 95 % interval. They are None unless it is fitted."""

    verdict: Verdict
    n: int
    tau: Estimate | None = None
    #: Where it starts beyond its end (a), and where it ends (b).
    a: float | None = None
    b: float | None = None


def fit(bins: Sequence[Bin], shortest: float, longest: float) -> Habituation:
    """The curve through the bins, for tau between `shortest` and `longest`.

    With phi = max(1, Q / (bins - 3)), which widens everything where bins scatter more than their contacts explain
    (McCullagh and Nelder, Generalized Linear Models, 1989, section 4.5):
    - told only where Q of a constant - Q of the curve > 9.21 phi (chi square, 99 %, two degrees of freedom);
    - interval of tau: where Q(tau) - Q of the curve <= 3.84 phi (profile likelihood, Venzon and Moolgavkar 1988).
    An interval that reaches `shortest` or `longest` is no interval: `unbounded`.
    """
    n = sum(one.n for one in bins)
    if n < FEWEST_CONTACTS or len(bins) < FEWEST_BINS:
        return Habituation("few", n)
    t, k, total, squares = (np.array(column, float) for column in zip(*bins, strict=True))
    score = 100 * total / k
    within = 1e4 * max(0.0, float((squares - total * total / k).sum())) / max(n - len(bins), 1)
    weight = k / max(within, _LEAST_VARIANCE)
    grid = np.geomspace(shortest, longest, _GRID)
    q = _squares(grid, t, score, weight)[0]
    best = int(q.argmin())
    fine = np.geomspace(grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)], _FINE)
    q_fine, a, b = _squares(fine, t, score, weight)
    at = int(q_fine.argmin())
    least = min(float(q_fine[at]), float(q[best]))
    phi = max(1.0, least / max(len(bins) - 3, 1))
    constant = float((weight * (score - np.average(score, weights=weight)) ** 2).sum())
    if constant - least <= _CURVED * phi:
        return Habituation("flat", n)
    held = np.flatnonzero(q - least <= _WITHIN * phi)
    first, last = (int(held[0]), int(held[-1])) if held.size else (best, best)
    if first == 0 or last == _GRID - 1:
        return Habituation("unbounded", n)
    tau = float(fine[at])
    # The last step of the grid on each side, so that the interval is never too narrow.
    interval = Estimate(tau, float(grid[first - 1]), float(grid[last + 1]))
    return Habituation("fitted", n, interval, float(a[at]), float(b[at]))


def _squares(tau: Any, t: Any, score: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Q, a and b for each tau: weighted linear regression of the score on e^(-t / tau)."""
    e = np.exp(-t[None, :] / tau[:, None])
    whole = weight.sum()
    mean_e, mean_s = (e @ weight) / whole, (score @ weight) / whole
    apart, s = e - mean_e[:, None], score - mean_s
    spread = (apart * apart) @ weight
    a = (apart * s) @ weight / np.maximum(spread, 1e-300)
    rest = s[None, :] - a[:, None] * apart
    return (rest * rest) @ weight, a, mean_s - a * mean_e

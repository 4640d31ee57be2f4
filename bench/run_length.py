"""Exact mean run lengths of CUSUM lines for shares: what the thresholds' formula is held against."""

from math import log, log1p

from streams.model.detect.cusum import Line


def mean_events(line: Line, p: float) -> float:
    """Exact mean number of single events until a share line alarms, from zero, each bad with chance `p`.

    For lines whose rise per bad event is a whole multiple of the fall per good event (Reynolds and Stoumbos 1999):
    then the statistic lives on a lattice, goes down one step at a time, and the equations T(x) = 1 + p T(x + m) + (1
    - p) T(x - 1) are solved from the top down. Raises ValueError for other lines.
    """
    rise = (line.slope - line.cost) / line.cost
    m, top = round(rise), -int(-line.threshold // line.cost)
    if abs(rise - m) > 1e-6 or m < 1:
        raise ValueError(f"a rise of {rise} falls is no whole multiple")
    # T(x) = weight[x] u + rest[x] with u = T(top - 1) unknown and T = 0 from the top on.
    weight, rest = [0.0] * (top + m + 1), [0.0] * (top + m + 1)
    weight[top - 1] = 1.0
    for x in range(top - 1, 0, -1):
        weight[x - 1] = (weight[x] - p * weight[x + m]) / (1.0 - p)
        rest[x - 1] = (rest[x] - 1.0 - p * rest[x + m]) / (1.0 - p)
    u = (1.0 + p * (rest[m] - rest[0])) / (p * (weight[0] - weight[m]))
    return weight[0] * u + rest[0]


def lattice_shift(p0: float, multiple: int) -> float:
    """The share p1 for which a bad event raises the line from `p0` by `multiple` times what a good event lowers it."""
    low, high = p0, 1.0
    for _ in range(200):
        p1 = (low + high) / 2.0
        a, b = log(p1 / p0), log1p(-p0) - log1p(-p1)
        low, high = (p1, high) if a > multiple * b else (low, p1)
    return (low + high) / 2.0

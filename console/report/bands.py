"""Who came back and what they spent, by the memory that a journey left. Pure; not a causal effect."""

from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple

from streams.model.intervals import Estimate, mean, share

BANDS = ("negative", "neutral", "positive")


class Spent(NamedTuple):
    """What the customers of a band spent in one currency: sums over customers, minor units."""

    total: float
    squares: float


class Band(NamedTuple):
    """The customers whose journey left a memory of this band."""

    name: str
    customers: int
    returned: int
    #: Share who came again, 0 to 1; None below the fewest customers.
    retention: Estimate | None
    #: Mean a customer by currency, minor units, those who spent nothing included; empty below the fewest customers.
    spend: dict[str, Estimate]


def band(
    name: str, customers: int, returned: int, spent: Mapping[str, Spent], currencies: Iterable[str], fewest: int
) -> Band:
    """Retention with the Wilson interval, spend with the normal one; a currency nobody spent in is 0."""
    if customers < max(fewest, 2):
        return Band(name, customers, returned, None, {})
    spend = {}
    for currency in currencies:
        sums = spent.get(currency, Spent(0.0, 0.0))
        one = mean(customers, sums.total, sums.squares, 0.0, inf)
        assert one is not None
        spend[currency] = one
    return Band(name, customers, returned, share(customers, returned), spend)

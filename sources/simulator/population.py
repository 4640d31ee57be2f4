"""Who walks the corridor: customers, where they live, what they hold in their hand, who brings their parcel."""

from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from sources.simulator.normal import lognormal

REGIONS = ("north", "south", "east", "west", "centre")
CARRIERS = ("swift", "norte", "urbano", "postal")
DEVICES = ("desktop", "mobile", "tablet")
PAYMENTS = ("card", "transfer", "wallet", "cash")
STORES = tuple(f"s{number:02}" for number in range(1, 13))
REASONS = ("delivery", "payment", "product", "return", "account")

#: Every segment key an event can carry, with all of its values.
SEGMENTS: dict[str, tuple[str, ...]] = {
    "region": REGIONS,
    "carrier": CARRIERS,
    "device": DEVICES,
    "payment": PAYMENTS,
    "store": STORES,
    "reason": REASONS,
}

#: Which carriers serve a region, with their shares.
_CARRIER_SHARES = {
    "north": (0.25, 0.50, 0.10, 0.15),
    "south": (0.45, 0.05, 0.20, 0.30),
    "east": (0.35, 0.10, 0.35, 0.20),
    "west": (0.45, 0.10, 0.15, 0.30),
    "centre": (0.25, 0.15, 0.50, 0.10),
}
_CARRIERS_OF = {region: tuple(accumulate(shares)) for region, shares in _CARRIER_SHARES.items()}
_STORES_OF = {
    "north": STORES[0:2],
    "south": STORES[2:4],
    "east": STORES[4:6],
    "west": STORES[6:8],
    "centre": STORES[8:12],
}
_REGION_SHARES = tuple(accumulate((0.18, 0.17, 0.16, 0.14, 0.35)))
_WEB_DEVICES = tuple(accumulate((0.46, 0.46, 0.08)))
_APP_DEVICES = (0.0, 0.92, 1.0)
_PAYMENT_SHARES = tuple(accumulate((0.62, 0.12, 0.26, 0.0)))
#: Customers in the pool: the same ones come back.
CUSTOMERS = 100_000


@dataclass(frozen=True, slots=True)
class Carrier:
    """A carrier: its usual time on the road against the corridor's (1 = 22 hours) and the promise it lets us give."""

    pace: float
    promise_h: float


CARRIER: dict[str, Carrier] = {
    "swift": Carrier(0.8, 48),
    "norte": Carrier(1.2, 72),
    "urbano": Carrier(1.0, 60),
    "postal": Carrier(2.0, 96),
}


def pick(values: tuple[str, ...], shares: tuple[float, ...], chance: float) -> str:
    """The value whose cumulated share covers `chance` in [0, 1); the last value where rounding left a gap."""
    return values[min(bisect(shares, chance), len(values) - 1)]


class Person:
    """One customer on one errand: everything that a segment can say about it."""

    __slots__ = ("amount_minor", "carrier", "device", "payment", "reason", "region", "store", "subject")

    def __init__(self, rng: Random, entry: str) -> None:
        """A customer out of the pool who starts at the touchpoint `entry`; a customer's region never changes."""
        chance = rng.random
        number = int(chance() * CUSTOMERS)
        self.subject = f"c{number:06}"
        self.region = pick(REGIONS, _REGION_SHARES, (number * 7919 % 1000) / 1000)
        self.carrier = pick(CARRIERS, _CARRIERS_OF[self.region], chance())
        self.device = pick(DEVICES, _APP_DEVICES if entry.startswith("app.") else _WEB_DEVICES, chance())
        in_store = entry.startswith("store.")
        if in_store and chance() < 0.3:
            self.payment = "cash"
        else:
            self.payment = pick(PAYMENTS, _PAYMENT_SHARES, chance())
        stores = _STORES_OF[self.region]
        self.store = stores[int(chance() * len(stores))]
        self.reason = "account" if chance() < 0.5 else "product"
        self.amount_minor = int(lognormal(chance, 4500, 0.8)) + 199

    def copy(self) -> "Person":
        """The same again, to be changed."""
        other = Person.__new__(Person)
        for name in Person.__slots__:
            setattr(other, name, getattr(self, name))
        return other

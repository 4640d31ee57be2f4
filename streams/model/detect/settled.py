"""A settled bucket: what happened in ten seconds of event time, once no lane expects anything for it any more."""

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from schemas.slice import Slice
from schemas.transition import TransitionSlice

_Key = TypeVar("_Key", bound=tuple[str, ...])
_Sum = TypeVar("_Sum")


class Felt(Struct, array_like=True, gc=False):
    """Experience at a touchpoint, of all events (`segment` and `value` empty) or of one segment pair."""

    touchpoint: str
    segment: str
    value: str
    scored: int = 0
    negative: int = 0
    sum_x: float = 0.0
    sum_xx: float = 0.0
    #: Promises made, and those of them that were broken.
    gap_n: int = 0
    gap_broken: int = 0


class Went(Struct, array_like=True, gc=False):
    """Transitions from a touchpoint, of all or of one segment pair, and their waits (see `TransitionSums`)."""

    touchpoint: str
    following: str
    segment: str
    value: str
    n: int = 0
    resumed: int = 0
    wait_n: int = 0
    wait_log_sum: float = 0.0
    wait_log_sum2: float = 0.0


class Contacts(Struct, array_like=True, gc=False):
    """Scored contacts at a touchpoint in a stage, and the negative ones among them: what objectives are about."""

    touchpoint: str
    stage: str
    scored: int = 0
    negative: int = 0


class Settled(Struct, array_like=True):
    """One bucket of one tenant, all lanes and parts together; all lists are sorted."""

    #: Epoch seconds.
    start: int
    felt: list[Felt]
    went: list[Went]
    contacts: list[Contacts] = []


class _Sums:
    """The sums of one tenant's bucket so far, by what they are of."""

    __slots__ = ("contacts", "felt", "went")

    def __init__(self) -> None:
        self.felt: dict[tuple[str, str, str], Felt] = {}
        self.went: dict[tuple[str, str, str, str], Went] = {}
        self.contacts: dict[tuple[str, str], Contacts] = {}

    def feel(self, part: Slice) -> None:
        """Add a slice of a touchpoint."""
        place = (part.touchpoint, part.segment, part.segment_value)
        here = self.felt.get(place)
        if here is None:
            here = self.felt[place] = Felt(*place)
        here.scored += part.scored
        here.negative += part.negative
        here.sum_x += part.sum_x
        here.sum_xx += part.sum_xx
        here.gap_n += part.gap_n
        here.gap_broken += part.gap_broken
        if not part.segment:
            stage = (part.touchpoint, part.stage)
            staged = self.contacts.get(stage)
            if staged is None:
                staged = self.contacts[stage] = Contacts(*stage)
            staged.scored += part.scored
            staged.negative += part.negative

    def go(self, part: TransitionSlice) -> None:
        """Add a slice of a transition."""
        way = (part.touchpoint, part.following, part.segment, part.segment_value)
        there = self.went.get(way)
        if there is None:
            there = self.went[way] = Went(*way)
        there.n += part.n
        there.resumed += part.resumed
        there.wait_n += part.wait_n
        there.wait_log_sum += part.wait_log_sum
        there.wait_log_sum2 += part.wait_log_sum2


def settle(start: int, slices: Iterable[Slice | TransitionSlice]) -> dict[str, Settled]:
    """The bucket that starts at `start`, by tenant. The order of the slices does not matter: their sums are exact."""
    found: dict[str, _Sums] = {}
    for part in slices:
        sums = found.get(part.tenant)
        if sums is None:
            sums = found[part.tenant] = _Sums()
        if isinstance(part, Slice):
            sums.feel(part)
        else:
            sums.go(part)
    return {
        tenant: Settled(start, _in_order(sums.felt), _in_order(sums.went), _in_order(sums.contacts))
        for tenant, sums in sorted(found.items())
    }


def _in_order(found: dict[_Key, _Sum]) -> list[_Sum]:
    return [found[key] for key in sorted(found)]

"""A settled bucket: what happened in ten seconds of event time, once no lane expects anything for it any more."""

from collections.abc import Iterable
from operator import attrgetter

from msgspec import Struct

from schemas.slice import Slice
from schemas.transition import TransitionSlice


class Felt(Struct, array_like=True):
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


class Went(Struct, array_like=True):
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


class Settled(Struct, array_like=True):
    """One bucket of one tenant, all lanes and parts together; both lists are sorted."""

    #: Epoch seconds.
    start: int
    felt: list[Felt]
    went: list[Went]


_FELT = ("scored", "negative", "sum_x", "sum_xx", "gap_n", "gap_broken")
_WENT = ("n", "resumed", "wait_n", "wait_log_sum", "wait_log_sum2")
_identity_of_felt = attrgetter("touchpoint", "segment", "value")
_identity_of_went = attrgetter("touchpoint", "following", "segment", "value")


def settle(start: int, slices: Iterable[Slice | TransitionSlice]) -> dict[str, Settled]:
    """The bucket that starts at `start`, by tenant. The order of the slices does not matter: their sums are exact."""
    felt: dict[tuple[str, ...], Felt] = {}
    went: dict[tuple[str, ...], Went] = {}
    found: dict[str, Settled] = {}
    for part in slices:
        settled = found.get(part.tenant)
        if settled is None:
            settled = found[part.tenant] = Settled(start, [], [])
        if isinstance(part, Slice):
            place = (part.touchpoint, part.segment, part.segment_value)
            here = felt.get((part.tenant, *place))
            if here is None:
                here = felt[part.tenant, *place] = Felt(*place)
                settled.felt.append(here)
            _add(here, part, _FELT)
        else:
            way = (part.touchpoint, part.following, part.segment, part.segment_value)
            there = went.get((part.tenant, *way))
            if there is None:
                there = went[part.tenant, *way] = Went(*way)
                settled.went.append(there)
            _add(there, part, _WENT)
    for settled in found.values():
        settled.felt.sort(key=_identity_of_felt)
        settled.went.sort(key=_identity_of_went)
    return dict(sorted(found.items()))


def _add(total: Felt | Went, part: Slice | TransitionSlice, names: tuple[str, ...]) -> None:
    for name in names:
        setattr(total, name, getattr(total, name) + getattr(part, name))

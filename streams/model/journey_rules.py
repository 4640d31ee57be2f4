"""What a journey is made of, a contact, and what the corridor map says about the time between two of them."""

from collections.abc import Callable, Hashable
from math import inf
from typing import Any, Final, TypeVar

import msgspec
import xxhash

from schemas import transition
from schemas.corridor import CorridorMap
from schemas.event import TouchpointData
from streams.model.places import Place

Pairs = tuple[tuple[str, str], ...]
#: How a contact ends its journey: not at all, by a goal, by the outcome `abandoned`.
NO_END, GOAL, ABANDONED = 0, 1, 2
#: The node that each of them leads to.
END_NODES: Final = ("", transition.GOAL, transition.ABANDONED)
#: Strings and segment pairs that are held once, however many contacts have them.
_MAX_SHARED = 20_000
T = TypeVar("T", bound=Hashable)


class Contact(msgspec.Struct, array_like=True, gc=False):
    """One accepted event of a journey. `Rules.contact` makes it; nobody changes it afterwards."""

    #: Event time, epoch seconds.
    time: float
    #: Hash of source and id: orders contacts of the same time.
    identity: int
    touchpoint: str
    #: None if neither the event nor the map names it.
    channel: str | None
    #: The segment pairs that slices are split by.
    pairs: Pairs
    #: Experience in [0, 1]; None if not scored.
    x: float | None
    #: NO_END, GOAL or ABANDONED.
    end: int
    #: Whether the company initiated it.
    company: bool
    active_ms: int = 0
    wait_ms: int = 0
    transfers: int = 0
    retries: int = 0
    amount_minor: int = 0
    currency: str | None = None

    def share(self, shared: Callable[[Any], Any]) -> None:
        """Use the objects that other contacts have for the same values: what was read back has its own."""
        self.touchpoint, self.channel, self.pairs = shared(self.touchpoint), shared(self.channel), shared(self.pairs)


class Rules:
    """The map's answers about journeys, looked up once.

    A contact that follows another by more than `keep` starts the journey anew: what was before is over for good. So
    a journey may leave memory once that time has passed, and it does not show in any result whether it did.
    """

    __slots__ = (
        "_goals",
        "_keep_ended",
        "_shared",
        "default_patience",
        "digest",
        "duplicate_horizon",
        "importances",
        "lateness",
        "patiences",
        "recovery",
        "shortest_keep",
    )

    def __init__(self, corridor: CorridorMap, keep_ended: float | None) -> None:
        defaults = corridor.defaults
        #: The map's allowed lateness and recovery time, seconds.
        self.lateness = float(defaults.allowed_lateness)
        self.recovery = float(defaults.recovery)
        #: A journey's recent ids are remembered exactly this long after its last event arrived: when it leaves (after
        #: twice as long, or later) must not show in the results. Seconds.
        self.duplicate_horizon = float(defaults.duplicate_horizon)
        #: Silence after which a journey stalls, by touchpoint and for all others, seconds.
        self.default_patience = float(defaults.patience)
        self.patiences = {t.name: float(t.patience) for t in corridor.touchpoints if t.patience is not None}
        #: The weight of a touchpoint in a journey's score; 1 for one that the map does not name.
        self.importances = {t.name: t.importance for t in corridor.touchpoints}
        self._goals = frozenset(t.name for t in corridor.touchpoints if t.goal)
        self._keep_ended = keep_ended
        #: No `keep` is shorter, seconds.
        self.shortest_keep = min(
            self.default_patience, *self.patiences.values(), inf if keep_ended is None else keep_ended
        )
        #: 32-bit hash of what says when a journey stalls and when it is over: another map gives another one.
        self.digest = xxhash.xxh32_intdigest(
            msgspec.json.encode((self.default_patience, sorted(self.patiences.items()), keep_ended))
        )
        self._shared: dict[Hashable, Hashable] = {}

    def contact(
        self, time: float, identity: int, place: Place, data: TouchpointData, x: float | None, pairs: Pairs
    ) -> Contact:
        """The contact that an event makes: `time` in epoch seconds, `x` its experience, `pairs` from `Places.pairs`."""
        touchpoint = place.cell.touchpoint
        outcome = data.outcome
        if outcome == "abandoned":
            end = ABANDONED
        elif touchpoint in self._goals and (outcome == "success" or outcome == "partial"):
            end = GOAL
        else:
            end = NO_END
        attempts = data.attempts
        value = data.value
        # Positional, because keywords would double the cost of this call.
        return Contact(
            time,
            identity,
            touchpoint,
            place.channel,
            self.shared(pairs) if pairs else pairs,
            x,
            end,
            data.initiator == "company",
            data.active_ms or 0,
            data.wait_ms or 0,
            data.transfers or 0,
            attempts - 1 if attempts is not None and attempts > 1 else 0,
            value.amount_minor if value is not None else 0,
            value.currency if value is not None else None,
        )

    def shared(self, value: T) -> T:
        """The same value, as the one object that all contacts share."""
        shared = self._shared
        found = shared.get(value)
        if found is None:
            if len(shared) >= _MAX_SHARED:
                shared.clear()
            found = shared[value] = value
        return found  # type: ignore[return-value]  # every value is its own key

    def patience(self, touchpoint: str) -> float:
        """How long a journey may be silent at `touchpoint` before it stalls, seconds."""
        return self.patiences.get(touchpoint, self.default_patience)

    def keep(self, contact: Contact) -> float:
        """How long after `contact` the journey can go on, seconds: after that it starts anew.

        Twice the patience; after an end by goal or outcome, the patience once or what `keep_ended` says.
        """
        patience = self.patience(contact.touchpoint)
        if contact.end == NO_END:
            return 2.0 * patience
        return patience if self._keep_ended is None else self._keep_ended

    def silence(self, contact: Contact, until: float) -> int:
        """What silence from `contact` until a time amounts to: 0 nothing, 1 stalled, 2 gone. An end does not stall."""
        if contact.end != NO_END:
            return 0
        patience = self.patience(contact.touchpoint)
        if until <= contact.time + patience:
            return 0
        return 1 if until <= contact.time + 2.0 * patience else 2

    def starts_anew(self, before: Contact | None, contact: Contact) -> bool:
        """Whether `contact` is the first of a journey, `before` being the contact just before it."""
        return before is None or contact.time > before.time + self.keep(before)


def joined(earlier: Pairs, later: Pairs) -> Pairs:
    """The segment pairs of a transition: the later contact's, and of the earlier one those whose name that lacks."""
    names = {name for name, _ in later}
    return (*later, *(pair for pair in earlier if pair[0] not in names))

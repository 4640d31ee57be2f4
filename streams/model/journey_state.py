"""What is remembered of one journey, in memory and as MessagePack, where it begins with a label."""

from collections.abc import Callable
from math import inf
from typing import Any, Final

import msgspec

from streams.model.journey_fold import Totals
from streams.model.journey_rules import Contact

#: Tenant, subject, journey.
JourneyKey = tuple[str, str, str]
#: The first byte of a journey's name.
JOURNEY: Final = b"j"
_json = msgspec.json.Encoder().encode


class Label(msgspec.Struct, array_like=True, gc=False):
    """What can be read of a stored journey without the rest of it. Times are epoch seconds."""

    #: When its timer rings: in memory at the latest when it next stalls or is gone, stored exactly then. Infinite if
    #: silence can do nothing more to it.
    due: float = inf
    #: The checkpoint it last changed in, as its keeper numbers them.
    changed: int = 0
    #: When its last event arrived.
    seen_at: float = 0.0
    #: Contacts after this start it anew. Like `rules`, it is right in what is stored.
    over_at: float = -inf
    #: The rules that `due` and `over_at` follow from: `Rules.digest`.
    rules: int = 0


class JourneyState(Label, array_like=True, gc=False):
    """All that is remembered of one journey."""

    #: Its newest ids, as hashes: `streams.model.duplicates`.
    ids: list[int] = []
    #: The contacts whose order is settled; None before the first is.
    head: Totals | None = None
    #: The contacts after those, ordered by time and identity.
    tail: list[Contact] = msgspec.field(default_factory=list)
    #: What was counted for the silence after the last contact: 0 nothing, 1 stalled, 2 gone.
    silence: int = 0

    @property
    def last(self) -> Contact | None:
        """The last contact; None before the first."""
        if self.tail:
            return self.tail[-1]
        return self.head.last if self.head is not None else None

    def share(self, shared: Callable[[Any], Any]) -> None:
        """Use the strings that other journeys have: what was decoded has its own."""
        for contact in self.tail:
            contact.share(shared)
        if self.head is not None:
            self.head.share(shared)


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(JourneyState).decode
read_label = msgspec.msgpack.Decoder(Label).decode
_key = msgspec.json.Decoder(JourneyKey).decode


def name_of(key: JourneyKey) -> bytes:
    """A journey's name: its key in the changelog."""
    return JOURNEY + _json(key)


def key_of(name: bytes) -> JourneyKey:
    """The journey of that name."""
    key: JourneyKey = _key(name[len(JOURNEY) :])
    return key

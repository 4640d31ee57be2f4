"""How contacts become events on the wire: each source's identity and delay, lateness, duplicates, silence, noise."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from random import Random
from typing import Any

import msgspec

from schemas.event import TouchpointData, TouchpointEvent
from sources.simulator.corridor import Place
from sources.simulator.faults import Fault
from sources.simulator.journey import Journey
from sources.simulator.normal import lognormal

#: Median seconds from a contact to its record, by source; log-normal with sigma 0.5.
_RECORDING_S = {
    "/web": 0.05,
    "/app": 0.15,
    "/pos": 0.3,
    "/courier/{carrier}": 0.4,
    "/partner/lockers": 0.5,
    "/helpdesk": 0.2,
    "/survey": 0.1,
    "/social": 1.0,
}
#: A late event is recorded this many seconds later (median; log-normal, sigma 1), within the bounds below it.
_LATE_S = 25.0
_LATE_BOUNDS_S = (2.0, 900.0)
#: A duplicate is sent within this many seconds of the first copy; a source's backlog once it is back, too.
_AGAIN_S = 8.0
_BACKLOG_S = 3.0

_BROKEN_ATTRIBUTES: tuple[dict[str, Any], ...] = (
    {"specversion": "0.2"},
    {"type": "io.corredor.touchpoint.v9"},
    {"subject": ""},
    {"source": ""},
)
_BROKEN_DATA: tuple[dict[str, Any], ...] = (
    {"outcome": "maybe"},
    {"sentiment": 3.5},
    {"attempts": -1},
    {"touchpoint": None},
)


class Sender:
    """Wraps contacts into events and says when each is published."""

    def __init__(
        self,
        rng: Random,
        faults: Sequence[Fault],
        start: float,
        run: str,
        *,
        late_share: float,
        duplicate_share: float,
        invalid_share: float,
    ) -> None:
        """`run` goes into every id, so that two simulations never share one; shares are chances per event."""
        self._chance = rng.random
        self._run = run
        self._sent = 0
        self._late_share = late_share
        self._duplicate_share = duplicate_share
        self._invalid_share = invalid_share
        self._silent = [
            (fault.source, start + fault.start, start + fault.end, fault.intensity) for fault in faults if fault.source
        ]

    def send(
        self, journey: Journey, place: Place, data: TouchpointData, at: float
    ) -> Iterator[tuple[float, TouchpointEvent]]:
        """The messages of one contact at `at` (epoch seconds), each with its time of publication."""
        chance = self._chance
        source = place.source.replace("{carrier}", journey.person.carrier)
        recorded = at + lognormal(chance, _RECORDING_S[place.source], 0.5)
        if chance() < self._late_share:
            low, high = _LATE_BOUNDS_S
            recorded += min(high, max(low, lognormal(chance, _LATE_S, 1.0)))
        self._sent += 1
        event = TouchpointEvent(
            specversion="1.0",
            id=f"{self._run}-{self._sent:x}",
            source=source,
            type="io.corredor.touchpoint.v1",
            time=_time(at),
            subject=journey.person.subject,
            data=data,
            recordedtime=_time(recorded),
        )
        published = recorded + 0.005 + 0.02 * chance()
        for prefix, since, until, share in self._silent:
            if since <= published < until and _within(source, prefix) and (share >= 1.0 or chance() < share):
                if until == inf:
                    return
                published = until + _BACKLOG_S * chance()
        yield published, event
        if self._duplicate_share and chance() < self._duplicate_share:
            yield published + 0.05 + _AGAIN_S * chance(), event
        if self._invalid_share and chance() < self._invalid_share:
            yield published, self._broken(event)

    def _broken(self, event: TouchpointEvent) -> TouchpointEvent:
        """An event with one thing wrong, and an id of its own. What it holds is no longer what its types say."""
        event = msgspec.structs.replace(event, id=f"{event.id}.x")
        which = int(self._chance() * 10)
        if which < 4:
            return msgspec.structs.replace(event, **_BROKEN_ATTRIBUTES[which])
        if which < 8:
            return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, **_BROKEN_DATA[which - 4]))
        if which == 8:
            return msgspec.structs.replace(event, time=event.time.replace(tzinfo=None))
        return msgspec.structs.replace(event, time=event.time + timedelta(days=365))


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _within(source: str, prefix: str) -> bool:
    """`/courier` stands for `/courier` and all below it, not for `/couriers`."""
    return source == prefix or source.startswith(prefix if prefix.endswith("/") else prefix + "/")

"""What is published during a chaos run: endless, and the same for the same seed, byte for byte.

The simulated retailer with late events, for three tenants, and on top of it: duplicates at once and much later,
blocks out of order, events that a foreign partitioner put elsewhere, a source whose clock runs hours ahead (so that
some of its events are late), and poison: whatever must be rejected.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from random import Random

import msgspec

from schemas.event import MAX_EVENT_BYTES, TouchpointData, TouchpointEvent
from sources.publish import encode
from sources.simulate import simulate

#: Event time of the beginning: in the past, so that also what lies ten hours ahead of it has happened.
START = datetime(2026, 11, 2, 10, tzinfo=UTC)
#: Events per second of event time.
DENSITY = 200.0
TENANTS = ("default", "north", "south")
AHEAD = timedelta(hours=10)
_BLOCK = 200
_INVALID = Path(__file__).resolve().parents[2] / "schemas" / "examples" / "invalid"


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish. `event` is None for poison; `partition` None leaves the choice to murmur2 of the key."""

    number: int
    key: bytes | None
    value: bytes | None
    partition: int | None
    event: TouchpointEvent | None


@dataclass(frozen=True, slots=True)
class _Draft:
    value: bytes | None
    event: TouchpointEvent | None


class Feed:
    """Hands out the messages in the order of their publication and remembers them by number."""

    def __init__(self, seed: int, partitions: int) -> None:
        self.messages: list[Message] = []
        self._rng = Random(seed)
        self._partitions = partitions
        self._drafts = self._stream(seed)

    def take(self, count: int) -> list[Message]:
        """The next messages."""
        first = len(self.messages)
        for _ in range(count):
            self.messages.append(self._addressed(next(self._drafts)))
        return self.messages[first:]

    def _addressed(self, draft: _Draft) -> Message:
        rng = self._rng
        key = draft.event.subject.encode() if draft.event is not None else rng.choice((None, b"", b"poison"))
        foreign = rng.random()
        if foreign < 0.06:
            partition = rng.randrange(self._partitions)
            key = key if foreign < 0.04 else None
        else:
            partition = None
        return Message(len(self.messages), key, draft.value, partition, draft.event)

    def _stream(self, seed: int) -> Iterator[_Draft]:
        """Blocks of events with what can go wrong between a source and Kafka."""
        rng = Random(seed + 1)
        events = _events(seed)
        poison = _poison(rng)
        past: list[_Draft] = []
        held: list[list[_Draft]] = []
        while True:
            block = [next(events) for _ in range(_BLOCK)]
            block += [next(poison) for _ in range(rng.randrange(4))]
            if rng.random() < 0.5:
                # Several senders race each other.
                rng.shuffle(block)
            if past and rng.random() < 0.2:
                # A source was restarted and sends again what it is not sure of.
                first = rng.randrange(max(1, len(past) - 50))
                block += past[first : first + 50]
            past = [*past, *block][-5_000:]
            if rng.random() < 0.08:
                held.append(block)
                continue
            yield from block
            if held and rng.random() < 0.3:
                yield from held.pop(0)


def _events(seed: int) -> Iterator[_Draft]:
    """Simulated events, and now and then one of a source whose clock runs ahead."""
    rng = Random(seed + 2)
    simulated = simulate(
        seed, START.timestamp(), DENSITY, flat=True, late_share=0.05, duplicate_share=0.03, invalid_share=0.0
    )
    for number, (_, event) in enumerate(simulated, 1):
        tenant = TENANTS[sum(event.subject.encode()) % len(TENANTS)]
        event = msgspec.structs.replace(event, tenant=tenant)
        yield _Draft(encode(event), event)
        if number % 97 == 0:
            # Right after an event at +10 h its source sends one of +2 h: late by eight hours.
            offset = AHEAD if rng.random() < 0.5 else timedelta(hours=2)
            stray = _stray(number, START + offset + timedelta(seconds=rng.randrange(600)), rng)
            yield _Draft(encode(stray), stray)


def _stray(number: int, at: datetime, rng: Random) -> TouchpointEvent:
    return TouchpointEvent(
        specversion="1.0",
        id=f"stray-{number}",
        source="/clock/ahead",
        type="io.corredor.touchpoint.v1",
        time=at,
        subject=f"stray-{rng.randrange(40)}",
        data=TouchpointData(
            touchpoint="not.on.the.map" if rng.random() < 0.2 else "web.checkout",
            outcome=rng.choice(("success", "failure", "abandoned", "pending")),
            journey=f"stray-journey-{number}",
            wait_ms=rng.choice((None, 0, 1_500, 2**40)),
        ),
    )


def _poison(rng: Random) -> Iterator[_Draft]:
    """Everything that must be rejected, over and over."""
    values: list[bytes | None] = [path.read_bytes() for path in sorted(_INVALID.glob("*.json"))]
    values.remove((_INVALID / "index.json").read_bytes())
    values += [None, b"", b"\x00", b"\xff\xfe", b"[" * 20_000, b" " * (MAX_EVENT_BYTES + 1), rng.randbytes(300)]
    rng.shuffle(values)
    for value in cycle(values):
        yield _Draft(value, None)

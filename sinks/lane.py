"""A lane: the messages of one topic on their way into one table, and how far they bring the topic's partitions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas import topics
from streams.runtime.pacing import DEFAULT_BUDGET_BYTES

#: Which table the rows of a topic go to. Rejections come in base64 and are decoded behind the landing table.
TABLES = {
    topics.SCORED.name: "touchpoint_events",
    topics.REJECTED.name: "rejected_events_landing",
    topics.SLICES.name: "experience_slices",
    topics.SCORES.name: "experience_scores",
    topics.JOURNEYS.name: "journeys",
    topics.INCIDENTS.name: "incidents",
    topics.CORRIDOR.name: "corridor",
    topics.FORGOTTEN.name: "forgotten",
    topics.FORGET.name: "rows_of_a_subject",
}
#: No table: its messages are customers to be forgotten, and erase rows.
ERASURE = TABLES[topics.FORGET.name]
#: These are written four times less often than the others: an insert costs by its columns more than by its rows, and
#: what has changed comes again with the next one.
_UNHURRIED = (topics.SLICES.name, topics.JOURNEYS.name, topics.CORRIDOR.name)
_PATIENCE = 4.0
#: Where publishers wait for the sink, they must not wait for its patience too: half of what they may run ahead.
_PACED_BYTES = DEFAULT_BUDGET_BYTES // 2
#: Absolute messages: of those with one key the newest version is enough.
_ABSOLUTE = (*_UNHURRIED, topics.SCORES.name, topics.INCIDENTS.name)
#: Its first occurrence is the message's own: before it stand numbers, and strings, in which a quote is escaped.
_VERSION = b'"version":'
_DIGITS = re.compile(rb"\d+")
#: What travels with the slices and is no row. It begins so, for msgspec writes fields in order.
_NO_ROW = (b'{"kind":"progress"', b'{"kind":"heard"')

#: A Kafka message (confluent_kafka.Message); its value is one JSON object whose fields are the table's columns.
Message = Any


@dataclass(slots=True)
class Batch:
    """What one write takes: the messages, and the offset to commit for each partition once they are written."""

    topic: str
    messages: list[Message] = field(default_factory=list)
    size: int = 0
    positions: dict[int, int] = field(default_factory=dict)

    @property
    def table(self) -> str:
        """The table it goes to."""
        return TABLES[self.topic]


class Lane:
    """Collects a batch until it is due by rows, bytes received or age. Times are seconds of a monotonic clock."""

    def __init__(self, topic: str, rows: int, size: int, interval: float) -> None:
        self._rows = rows
        self._size = size
        self._interval = interval
        self._absolute = topic in _ABSOLUTE
        self._batch = Batch(topic)
        #: Where in the batch the message with a key is.
        self._places: dict[bytes, int] = {}
        self._since: float | None = None
        #: Bytes that came for the batch, those of messages with a newer version included.
        self._received = 0

    @property
    def topic(self) -> str:
        """The topic whose messages it takes."""
        return self._batch.topic

    @property
    def table(self) -> str:
        """The table they go to."""
        return self._batch.table

    @property
    def rows(self) -> int:
        """Rows buffered."""
        return len(self._batch.messages)

    def add(self, message: Message, now: float) -> None:
        """Take a message; one that is no row, or has a newer version in the batch, only moves the position."""
        batch = self._batch
        batch.positions[message.partition()] = message.offset() + 1
        if self._since is None:
            self._since = now
        value = message.value()
        self._received += len(value or b"")
        if value is None or value.startswith(_NO_ROW):
            return
        if self._absolute and (key := message.key()) is not None:
            place = self._places.setdefault(key, len(batch.messages))
            if place < len(batch.messages):
                old = batch.messages[place].value()
                if _version(value) >= _version(old):
                    batch.messages[place] = message
                    batch.size += len(value) - len(old)
                return
        batch.messages.append(message)
        batch.size += len(value)

    def due_in(self, now: float) -> float:
        """Seconds until the batch must be written; 0 or less: now, a full one for as long as it is old.

        Infinite if there is nothing.
        """
        if self._since is None:
            return float("inf")
        if len(self._batch.messages) >= self._rows or self._received >= self._size:
            return min(0.0, self._since - now)
        return self._since + self._interval - now

    def take(self) -> Batch:
        """Hand over the batch and begin a new one."""
        batch, self._batch, self._since, self._received = self._batch, Batch(self._batch.topic), None, 0
        self._places.clear()
        return batch


def _version(value: bytes) -> int:
    """The version in an absolute message; -1 where there is none."""
    found = _DIGITS.match(value, value.find(_VERSION) + len(_VERSION))
    return int(found[0]) if found else -1


def lanes(rows: int, size: int, interval: float, *, paced: bool) -> dict[str, Lane]:
    """A lane for each topic; `interval` (seconds) is that of the urgent ones. `paced`: publishers wait for the sink."""
    unhurried = min(size, _PACED_BYTES) if paced else size
    return {
        topic: Lane(topic, rows, unhurried, interval * _PATIENCE)
        if topic in _UNHURRIED
        else Lane(topic, rows, size, interval)
        for topic in TABLES
    }


def sample(batch: Batch, at_most: int = 200) -> Iterator[Message]:
    """Messages evenly spread over the batch."""
    step = -(-len(batch.messages) // at_most) or 1
    return iter(batch.messages[::step])

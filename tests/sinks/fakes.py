"""Kafka and ClickHouse behind their real interfaces, recording every effect in one ordered list."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import TopicPartition

from schemas import topics
from schemas.errors import RejectEvent
from schemas.rejection import Reason
from sinks.clickhouse import StoreAway
from tests.sinks.rows import NOON


@dataclass
class FakeMessage:
    _topic: str
    _partition: int
    _offset: int
    _value: bytes | None
    _error: Any = None
    _key: bytes | None = None

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._value

    def key(self) -> bytes:
        return self._key if self._key is not None else b"key-%d" % self._offset

    def headers(self) -> list[tuple[str, bytes]]:
        return [("h", b"\xff")]

    def timestamp(self) -> tuple[int, int]:
        return (1, NOON * 1000)

    def error(self) -> Any:
        return self._error


def message(value: bytes | None, offset: int = 0, topic: str = topics.SCORED.name, partition: int = 0) -> FakeMessage:
    return FakeMessage(topic, partition, offset, value)


def away() -> StoreAway:
    return StoreAway("too many parts", "TOO_MANY_PARTS")


@dataclass
class World:
    """The effects, a clock that only waiting moves, and what fails when."""

    effects: list[tuple[Any, ...]] = field(default_factory=list)
    now: float = 0.0
    failures: list[Exception] = field(default_factory=list)
    #: Called at each poll while delivery waits.
    on_poll: Callable[[], None] = lambda: None

    def clock(self) -> float:
        return self.now


class FakeStore:
    """Refuses any batch that holds a line with `bad`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def insert(self, table: str, lines: bytes) -> None:
        if self._world.failures:
            failure = self._world.failures.pop(0)
            self._world.effects.append(("failed", table, str(failure)))
            raise failure
        if b"bad" in lines:
            raise RejectEvent(Reason.REFUSED_BY_STORE, "Code: 72. DB::Exception: no number (CANNOT_PARSE_NUMBER)")
        self._world.effects.append(("insert", table, tuple(lines.split(b"\n"))))


class FakeKafka:
    """A consumer that hands out the given chunks, one for each call, then calls `at_end`."""

    def __init__(self, world: World, chunks: list[list[FakeMessage]], at_end: Callable[[], None]) -> None:
        self._world = world
        self._chunks = chunks
        self._at_end = at_end
        self.callbacks: dict[str, Any] = {}
        self.commit_failures: list[Exception] = []

    def subscribe(self, names: list[str], **callbacks: Any) -> None:
        self.callbacks = callbacks

    def consume(self, num_messages: int, timeout: float) -> list[FakeMessage]:
        self._world.now += timeout
        if not self._chunks:
            self._at_end()
            return []
        return self._chunks.pop(0)

    def poll(self, timeout: float) -> None:
        self._world.now += timeout
        self._world.on_poll()

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        if self.commit_failures:
            raise self.commit_failures.pop(0)
        self._world.effects.append(("commit", *sorted((part.topic, part.partition, part.offset) for part in offsets)))
        return offsets

    def assignment(self) -> list[TopicPartition]:
        return []

    def pause(self, _partitions: list[TopicPartition]) -> None:
        self._world.effects.append(("pause",))

    def resume(self, _partitions: list[TopicPartition]) -> None:
        self._world.effects.append(("resume",))

    def close(self) -> None:
        self._world.effects.append(("close",))


class FakeProducer:
    def __init__(self, world: World) -> None:
        self._world = world
        self.values: list[bytes] = []

    def produce(self, topic: str, key: str, value: bytes, on_delivery: Any) -> None:
        self._world.effects.append(("produce", topic, key))
        self.values.append(value)
        on_delivery(None, None)

    def flush(self, _timeout: float) -> int:
        self._world.effects.append(("flush",))
        return 0

    def list_topics(self, _topic: str, timeout: float) -> None:
        """It is always there."""

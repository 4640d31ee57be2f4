"""Publishes repaired events, then the marks of their rejections: in this order, each acknowledged.

A crash in between leaves events that are published and not marked. The next run publishes them again if they are not
in ClickHouse yet, and the duplicate check drops them: `source` and `id` are the same.
"""

import time
from collections.abc import Iterable
from contextlib import ExitStack

import msgspec
from confluent_kafka import KafkaError, Message

from schemas.errors import StopProcess
from schemas.rejection import RejectedEvent
from schemas.topics import REJECTED
from sources.publish import Publisher
from sources.repair import Repaired
from streams.runtime import clients
from streams.runtime.pacing import Pacer
from streams.runtime.settings import Settings

#: How long Kafka may take to acknowledge a batch. Seconds.
_ACKNOWLEDGED_S = 60.0
_POLL_S = 0.05
_encode = msgspec.json.Encoder().encode


class Repairs:
    """Where repairs go. Use it as a context manager; leaving it drops what is not acknowledged. Not thread-safe."""

    def __init__(self, settings: Settings, name: str) -> None:
        """`name` is that of the fix, for the marks."""
        self._name = name
        self._publisher = Publisher(settings)
        self._marks = Marks(settings)
        self._stack = ExitStack()

    def publish(self, repaired: Iterable[Repaired]) -> None:
        """Publish events and wait until Kafka has them. Raises StopProcess if it does not take them."""
        for one in repaired:
            self._publisher.send(one.key, one.value)
        self._publisher.flush(_ACKNOWLEDGED_S)

    def mark(self, repaired: Iterable[Repaired], now: float) -> None:
        """Mark their rejections as repaired at `now` (epoch seconds), and wait. Raises StopProcess."""
        for one in repaired:
            self._marks.send(msgspec.structs.replace(one.rejection, repaired_at=now, repair=self._name))
        self._marks.flush(_ACKNOWLEDGED_S)

    def __enter__(self) -> "Repairs":
        self._stack.enter_context(self._publisher)
        self._stack.callback(self._marks.close)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]


class Marks:
    """Publishes rejections to `touchpoint.rejected` under the keys that they had, at the pace of the sink."""

    def __init__(self, settings: Settings) -> None:
        self._producer = clients.producer(settings)
        self._pacer = Pacer(settings, REJECTED.name, groups=[settings.sink_group])
        self._failure: KafkaError | None = None
        self._waiting = 0

    def send(self, rejection: RejectedEvent) -> None:
        """Send one; may block while the queue is full or the sink is behind. Raises StopProcess as `flush` does."""
        key = f"{rejection.topic}/{rejection.partition}/{rejection.offset}".encode()
        value = _encode(rejection)
        self._pacer.wait(self._poll)
        while True:
            try:
                self._producer.produce(REJECTED.name, value, key, on_delivery=self._delivered)
                break
            except BufferError:
                self._poll(_POLL_S)
        self._waiting += 1
        self._pacer.sent(len(key) + len(value))
        self._poll(0)

    def flush(self, timeout_s: float) -> None:
        """Wait until everything sent is acknowledged. Raises StopProcess if it is refused or takes too long."""
        deadline = time.monotonic() + timeout_s
        while self._waiting:
            self._poll(_POLL_S)
            if time.monotonic() > deadline:
                raise self._stopped(f"{self._waiting:,} were not acknowledged within {timeout_s:g} s")

    def close(self) -> None:
        """Drop what is not acknowledged, and the connections."""
        self._producer.purge()
        self._producer.flush(_POLL_S)
        self._pacer.close()

    def _poll(self, timeout_s: float) -> None:
        self._producer.poll(timeout_s)
        if self._failure is not None:
            raise self._stopped(f"Kafka did not take one: {self._failure.str()}")

    def _stopped(self, why: str) -> StopProcess:
        return StopProcess(
            f"events are published, but not all are marked as repaired in {REJECTED.name}: {why}. Check the cluster, "
            f"then run the same repair again: what is published already counts once"
        )

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = self._failure or error
            return
        self._waiting -= 1
        if self._pacer.enabled:
            nbytes = len(message.value() or b"") + len(message.key() or b"")
            self._pacer.note(message.partition() or 0, message.offset() or 0, nbytes)

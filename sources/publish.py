"""Publishes touchpoint events to Kafka in CloudEvents' structured mode, and loses none without saying so."""

import time

import msgspec
from confluent_kafka import KafkaError, Message

from schemas.errors import StopProcess
from schemas.event import MAX_EVENT_BYTES, TouchpointEvent
from schemas.topics import EVENTS
from sources.privacy import Edge, Headers
from streams.runtime import clients
from streams.runtime.pacing import Pacer
from streams.runtime.settings import Settings

#: CloudEvents' Kafka binding: this header says that the value is the whole event.
HEADERS: Headers = [("content-type", b"application/cloudevents+json")]
_POLL_S = 0.05

_encode = msgspec.json.Encoder().encode


def encode(event: TouchpointEvent) -> bytes:
    """The event as JSON without its absent fields. Raises ValueError for text that is no Unicode, or over 64 KiB."""
    whole = {name: value for name, value in msgspec.structs.asdict(event).items() if value is not None}
    whole["data"] = {name: value for name, value in msgspec.structs.asdict(event.data).items() if value is not None}
    value = _encode(whole)
    if len(value) > MAX_EVENT_BYTES:
        raise ValueError(f"out of range: the event has {len(value)} bytes, at most {MAX_EVENT_BYTES} are accepted")
    return value


class Publisher:
    """Sends events to one topic, keyed by subject (murmur2 partitioner), and checks every delivery.

    Use it as a context manager: leaving it flushes. Not thread-safe.
    """

    def __init__(self, settings: Settings, topic: str = EVENTS.name) -> None:
        """Where the cluster's log is short, it keeps to the readers' pace. Raises UsageError."""
        self._edge = Edge.of(settings)
        self._producer = clients.producer(settings)
        self._topic = topic
        # Does nothing unless `settings.kafka_paced`.
        self._pacer = Pacer(settings, topic, groups=[settings.worker_group])
        self._failure: KafkaError | None = None
        #: Messages handed over, and those that Kafka has acknowledged.
        self.sent = 0
        self.delivered = 0

    def publish(self, event: TouchpointEvent) -> None:
        """Send one event. May block while the queue is full or the readers are behind.

        Raises StopProcess if an earlier event was refused, ValueError if this one cannot be encoded, RejectEvent as
        `send`.
        """
        self.send(event.subject.encode(), encode(event))

    def send(self, key: bytes, value: bytes, headers: Headers = HEADERS) -> None:
        """As `publish`, for an event that is encoded already; `key` is its subject in UTF-8.

        It passes the edge: customers get pseudonyms if a key is set. Raises RejectEvent for what must not be published.
        """
        key, value, headers = self._edge.protect(key, value, headers)
        self._pacer.wait(self.poll)
        while True:
            try:
                self._producer.produce(self._topic, value, key, headers=list(headers), on_delivery=self._delivered)
                break
            except BufferError:
                self.poll(_POLL_S)
        self.sent += 1
        self._pacer.sent(len(key) + len(value))
        self.poll(0)

    def poll(self, timeout_s: float) -> None:
        """Handle delivery reports for up to `timeout_s`. Raises StopProcess if a delivery has failed."""
        self._producer.poll(timeout_s)
        if self._failure is not None:
            raise StopProcess(
                f"Kafka did not take an event for `{self._topic}`: {self._failure.str()}; "
                f"{self.delivered:,} events were delivered before. Check the cluster, then replay: ids make it safe"
            )

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until everything sent is acknowledged. Raises StopProcess if it is not within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while self.delivered < self.sent:
            self.poll(_POLL_S)
            if time.monotonic() > deadline:
                raise StopProcess(
                    f"{self.sent - self.delivered:,} of {self.sent:,} events were not acknowledged within "
                    f"{timeout_s:g} s; check that the Kafka cluster is up, then replay: ids make it safe"
                )

    def abandon(self, timeout_s: float = 0.3) -> None:
        """Give what is under way `timeout_s` to arrive, drop the rest; `delivered` then tells the truth."""
        self._producer.flush(timeout_s)
        self._producer.purge()
        self._producer.flush(timeout_s)

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
            else:
                self.abandon()
        finally:
            self._pacer.close()

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = self._failure or error
            return
        self.delivered += 1
        if self._pacer.enabled:
            nbytes = len(message.value() or b"") + len(message.key() or b"")
            self._pacer.note(message.partition() or 0, message.offset() or 0, nbytes)

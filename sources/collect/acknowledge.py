"""To Kafka and back: an event counts as taken once Kafka's delivery report says so.

`produce` runs on the event loop and never blocks. A thread polls for delivery reports and wakes a request once, when
all its events are in. What waits in memory is bounded; beyond it, and with Kafka away, senders are told to come again.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Message

from schemas.errors import RetryLater, StopProcess
from schemas.topics import EVENTS
from sources.collect.contract import Checked
from sources.collect.metrics import IN_FLIGHT
from streams.runtime import clients
from streams.runtime.pacing import Pacer
from streams.runtime.settings import Settings

log = logging.getLogger("corredor.collect")

#: Events in the Kafka client's queue, all requests together.
MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
_POLL_S = 0.1
_PROBE_S = 1.0
_AGAIN_S = 2.0
#: Delivery reports of messages that timed out come up to this much later.
_GRACE_S = 2.0
_FLUSH_S = 1.0


class _Delivery:
    """The events of one request on their way. Called by the polling thread for each of them."""

    __slots__ = ("_loop", "_wake", "error", "left", "nbytes", "settled")

    def __init__(self, count: int, nbytes: int, wake: Callable[["_Delivery"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = wake
        self.left = count
        self.nbytes = nbytes
        self.error: KafkaError | None = None
        self.settled: asyncio.Future[None] = self._loop.create_future()

    def __call__(self, error: KafkaError | None) -> None:
        if error is not None:
            self.error = self.error or error
        self.left -= 1
        if self.left == 0:
            # Once the loop is closed nobody waits for an answer any more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake, self)


class Acknowledger:
    """One Kafka producer for all requests. `start` and `stop` around its use, from the event loop's thread.

    `away` says why nothing can be taken now, or is empty. `on_fatal` is called from the polling thread, with a
    message, when the producer can never send again.
    """

    def __init__(self, settings: Settings, acknowledge_s: float, on_fatal: Callable[[str], None]) -> None:
        self._settings = settings
        self._acknowledge_s = acknowledge_s
        self._on_fatal = on_fatal
        self._producer = clients.producer(
            settings, error_cb=self._trouble, **{"message.timeout.ms": round(acknowledge_s * 1000)}
        )
        # Does nothing unless `settings.kafka_paced`.
        self._pacer = Pacer(settings, EVENTS.name, groups=[settings.worker_group])
        self._room: asyncio.Task[None] | None = None
        self._in_flight = 0
        self._stop = threading.Event()
        self._suspect = True
        self.away = f"Kafka at {settings.kafka} has not answered yet"
        self._thread = threading.Thread(target=self._run, name="delivery reports", daemon=True)

    def start(self) -> None:
        """Begin to look for Kafka and to poll."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and the connections. What is not acknowledged by now never was."""
        self._stop.set()
        self._thread.join(2 * _PROBE_S)
        self._producer.flush(_FLUSH_S)
        self._producer.purge()
        self._pacer.close()

    async def publish(self, events: Sequence[Checked]) -> None:
        """Return once Kafka has acknowledged every event. Raises RetryLater if it has not; sending again is harmless.

        Events that were on their way when it raises may still arrive: `source` + `id` make the second one a duplicate.
        """
        if self.away:
            raise RetryLater(self.away, _AGAIN_S)
        await self._wait_for_readers()
        nbytes = sum(len(event.key) + len(event.value) + 256 for event in events)
        if self._in_flight + nbytes > MAX_IN_FLIGHT_BYTES:
            raise RetryLater("the queue to Kafka is full", _AGAIN_S)
        delivery = _Delivery(len(events), nbytes, self._settle)
        self._count(nbytes)
        try:
            for event in events:
                self._produce(event, delivery)
        except (BufferError, KafkaException) as error:
            # The reports of those already handed over find `left` above 0 and wake nobody.
            self._count(-nbytes)
            raise RetryLater(f"the Kafka client does not take events: {error}", _AGAIN_S) from None
        try:
            async with asyncio.timeout(self._acknowledge_s + _GRACE_S):
                await delivery.settled
        except TimeoutError:
            raise RetryLater(f"Kafka did not acknowledge within {self._acknowledge_s:g} s", _AGAIN_S) from None
        if delivery.error is not None:
            raise RetryLater(f"Kafka did not acknowledge: {delivery.error.str()}", _AGAIN_S)

    def _produce(self, event: Checked, delivery: _Delivery) -> None:
        nbytes = len(event.key) + len(event.value)

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._pacer.failed(nbytes)
            elif self._pacer.enabled:
                self._pacer.note(message.partition() or 0, message.offset() or 0, nbytes)
            delivery(error)

        self._pacer.sent(nbytes)
        try:
            self._producer.produce(EVENTS.name, event.value, event.key, headers=event.headers, on_delivery=on_delivery)
        except (BufferError, KafkaException):
            self._pacer.failed(nbytes)
            raise

    def _settle(self, delivery: _Delivery) -> None:
        self._count(-delivery.nbytes)
        if delivery.error is not None:
            self._suspect = True
        if not delivery.settled.done():
            delivery.settled.set_result(None)

    def _count(self, nbytes: int) -> None:
        self._in_flight += nbytes
        IN_FLIGHT.set(self._in_flight)

    async def _wait_for_readers(self) -> None:
        """On a cluster with a short log: wait until the workers have read enough of it."""
        if not self._pacer.full:
            return
        if self._room is None or self._room.done():
            self._room = asyncio.create_task(asyncio.to_thread(self._pacer.wait, self._nap))
        try:
            async with asyncio.timeout(self._acknowledge_s):
                await asyncio.shield(self._room)
        except TimeoutError:
            raise RetryLater("the workers are behind, and the embedded Kafka keeps a short log", _AGAIN_S) from None
        except StopProcess as error:
            raise RetryLater(str(error), _AGAIN_S) from None

    def _nap(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise RetryLater("the collector ends", _AGAIN_S)

    def _run(self) -> None:
        looked = 0.0
        try:
            while not self._stop.is_set():
                self._producer.poll(_POLL_S)
                if (self._suspect or self.away) and time.monotonic() - looked > _PROBE_S / 2:
                    self._look()
                    looked = time.monotonic()
        except StopProcess as error:
            self._on_fatal(str(error))
        # Without this thread no request would ever be answered with 202.
        except Exception as error:
            log.critical("delivery reports cannot be read", exc_info=error)
            self._on_fatal(f"delivery reports cannot be read: {error!r}; start the collector again")

    def _look(self) -> None:
        """Ask Kafka for the topic: is it there?"""
        self._suspect = False
        before = self.away
        try:
            topic = self._producer.list_topics(EVENTS.name, timeout=_PROBE_S).topics[EVENTS.name]
            self.away = ""
            if topic.error is not None:
                self.away = (
                    f"Kafka has no topic {EVENTS.name} ({topic.error}); create it with `corredor topics --create`"
                )
        except KafkaException as error:
            self.away = f"Kafka at {self._settings.kafka} does not answer: {error.args[0].str()}"
        if bool(before) is not bool(self.away):
            log.warning("%s", self.away or f"Kafka at {self._settings.kafka} answers")

    def _trouble(self, error: KafkaError) -> None:
        self._suspect = True
        if error.fatal():
            self._on_fatal(f"the Kafka client cannot go on: {error.str()}; start the collector again")

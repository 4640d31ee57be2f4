"""Publishes messages from a thread, at a steady rate, whatever happens to the broker meanwhile."""

import queue
import threading
import time

from confluent_kafka import KafkaError

from schemas.topics import EVENTS
from sources.publish import HEADERS
from streams.runtime import clients
from streams.runtime.settings import Settings
from tests.chaos.feed import Message
from tests.chaos.watch import QUIET

#: Header with the message's number in the feed: how it is recognised in the log.
NUMBER = "chaos-number"
_STEP = 25


class Publisher:
    """`send` hands messages over, `flush` waits until the broker has them all. Raises in `flush` if one was refused."""

    def __init__(self, settings: Settings, rate: float) -> None:
        """`rate` in messages per second."""
        # Without a limit on retries: an idempotent producer neither loses nor doubles over a broker's restart.
        self._producer = clients.producer(settings, **QUIET, **{"message.timeout.ms": 0})
        self._rate = rate
        self._waiting: queue.SimpleQueue[list[Message] | None] = queue.SimpleQueue()
        #: Messages given to `send`, and those of them handed to the client.
        self._given = self._handed = 0
        self._failed: KafkaError | None = None
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def send(self, messages: list[Message]) -> None:
        """Publish these behind everything sent before."""
        self._given += len(messages)
        self._waiting.put(messages)

    @property
    def idle(self) -> bool:
        """True when everything sent has been handed to the client."""
        return self._handed == self._given

    def flush(self, timeout_s: float) -> None:
        """Wait until the broker has everything."""
        deadline = time.monotonic() + timeout_s
        while not self.idle or self._producer.flush(0.2):
            assert time.monotonic() < deadline, f"the broker has not taken everything within {timeout_s:.0f} s"
            time.sleep(0.02)
        assert self._failed is None, f"a message was refused: {self._failed}"

    def close(self) -> None:
        """End the thread."""
        self._waiting.put(None)
        self._thread.join()
        self._producer.purge()
        self._producer.flush(1)

    def _run(self) -> None:
        while (messages := self._waiting.get()) is not None:
            started = time.monotonic()
            for sent, message in enumerate(messages):
                self._produce(message)
                self._handed += 1
                if sent % _STEP == 0:
                    self._producer.poll(max(0.0, started + sent / self._rate - time.monotonic()))

    def _produce(self, message: Message) -> None:
        headers = [*HEADERS, (NUMBER, str(message.number).encode())]
        where = {} if message.partition is None else {"partition": message.partition}
        while True:
            try:
                self._producer.produce(
                    EVENTS.name, message.value, message.key, headers=headers, on_delivery=self._delivered, **where
                )
                return
            except BufferError:
                self._producer.poll(0.05)

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._failed = self._failed or error

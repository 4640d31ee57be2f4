"""The job in a loop around confluent-kafka: one thread, sums and recent ids in dictionaries, nothing to come back to.

Every COMMIT_S seconds it publishes the sums that changed, waits for every delivery, and commits. It keeps the sums of
each of its partitions apart, so that several such processes could share the work.
"""

import signal
import sys
import time
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer

from bench.peers.job import COMMIT_S, RECENT, Job, Start, bucket_of, identity, load, scored

_BATCH = 1000
_POLL_S = 0.1
_FLUSH_S = 60.0


class Loop:
    """Consumer, producer and what is remembered."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._start = Start()
        # Without the last of these librdkafka stalls for a second whenever its queue is full.
        self.consumer = Consumer(
            {
                "bootstrap.servers": job.bootstrap,
                "group.id": job.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 10,
            }
        )
        self.consumer.subscribe([job.events])
        self._producer = Producer({"bootstrap.servers": job.bootstrap, "enable.idempotence": True, "linger.ms": 5})
        self._recent: dict[bytes, list[str]] = {}
        self._sums: dict[tuple[int, str, int], list[Any]] = {}
        self._changed: set[tuple[int, str, int]] = set()
        self._moved = False

    def apply(self, message: Any) -> None:
        """One message."""
        if message.error():
            raise SystemExit(f"error: {message.error()}")
        self._start()
        self._moved = True
        event = orjson.loads(message.value())
        ids, this = self._recent.setdefault(message.key(), []), identity(event)
        if this in ids:
            return
        ids.append(this)
        if len(ids) > RECENT:
            del ids[0]
        x = self._job.x(event["data"])
        result = scored(event, x)
        self._publish(self._job.scored, message.key(), result)
        cell = message.partition(), result["touchpoint"], bucket_of(result["time"])
        total = self._sums.setdefault(cell, [0, 0.0])
        total[0] += 1
        total[1] += x or 0.0
        self._changed.add(cell)

    def commit(self) -> None:
        """Publish the sums that changed, see everything delivered, commit."""
        for part, touchpoint, bucket in self._changed:
            n, x = self._sums[part, touchpoint, bucket]
            value = {"part": part, "touchpoint": touchpoint, "bucket": bucket, "n": n, "x": x}
            self._publish(self._job.sums, f"{part} {touchpoint} {bucket}".encode(), value)
        if self._producer.flush(_FLUSH_S):
            raise SystemExit("error: Kafka does not take the results")
        self._changed.clear()
        if self._moved:
            self.consumer.commit(asynchronous=False)
            self._moved = False

    def _publish(self, topic: str, key: bytes, value: dict[str, Any]) -> None:
        while True:
            try:
                self._producer.produce(topic, orjson.dumps(value), key)
                break
            except BufferError:
                self._producer.poll(0.05)
        self._producer.poll(0)


def main() -> None:
    """Until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    loop = Loop(load())
    due = time.monotonic() + COMMIT_S
    while True:
        for message in loop.consumer.consume(_BATCH, _POLL_S):
            loop.apply(message)
        if time.monotonic() >= due:
            loop.commit()
            due = time.monotonic() + COMMIT_S


if __name__ == "__main__":
    main()

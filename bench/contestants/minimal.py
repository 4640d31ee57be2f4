"""Contestant: the least that may be called the same: decode, x, sums per touchpoint and bucket in a dict.

No output for each event, no segments, no duplicates, no state to come back to: the ceiling of one Python process.
"""

import signal
import time

import msgspec
from confluent_kafka import TopicPartition

from bench.contestants import BATCH, READY
from bench.contestants.by_hand import POLL_RECORDS, POLL_S, flush
from schemas import topics
from schemas.errors import StopProcess
from schemas.event import TouchpointEvent
from schemas.loader import load_map
from streams.model.places import Places
from streams.model.slices import bucket_of
from streams.runtime import clients
from streams.runtime.settings import Settings, load_settings

_decode = msgspec.json.Decoder(TouchpointEvent).decode
_encode = msgspec.json.Encoder().encode


def run(settings: Settings) -> None:
    """Until SIGTERM."""
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    places = Places(load_map(settings.map))
    consumer = clients.consumer(settings, settings.worker_group)
    consumer.subscribe([topics.EVENTS.name], on_assign=lambda *_: print(READY, flush=True))
    producer = clients.producer(settings, **{"delivery.report.only.error": True})
    sums: dict[tuple[str, int], list[float]] = {}
    dirty: set[tuple[str, int]] = set()
    due = time.monotonic() + settings.checkpoint_interval
    records = batches = 0
    positions: dict[int, int] = {}
    while running:
        messages = consumer.consume(POLL_RECORDS, POLL_S)
        records += len(messages)
        batches += bool(messages)
        for message in messages:
            value = message.value()
            if value is None:
                raise StopProcess("the events of a contest all have a value")
            positions[message.partition() or 0] = (message.offset() or 0) + 1
            event = _decode(value)
            cell = event.data.touchpoint, bucket_of(event.time.timestamp())
            x = places.find(event.tenant, event.data).scorer(event.data).x
            row = sums.get(cell)
            if row is None:
                row = sums[cell] = [0, 0.0, 0.0, 0]
            dirty.add(cell)
            row[0] += 1
            if x is not None:
                row[1] += x
                row[2] += x * x
                row[3] += x < 0.4
        if time.monotonic() >= due:
            for cell in dirty:
                producer.produce(topics.SLICES.name, _encode(sums[cell]), _encode(cell))
            dirty.clear()
            flush(producer)
            if positions:
                ends = [TopicPartition(topics.EVENTS.name, *end) for end in positions.items()]
                consumer.commit(offsets=ends, asynchronous=False)
                positions.clear()
            due = time.monotonic() + settings.checkpoint_interval
    print(BATCH, records / max(batches, 1), flush=True)
    consumer.close()


if __name__ == "__main__":
    run(load_settings())

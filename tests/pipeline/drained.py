"""Waiting until everything published has travelled through the whole pipeline."""

import time

from confluent_kafka import Consumer, TopicPartition

from schemas import topics
from streams.runtime import clients
from streams.runtime.settings import Settings


def _lag(reader: Consumer, names: list[str]) -> int:
    """Records in the topics that the reader's group has not acknowledged."""
    lag = 0
    for name in names:
        count = len(reader.list_topics(name, timeout=10).topics[name].partitions)
        places = [TopicPartition(name, partition) for partition in range(count)]
        for place in reader.committed(places, timeout=10):
            _, high = reader.get_watermark_offsets(place, timeout=10)
            lag += high - max(place.offset, 0)
    return lag


def wait_until_drained(settings: Settings, timeout_s: float = 180.0) -> None:
    """Return when every event has become its results and every result is in ClickHouse.

    Looked at in the order of the flow: what stands behind a stage without lag has been published completely.
    """
    deadline = time.monotonic() + timeout_s
    worker, sink = clients.consumer(settings, settings.worker_group), clients.consumer(settings, settings.sink_group)
    stages = [
        ("ingest", worker, [topics.EVENTS.name, topics.REKEYED.name]),
        ("score", worker, [topics.SLICES.name]),
        ("sink", sink, [topic.name for topic in topics.RESULTS]),
    ]
    try:
        for stage, reader, names in stages:
            while lag := _lag(reader, names):
                assert time.monotonic() < deadline, f"{stage} still lags by {lag} records after {timeout_s:.0f} s"
                time.sleep(0.05)
    finally:
        worker.close()
        sink.close()

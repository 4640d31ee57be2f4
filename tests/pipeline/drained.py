"""Waiting until everything published has travelled through the whole pipeline."""

import time

import msgspec
from confluent_kafka import Consumer, TopicPartition

from schemas import topics
from schemas.heard import Heard
from schemas.slice import Progress, Slice
from schemas.transition import TransitionSlice
from streams.runtime import clients
from streams.runtime.partitioner import partitioner
from streams.runtime.settings import Settings
from tests.conftest import TooLateError


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


def _idle(settings: Settings) -> bool:
    """Whether every input partition has said that it expects nothing: then no score is held back any more."""
    reader = clients.consumer(settings, f"{settings.group}.drained", **{"enable.partition.eof": True})
    try:
        count = len(reader.list_topics(topics.SLICES.name, timeout=10).topics[topics.SLICES.name].partitions)
        # Progress goes to every partition; one without slices of the default tenant is short.
        quiet = (partitioner(count)(b"default") + 1) % count
        low, _ = reader.get_watermark_offsets(TopicPartition(topics.SLICES.name, quiet), timeout=10)
        reader.assign([TopicPartition(topics.SLICES.name, quiet, low)])
        newest: dict[str, float | None] = {}
        while (message := reader.poll(10)) is not None and message.error() is None:
            progress = msgspec.json.decode(message.value(), type=Slice | TransitionSlice | Heard | Progress)
            if isinstance(progress, Progress):
                newest[progress.origin] = progress.watermark
        return bool(newest) and all(watermark is None for watermark in newest.values())
    finally:
        reader.close()


def wait_until_drained(settings: Settings, timeout_s: float = 900.0) -> None:
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
            while stage == "score" and not _idle(settings):
                if time.monotonic() > deadline:
                    raise TooLateError(f"ingest is not idle after {timeout_s:.0f} s")
                time.sleep(0.2)
            while lag := _lag(reader, names):
                if time.monotonic() > deadline:
                    raise TooLateError(f"{stage} still lags by {lag} records after {timeout_s:.0f} s")
                time.sleep(0.05)
    finally:
        worker.close()
        sink.close()

"""Simulated events as records of the partitions they belong to, until there are as many journeys as asked for."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.errors import StopProcess
from sources.publish import encode
from sources.simulate import simulate
from sources.simulator.corridor import EVENTS_PER_JOURNEY
from streams.runtime.partitioner import partitioner

SEED = 7
#: All arrive within this time, seconds: well below what lets a journey leave memory.
SPAN_S = 600.0
_HEADERS: tuple[tuple[str, bytes | None], ...] = (("content-type", b"application/cloudevents+json"),)


class Record(NamedTuple):
    """A Kafka record as the model sees it; `timestamp` is in milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = _HEADERS


@dataclass(slots=True)
class Batch:
    """Records by partition, in the order of their offsets, and how many journeys there are so far."""

    journeys: int = 0
    records: dict[int, list[Record]] = field(default_factory=dict)


def records(journeys: int, partitions: int, at_a_time: int) -> Iterator[Batch]:
    """Batches of at most `at_a_time` events of exactly `journeys` journeys, that end about now.

    Whatever their number, they begin evenly over SPAN_S: how far they have come does not depend on it.
    """
    partition_of = partitioner(partitions)
    offsets = [0] * partitions
    seen: set[tuple[str, str, str]] = set()
    batch, count = Batch(), 0
    for at, event in simulate(SEED, time.time() - SPAN_S - 60.0, journeys * EVENTS_PER_JOURNEY / SPAN_S, flat=True):
        key = (event.tenant, event.subject, event.data.journey or event.subject)
        if len(seen) == journeys and key not in seen:
            break
        seen.add(key)
        partition = partition_of(event.subject.encode())
        record = Record(offsets[partition], round(at * 1000), event.subject.encode(), encode(event))
        batch.records.setdefault(partition, []).append(record)
        offsets[partition] += 1
        count += 1
        if count == at_a_time:
            batch.journeys = len(seen)
            yield batch
            batch, count = Batch(), 0
    if len(seen) < journeys:
        raise StopProcess(f"the simulator ended after {len(seen)} journeys")
    batch.journeys = len(seen)
    yield batch

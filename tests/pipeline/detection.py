"""The judge of what the detect agent did: its input read again from the log, and applied without any interruption."""

import time
from typing import Any

import msgspec
from confluent_kafka import TopicPartition

from schemas import topics
from schemas.corridor import CorridorMap
from schemas.incident import Incident
from streams.agents.ingest import LANES
from streams.model.detect.partition import Detection
from streams.runtime import clients
from streams.runtime.settings import Settings
from streams.runtime.state_log import read_back

#: Idle lanes say so every 5 s, and only after three times the last buckets are settled.
_PATIENCE_S = 60.0
_TIMEOUT_S = 30.0
Incidents = dict[str, Incident]
Log = list[tuple[int, bytes, bytes]]


def unlike(settings: Settings, client: Any, corridor: CorridorMap) -> tuple[int, list[str]]:
    """How many incidents there were, and what is not as it must be; nothing but notes of idleness may still come.

    Each incident in ClickHouse has to be the one told last, field by field, and no other may be there; and the state
    that was stored, with what came after it, has to be the state of a run that was never interrupted.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        expected, wrong = _expected(settings, corridor)
        found = {row.id: row for row in _stored(client)}
        wrong += [
            f"incident {name}: {found.get(name)} instead of {expected.get(name)}"
            for name in sorted(expected.keys() | found.keys())
            if found.get(name) != expected.get(name)
        ]
        if not wrong or time.monotonic() > deadline:
            return len(expected), wrong
        time.sleep(1.0)


def _expected(settings: Settings, corridor: CorridorMap) -> tuple[Incidents, list[str]]:
    reader = clients.consumer(settings, f"{settings.group}.judge", **{"enable.partition.eof": True})
    try:
        inputs, slices = (
            len(reader.list_topics(topic.name, timeout=_TIMEOUT_S).topics[topic.name].partitions)
            for topic in (topics.EVENTS, topics.SLICES)
        )
        origins = [f"{topic}/{partition}" for topic in LANES for partition in range(inputs)]
        incidents: Incidents = {}
        wrong = []
        for partition in range(slices):
            log = _read(reader, partition)
            whole, interrupted = Detection(corridor, origins), Detection(corridor, origins)
            interrupted.restore(read_back(settings, topics.STATE_DETECT.name, partition))
            for offset, key, value in log:
                for each in (whole, interrupted):
                    each.apply(offset, key, value)
                    while each.settle():
                        pass
            incidents |= {incident.id: incident for incident in whole.take_told()}
            if _state(whole) != _state(interrupted):
                wrong.append(f"{topics.STATE_DETECT.name}/{partition} is not the state of an undisturbed run")
        return incidents, wrong
    finally:
        reader.close()


def _state(detection: Detection) -> dict[str, Any]:
    """Everything it would tell from now on depends on this."""
    return {
        name: {watching: msgspec.to_builtins(each.state) for watching, each in tenant.detectors._detectors.items()}
        for name, tenant in detection._tenants.items()
    }


def _read(reader: Any, partition: int) -> Log:
    place = TopicPartition(topics.SLICES.name, partition, 0)
    reader.assign([place])
    log: Log = []
    while (message := reader.poll(_TIMEOUT_S)) is not None and message.error() is None:
        log.append((message.offset(), message.key(), message.value()))
    return log


def _stored(client: Any) -> list[Incident]:
    """The incidents that readers of ClickHouse see."""
    epoch = {"since", "detected_at", "updated_at", "resolved_at", "ended_at"}
    columns = ", ".join(
        f"toUnixTimestamp({name}) AS {name}" if name in epoch else f"i.{name}" for name in Incident.__struct_fields__
    )
    result = client.query(f"SELECT {columns} FROM all_incidents AS i")
    rows = (dict(zip(Incident.__struct_fields__, row, strict=True)) for row in result.result_rows)
    return [msgspec.convert(row, Incident) for row in rows]

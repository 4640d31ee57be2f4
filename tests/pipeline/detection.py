"""The judge of what the detect agent did: its input read again from the log, and applied without any interruption."""

import time
from dataclasses import dataclass, field
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
Log = list[tuple[int, bytes, bytes]]


def unlike(settings: Settings, client: Any, corridor: CorridorMap) -> tuple[int, list[str]]:
    """How many incidents there were, and what is not as it must be; nothing but notes of idleness may still come.

    Each incident in ClickHouse has to be the one told last, field by field, and no other may be there; and the state
    that was stored, with what came after it, has to be the state of a run that was never interrupted.
    """
    deadline = time.monotonic() + _PATIENCE_S
    reader = clients.consumer(settings, f"{settings.group}.judge", **{"enable.partition.eof": True})
    try:
        inputs, slices = (
            len(reader.list_topics(topic.name, timeout=_TIMEOUT_S).topics[topic.name].partitions)
            for topic in (topics.EVENTS, topics.SLICES)
        )
        origins = [f"{topic}/{partition}" for topic in LANES for partition in range(inputs)]
        undisturbed = [_Undisturbed(partition, Detection(corridor, origins)) for partition in range(slices)]
        while True:
            wrong = [wrong for each in undisturbed for wrong in each.unlike(reader, settings, corridor, origins)]
            expected = {name: incident for each in undisturbed for name, incident in each.incidents.items()}
            found = {row.id: row for row in _stored(client)}
            wrong += [
                f"incident {name}: {found.get(name)} instead of {expected.get(name)}"
                for name in sorted(expected.keys() | found.keys())
                if found.get(name) != expected.get(name)
            ]
            if not wrong or time.monotonic() > deadline:
                return len(expected), wrong
            time.sleep(1.0)
    finally:
        reader.close()


@dataclass
class _Undisturbed:
    """The detection of a partition that nothing ever interrupted; it goes on where it was when the log has grown."""

    partition: int
    whole: Detection
    incidents: dict[str, Incident] = field(default_factory=dict)
    log: Log = field(default_factory=list)

    def unlike(self, reader: Any, settings: Settings, corridor: CorridorMap, origins: list[str]) -> list[str]:
        """What of the stored state is not as it must be."""
        new = _read(reader, self.partition, self.log[-1][0] + 1 if self.log else 0)
        self.log += new
        _go_on(self.whole, new)
        self.incidents |= {incident.id: incident for incident in self.whole.take_told()}
        interrupted = Detection(corridor, origins)
        interrupted.restore(read_back(settings, topics.STATE_DETECT.name, self.partition))
        _go_on(interrupted, self.log)
        if _state(self.whole) == _state(interrupted):
            return []
        return [f"{topics.STATE_DETECT.name}/{self.partition} is not the state of an undisturbed run"]


def _go_on(detection: Detection, log: Log) -> None:
    for offset, key, value in log:
        detection.apply(offset, key, value)
        while detection.settle():
            pass


def _state(detection: Detection) -> dict[str, Any]:
    """Everything it would tell from now on depends on this."""
    return {
        name: (
            {watching: msgspec.to_builtins(each.state) for watching, each in tenant.detectors._detectors.items()},
            msgspec.to_builtins(tenant.sources.state),
        )
        for name, tenant in detection._tenants.items()
    }


def _read(reader: Any, partition: int, start: int) -> Log:
    place = TopicPartition(topics.SLICES.name, partition, start)
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

"""How far the consumer groups have come, seen from outside."""

from confluent_kafka import Consumer, TopicPartition

from schemas import topics
from streams.runtime import clients
from streams.runtime.settings import Settings

_TIMEOUT_S = 2.0
#: For clients that live through outages made on purpose: no log, quick to come back.
QUIET = {"log_level": 0, "reconnect.backoff.max.ms": 500}
#: Offset after the last record, or acknowledged, by partition.
Offsets = dict[int, int]


class Watch:
    """Positions of the worker group and the sink group. A broker that does not answer raises KafkaException."""

    def __init__(self, settings: Settings) -> None:
        self._readers = {
            group: clients.consumer(settings, group, **QUIET) for group in (settings.worker_group, settings.sink_group)
        }
        self._any: Consumer = self._readers[settings.worker_group]
        self._worker, self._sink = settings.worker_group, settings.sink_group
        self._counts: dict[str, int] = {}

    def _places(self, topic: str) -> list[TopicPartition]:
        if topic not in self._counts:
            self._counts[topic] = len(self._any.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions)
        return [TopicPartition(topic, partition) for partition in range(self._counts[topic])]

    def ends(self, topic: str) -> Offsets:
        """Where each partition ends."""
        return {
            place.partition: self._any.get_watermark_offsets(place, timeout=_TIMEOUT_S)[1]
            for place in self._places(topic)
        }

    def _committed(self, group: str, topic: str) -> Offsets:
        answer = self._readers[group].committed(self._places(topic), timeout=_TIMEOUT_S)
        return {place.partition: max(place.offset, 0) for place in answer}

    def acknowledged(self) -> int:
        """Events that the workers have acknowledged."""
        return sum(self._committed(self._worker, topics.EVENTS.name).values())

    def marks(self) -> tuple[Offsets, Offsets]:
        """Where input and results end now: what `passed` waits for."""
        return self.ends(topics.EVENTS.name), self.ends(topics.SCORED.name)

    def passed(self, marks: tuple[Offsets, Offsets]) -> bool:
        """Whether workers and sinks have acknowledged everything before `marks`."""
        events, scored = marks
        return _reached(self._committed(self._worker, topics.EVENTS.name), events) and _reached(
            self._committed(self._sink, topics.SCORED.name), scored
        )

    def state_size(self) -> int:
        """Offsets used in the changelog: grows while a checkpoint writes."""
        return sum(self.ends(topics.STATE_INGEST.name).values())

    def close(self) -> None:
        """Close the connections."""
        for reader in self._readers.values():
            reader.close()


def _reached(committed: Offsets, marks: Offsets) -> bool:
    return all(committed.get(partition, 0) >= offset for partition, offset in marks.items())


__all__ = ["QUIET", "Offsets", "Watch"]

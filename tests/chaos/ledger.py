"""What Kafka really holds: the true order of what was published, read back from the log."""

from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicPartition

from schemas import topics
from streams.model.ingest import ORIGIN_HEADER
from streams.runtime import clients
from streams.runtime.patience import CHANGING
from streams.runtime.settings import Settings
from tests.chaos.publisher import NUMBER
from tests.chaos.watch import QUIET

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of `touchpoint.events`, or of `corredor.rekeyed`: then `source` is where it was published."""

    partition: int
    offset: int
    #: Arrival, epoch seconds.
    received_at: float
    #: Its number in the feed.
    number: int
    #: Partition and offset in `touchpoint.events`.
    source: tuple[int, int]


class Ledger:
    """Both logs that feed the workers; every `catch_up` reads on to the end."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self.events: list[Entry] = []
        self.rekeyed: list[Entry] = []
        self._partitions = partitions
        self._reader = clients.consumer(settings, f"{settings.group}.chaos", **QUIET)
        self._reader.assign(
            [
                TopicPartition(topic.name, partition, 0)
                for topic in (topics.EVENTS, topics.REKEYED)
                for partition in range(partitions)
            ]
        )

    def catch_up(self) -> None:
        """Read both topics to their ends; nothing may be writing to them."""
        places = self._reader.assignment()
        ends = {
            (place.topic, place.partition): self._reader.get_watermark_offsets(place, timeout=_TIMEOUT_S)[1]
            for place in places
        }
        while any(ends[place.topic, place.partition] > max(place.offset, 0) for place in self._reader.position(places)):
            messages = self._reader.consume(10_000, timeout=1.0)
            for message in messages:
                error = message.error()
                if error is None:
                    self._note(message)
                elif error.code() not in CHANGING:
                    raise KafkaException(error)

    def _note(self, message: object) -> None:
        headers = dict(message.headers())  # type: ignore[attr-defined]
        partition, offset = message.partition(), message.offset()  # type: ignore[attr-defined]
        received_at = message.timestamp()[1] / 1000.0  # type: ignore[attr-defined]
        number = int(headers[NUMBER])
        if message.topic() == topics.EVENTS.name:  # type: ignore[attr-defined]
            self.events.append(Entry(partition, offset, received_at, number, (partition, offset)))
        else:
            origin, _, at = headers[ORIGIN_HEADER].decode().partition(":")
            self.rekeyed.append(Entry(partition, offset, received_at, number, (int(origin), int(at))))

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

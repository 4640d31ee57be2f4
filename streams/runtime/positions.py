"""Where a group stands in its input, and whether anything it needs is gone."""

from collections.abc import Iterable

from confluent_kafka import KafkaException, TopicPartition

from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.settings import Settings

_TIMEOUT_S = 30.0
#: A topic and a partition.
Place = tuple[str, int]


class Positions:
    """Committed positions and log starts of some partitions, as they were when fetched."""

    def __init__(self, committed: dict[Place, int], starts: dict[Place, int], short: bool) -> None:
        self.committed = committed
        self._starts = starts
        self._short = short

    @classmethod
    def fetch(cls, settings: Settings, group: str, places: Iterable[Place]) -> "Positions":
        """Ask the cluster. Blocks; raises StopProcess if it does not answer within 30 s."""
        reader = clients.consumer(settings, group)
        try:
            wanted = [TopicPartition(topic, partition) for topic, partition in places]
            committed = {
                (place.topic, place.partition): max(place.offset, 0)
                for place in reader.committed(wanted, timeout=_TIMEOUT_S)
            }
            starts = {
                (place.topic, place.partition): reader.get_watermark_offsets(place, timeout=_TIMEOUT_S)[0]
                for place in wanted
            }
        except KafkaException as error:
            raise StopProcess(f"the positions of group {group} cannot be read from Kafka: {error}") from error
        finally:
            reader.close()
        return cls(committed, starts, settings.kafka_paced)

    def of(self, topic: str, partition: int) -> int:
        """The committed position; 0 where nothing was committed."""
        return self.committed.get((topic, partition), 0)

    def moved(self, committed: dict[Place, int]) -> "Positions":
        """These positions, but for the places of `committed`."""
        return Positions(self.committed | committed, self._starts, self._short)

    def check(self, topic: str, partition: int, applied: int) -> None:
        """Raise StopProcess if the state knows less than was acknowledged, or the log has lost what comes next."""
        committed = self.of(topic, partition)
        if committed > applied + 1:
            raise StopProcess(
                f"{topic}/{partition}: the group has acknowledged everything before offset {committed}, but the state "
                f"read back ends at {applied}. The state's changelog was deleted or cut. To build it anew, reset the "
                "group's offsets to the earliest (kafka-consumer-groups --reset-offsets --to-earliest)"
            )
        start = self._starts.get((topic, partition), 0)
        if start > max(committed, applied + 1) and (self._short or committed or applied >= 0):
            raise StopProcess(
                f"{topic}/{partition}: offsets {max(committed, applied + 1)} to {start - 1} were deleted from Kafka "
                "before they were read; their events are lost. Keep the topic longer, or reset the group's offsets "
                "to go on without them"
            )


def check_gap(settings: Settings, topic: str, partition: int, expected: int, got: int) -> None:
    """See that no record stands between `expected` and `got`: compaction and transactions leave such gaps.

    Blocks. Raises StopProcess if there are records that were skipped, if the log lost them, or if another worker has
    the partition by now.
    """
    positions = Positions.fetch(settings, settings.worker_group, [(topic, partition)])
    if (committed := positions.of(topic, partition)) > expected:
        raise StopProcess(
            f"{topic}/{partition}: another worker has acknowledged everything before offset {committed}, this one has "
            f"come to {expected}: it was silent for longer than CORREDOR_SESSION_TIMEOUT; a new start takes part again"
        )
    positions.check(topic, partition, expected - 1)
    reader = clients.consumer(settings, f"{settings.group}.gap")
    try:
        low, _ = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_S)
        reader.assign([TopicPartition(topic, partition, max(low, expected))])
        message = reader.poll(_TIMEOUT_S)
    finally:
        reader.close()
    if message is None or message.error() is not None:
        raise StopProcess(f"{topic}/{partition}: offset {expected} cannot be read to check a gap before {got}")
    if message.offset() < got:
        raise StopProcess(
            f"{topic}/{partition}: the records from offset {message.offset()} to {got - 1} did not reach the agent; "
            "a new start reads them again"
        )

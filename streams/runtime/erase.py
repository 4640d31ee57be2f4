"""To forget a customer in Kafka's logs: find the records, wait for their readers, and have Kafka drop them.

Kafka can drop the beginning of a partition (DeleteRecords), or of a compacted topic what newer records of the same key
replace. So a topic is cut behind the last record of the subject, once everybody has read that far; a changelog, whose
beginning is needed, is compacted at once.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, ResourceType

from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.log_reader import reader, stretch
from streams.runtime.positions import Place
from streams.runtime.settings import Settings
from streams.runtime.topics_admin import configure

_TIMEOUT_S = 30.0
#: A segment is rolled by the first record after its second.
_LOOK_S = 1.0
#: A key that no state has: rolls the segment it is written to, and is gone with the next compaction.
_FILLER = b"."
#: How long a deleted key is kept: whoever reads the changelog back meanwhile must still see that it was deleted.
TOMBSTONES_S = 60.0

Holds = Callable[[Message], bool]


@dataclass(frozen=True, slots=True)
class Found:
    """Records of a partition that hold the subject: how many, and the offset after the last."""

    count: int
    after: int


def _group(settings: Settings) -> str:
    return f"{settings.group}.forget"


def ends(settings: Settings, topics: Iterable[str]) -> dict[Place, int]:
    """The next offset of every partition of these topics, now. Raises StopProcess if Kafka does not answer."""
    with reader(settings, _group(settings)) as consumer:
        metadata = consumer.list_topics(timeout=_TIMEOUT_S).topics
        places = [(topic, number) for topic in topics if topic in metadata for number in metadata[topic].partitions]
        return {
            place: consumer.get_watermark_offsets(TopicPartition(*place), timeout=_TIMEOUT_S)[1] for place in places
        }


def unread(settings: Settings, group: str, until: dict[Place, int]) -> int:
    """How many records before these offsets the group has not acknowledged; markers of transactions do not count."""
    with reader(settings, group) as consumer:
        wanted = [TopicPartition(*place) for place in until]
        left = 0
        for place in consumer.committed(wanted, timeout=_TIMEOUT_S):
            end = until[place.topic, place.partition]
            low, _ = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
            start = max(place.offset, low)
            if start < end:
                left += sum(1 for _ in stretch(consumer, place.topic, place.partition, start, end))
        return left


def records(settings: Settings, until: dict[Place, int]) -> Iterator[Message]:
    """The records of these partitions up to these offsets, one partition after the other."""
    with reader(settings, _group(settings)) as consumer:
        for (topic, partition), end in until.items():
            low, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_S)
            yield from stretch(consumer, topic, partition, low, end)


def find(settings: Settings, until: dict[Place, int], holds: Holds) -> dict[Place, Found]:
    """What of these partitions, up to these offsets, holds the subject; those without such a record are left out."""
    found: dict[Place, Found] = {}
    for message in records(settings, until):
        if holds(message):
            place = (message.topic(), message.partition())
            before = found.get(place)
            found[place] = Found(1 if before is None else before.count + 1, message.offset() + 1)
    return found


def behind(settings: Settings, place: Place, offset: int) -> list[str]:
    """Groups, of whatever program, that have read this partition and have not come as far as `offset`."""
    client = clients.admin(settings)
    groups = [group.group_id for group in client.list_consumer_groups(request_timeout=_TIMEOUT_S).result().valid]
    found = []
    for group in sorted(groups):
        with reader(settings, group) as consumer:
            (committed,) = consumer.committed([TopicPartition(*place)], timeout=_TIMEOUT_S)
        if 0 <= committed.offset < offset:
            found.append(group)
    return found


def cut(settings: Settings, places: dict[Place, int]) -> None:
    """Drop everything before these offsets, for good. Raises StopProcess if Kafka refuses."""
    wanted = [TopicPartition(*place, offset) for place, offset in places.items()]
    # Its answers come only as long as the client is held.
    client = clients.admin(settings)
    for place, future in client.delete_records(wanted, request_timeout=_TIMEOUT_S).items():
        try:
            future.result()
        except KafkaException as error:
            raise StopProcess(
                f"Kafka did not drop the beginning of {place.topic}/{place.partition}: {error.args[0].str()}; "
                "this client needs the right to DELETE in that topic. Then: corredor forget --resume"
            ) from None


def compact(
    settings: Settings,
    topic: str,
    holds: Holds,
    until: float,
    tombstones_s: float = TOMBSTONES_S,
    tell: Callable[[int], None] = lambda left: None,
) -> int:
    """Have Kafka compact a changelog until nothing in it holds the subject; returns how many records did.

    For that time the topic rolls its segments each second and compacts them at once; then its configuration is what it
    was. `until` is a deadline, monotonic seconds. Raises StopProcess if it is not enough, or Kafka refuses.
    """
    most = 0
    with _compacted_at_once(settings, topic, tombstones_s):
        producer = clients.producer(settings)
        while True:
            found = find(settings, ends(settings, [topic]), holds)
            left = sum(item.count for item in found.values())
            most = max(most, left)
            tell(left)
            if not found:
                return most
            if time.monotonic() > until:
                raise StopProcess(
                    f"{topic} still holds {left} records of the subject: Kafka's log cleaner has not come round. See "
                    "whether it runs (log.cleaner.enable, its log). Then: corredor forget --resume"
                )
            for place in found:
                producer.produce(topic, key=_FILLER, value=None, partition=place[1])
            if producer.flush(_TIMEOUT_S):
                raise StopProcess(f"Kafka does not take records for {topic}. Then: corredor forget --resume")
            time.sleep(_LOOK_S)


@contextmanager
def _compacted_at_once(settings: Settings, topic: str, tombstones_s: float) -> Iterator[None]:
    """Configure the topic so that it is compacted at once; afterwards it is as it was."""
    ours = {
        "min.cleanable.dirty.ratio": "0.0",
        "segment.ms": "1000",
        "max.compaction.lag.ms": "1000",
        "delete.retention.ms": str(round(tombstones_s * 1000)),
    }
    client = clients.admin(settings)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (future,) = client.describe_configs([resource], request_timeout=_TIMEOUT_S).values()
    before = dict.fromkeys(ours)
    for name, entry in future.result().items():
        # What is exactly ours was left by a run that was killed.
        if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value and entry.value != ours.get(name, entry.value):
            before[name] = entry.value
    _alter(client, topic, ours)
    try:
        yield
    finally:
        _alter(client, topic, before)


def _alter(client: AdminClient, topic: str, values: Mapping[str, str | None]) -> None:
    """Set the topic's configuration; None goes back to the cluster's default. Raises StopProcess if Kafka refuses."""
    try:
        configure(client, topic, values)
    except KafkaException as error:
        raise StopProcess(
            f"the configuration of {topic} cannot be changed, which compacting it at once needs: "
            f"{error.args[0].str()}; this client needs the right to ALTER_CONFIGS. Then: corredor forget --resume"
        ) from None

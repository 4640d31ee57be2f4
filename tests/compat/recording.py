"""What one version left in Kafka when it was killed in the middle of its work, and how that gets into another Kafka."""

import lzma
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import ConfigResource, ResourceType

from schemas import topics
from streams.agents.ingest import LANES
from streams.runtime import clients
from streams.runtime.settings import Settings
from streams.runtime.topics_admin import configure
from tests.conftest import wait_until

FOLDER = Path(__file__).resolve().parent
_FILE = "recording.msgpack.xz"
_TIMEOUT_S = 30.0
#: Their offsets stand in the state, in positions and in versions: every record is kept, at its offset.
WHOLE = (*LANES, topics.SLICES.name)
_ALL = (*WHOLE, *(topic.name for topic in topics.ALL if topic.name not in WHOLE))


class Logged(msgspec.Struct, array_like=True):
    """One record; `at` is its timestamp in milliseconds."""

    at: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Recording(msgspec.Struct):
    """Everything that the next worker starts from, and what a judge has to know."""

    version: str
    partitions: int
    #: The corridor map, as YAML.
    map: str
    #: By topic and partition; of compacted topics, but for `WHOLE`, the newest record of each key.
    logs: dict[str, list[list[Logged]]]
    #: What the group of the workers had acknowledged.
    positions: dict[str, list[int]]
    #: Numbers of the messages that have to be rejected.
    rejected: list[int]

    @classmethod
    def load(cls, version: str) -> "Recording":
        """The recording of a version, from its folder."""
        return msgspec.msgpack.decode(lzma.decompress((FOLDER / version / _FILE).read_bytes()), type=cls)

    def store(self, folder: Path) -> int:
        """Write it below `folder`, into a folder named by the version; returns the bytes."""
        file = folder / self.version / _FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.write_bytes(lzma.compress(msgspec.msgpack.encode(self), preset=9 | lzma.PRESET_EXTREME))

    def pour(self, settings: Settings) -> None:
        """Put it into a cluster that has our topics, empty, with so many partitions; for the group of `settings`."""
        _keep_as_recorded(settings)
        producer = clients.producer(settings)
        for topic, partitions in self.logs.items():
            for number, log in enumerate(partitions):
                for each in log:
                    producer.produce(topic, each.value, each.key, number, timestamp=each.at, headers=each.headers)
                assert producer.flush(_TIMEOUT_S) == 0
        with closing(clients.consumer(settings, settings.worker_group)) as group:
            for topic, partitions in self.logs.items():
                for number, log in enumerate(partitions):
                    ends = group.get_watermark_offsets(TopicPartition(topic, number), timeout=_TIMEOUT_S)
                    assert ends == (0, len(log)), (topic, number, ends)
        with closing(clients.consumer(settings, "poured", **{"enable.partition.eof": True})) as reader:
            for topic in WHOLE:
                for number, log in enumerate(self.logs[topic]):
                    assert list(_read(reader, topic, number)) == log, f"{topic}/{number} is not what was recorded"
        with closing(clients.consumer(settings, settings.worker_group)) as group:
            places = [
                TopicPartition(topic, number, offset)
                for topic, offsets in self.positions.items()
                for number, offset in enumerate(offsets)
            ]
            group.commit(offsets=places, asynchronous=False)


def record(settings: Settings, version: str, rejected: list[int]) -> Recording:
    """Record what is in Kafka; no worker may run."""
    with closing(clients.consumer(settings, settings.worker_group, **{"enable.partition.eof": True})) as reader:
        logs = {
            topic: [_newest(topic, list(_read(reader, topic, number))) for number in range(settings.partitions)]
            for topic in _ALL
        }
        positions = {
            topic: [
                max(place.offset, 0)
                for place in reader.committed(
                    [TopicPartition(topic, number) for number in range(settings.partitions)], timeout=_TIMEOUT_S
                )
            ]
            for topic in WHOLE
        }
    return Recording(version, settings.partitions, settings.map.read_text(), logs, positions, rejected)


def _read(reader: Consumer, topic: str, partition: int) -> Iterator[Logged]:
    reader.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    expected = 0
    while (message := reader.poll(_TIMEOUT_S)) is not None and message.error() is None:
        assert topic not in WHOLE or message.offset() == expected, f"{topic}/{partition}: offsets without a record"
        expected += 1
        yield Logged(message.timestamp()[1], message.key(), message.value(), message.headers() or [])


def _newest(topic: str, log: list[Logged]) -> list[Logged]:
    compacted = {each.name for each in topics.ALL if "compact" in each.cleanup}
    if topic in WHOLE or topic not in compacted:
        return log
    newest: dict[bytes | None, Logged] = {}
    for each in log:
        newest.pop(each.key, None)
        newest[each.key] = each
    return [each for each in newest.values() if each.value is not None]


def _keep_as_recorded(settings: Settings) -> None:
    """Times of arrival are those of the recording, and nothing is deleted for its age."""
    wanted: Mapping[str, dict[str, str]] = {
        **{topic.name: {"retention.ms": "-1"} for topic in topics.ALL if "delete" in topic.cleanup},
        topics.EVENTS.name: {"retention.ms": "-1", "message.timestamp.type": "CreateTime"},
    }
    client = clients.admin(settings)
    for name, values in wanted.items():
        configure(client, name, values)
    wait_until(lambda: _described(client, topics.EVENTS.name)["message.timestamp.type"] == "CreateTime")


def _described(client: Any, topic: str) -> dict[str, str]:
    (future,) = client.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    return {name: entry.value for name, entry in future.result(_TIMEOUT_S).items()}

"""The clusters a contest can run on, each run starting from the same preloaded events and no results."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic

from bench.feed import Feed, preload
from schemas import topics
from schemas.errors import UsageError
from streams.runtime import clients
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.local import LocalKafka, kafka_version
from streams.runtime.settings import Settings
from streams.runtime.topics_admin import delete_topics, ensure_topics, with_controller

PARTITIONS = 4


class Cluster(ABC):
    """A context manager; `fresh` gives the settings for one run. Blocks; raises StopProcess and UsageError."""

    #: For the reader of the results.
    name: str

    def __init__(self, feeds: dict[str, Feed]) -> None:
        """`feeds` names the events of each topic."""
        self.feeds = feeds
        self.ends: dict[str, dict[int, int]] = {}

    @abstractmethod
    def fresh(self, settings: Settings, extra: Sequence[str] = ()) -> Settings:
        """`settings` with the address of a cluster that holds the events and no results; `extra` topics exist too."""

    def _preload(self, settings: Settings) -> None:
        for topic, feed in self.feeds.items():
            self.ends[topic] = preload(settings, topic, feed)
        reader = clients.consumer(settings, "bench.look")
        try:
            for topic, ends in self.ends.items():
                for partition in ends:
                    low, _ = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
                    if low > 0:
                        raise UsageError(
                            "the embedded Kafka cannot keep so many events; use fewer --events, or --cluster local"
                        )
        finally:
            reader.close()

    @abstractmethod
    def close(self) -> None:
        """End the cluster."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Embedded(Cluster):
    """librdkafka's mock cluster in this process, a new one for each run."""

    name = "embedded (librdkafka's mock broker)"

    def __init__(self, feeds: dict[str, Feed]) -> None:
        super().__init__(feeds)
        self._kafka: EmbeddedKafka | None = None

    def fresh(self, settings: Settings, extra: Sequence[str] = ()) -> Settings:
        """A new cluster. Workers do not pace themselves on it: nobody reads their results."""
        self.close()
        self._kafka = EmbeddedKafka()
        settings = settings.model_copy(update={"kafka": self._kafka.bootstrap})
        ensure_topics(settings.model_copy(update={"kafka_paced": True}))
        for name in (*extra, *self.feeds):
            clients.admin(settings).list_topics(name, timeout=10)
        self._preload(settings)
        return settings

    def close(self) -> None:
        """End the cluster."""
        if self._kafka is not None:
            self._kafka.close()
            self._kafka = None


class Local(Cluster):
    """Apache Kafka on this machine: preloaded once, the results of a run deleted before the next."""

    def __init__(self, feeds: dict[str, Feed], folder: Path) -> None:
        super().__init__(feeds)
        self.name = f"Apache Kafka {kafka_version()} on the same machine"
        self._stack = ExitStack()
        self._kafka = self._stack.enter_context(LocalKafka(folder))

    def fresh(self, settings: Settings, extra: Sequence[str] = ()) -> Settings:
        """The same cluster, its results deleted."""
        settings = settings.model_copy(update={"kafka": self._kafka.bootstrap, "partitions": PARTITIONS})
        admin = clients.admin(settings)
        there = admin.list_topics(timeout=30).topics
        delete_topics(admin, [name for name in there if name not in self.feeds and not name.startswith("__")])
        ensure_topics(settings)
        for name in extra:
            _create(settings, name)
        if not self.ends:
            for name in set(self.feeds) - {topics.EVENTS.name}:
                _create(settings, name)
            self._preload(settings)
        return settings

    def close(self) -> None:
        """End the broker."""
        self._stack.close()


def _create(settings: Settings, name: str) -> None:
    """A topic of the bench's own, with as many partitions as the events have."""
    admin = with_controller(clients.admin(settings))
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
        future.result()


def open_cluster(kind: str, feeds: dict[str, Feed], folder: Path) -> Cluster:
    """The cluster of that kind, `embedded` or `local`."""
    return Local(feeds, folder) if kind == "local" else Embedded(feeds)

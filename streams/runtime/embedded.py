"""Kafka inside this process: the mock cluster that librdkafka brings along, for demos and tests.

Real protocol over TCP on the loopback, consumer groups and all; any client may connect while the object lives.
It is driven through librdkafka's public C interface (rdkafka_mock.h): the configuration properties `test.mock.*` offer
only the number of brokers and a round-trip time, and leave the delay before a group's first assignment at 3 s.
"""

import ctypes
from functools import cache
from types import TracebackType
from typing import Self

from confluent_kafka import cimpl

from schemas import topics
from schemas.errors import StopProcess

#: What a partition keeps before its oldest batches go, in bytes as written (compressed).
RETAINED_BYTES = 5 * 1024 * 1024
#: Partitions of a topic that comes to life by being asked for.
DEFAULT_PARTITIONS = 4

_PRODUCER = 0
_CONFIG_OK = 0
_FIRST_ASSIGNMENT_MS = 50
_ERROR_SIZE = 512


@cache
def _librdkafka() -> ctypes.CDLL:
    """The librdkafka that confluent-kafka is linked with. Raises StopProcess where its mock cluster is out of reach."""
    library = ctypes.CDLL(cimpl.__file__)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
    }
    for name, (result, arguments) in signatures.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise StopProcess(
                f"the librdkafka of this confluent-kafka has no `{name}`, so there is no embedded Kafka here; "
                "install the wheel from PyPI, or set CORREDOR_KAFKA to `local` or to the host:port of a cluster"
            ) from None
        function.restype, function.argtypes = result, arguments
    return library


class EmbeddedKafka:
    """One mock broker on a free loopback port, from construction to `close()`; a context manager.

    A topic appears with 4 partitions when a client first asks for it; with another number of `partitions`, every topic
    of `schemas.topics.ALL` is there from the start. Limits: nothing on disk, so all is gone with the process; a
    partition keeps 5 MiB, older batches are dropped silently; a fetch returns one batch for each partition; no
    CreateTopics, no compaction, no retention by time, no LogAppendTime: the producer's timestamp stands.
    One consumer to a group: a second one waits for the session timeout less one second, and aiokafka's often fails for
    good, because the coordinator refuses a member that syncs after the leader (InvalidRequestError).
    """

    def __init__(self, partitions: int = DEFAULT_PARTITIONS) -> None:
        library = _librdkafka()
        error = ctypes.create_string_buffer(_ERROR_SIZE)
        config = library.rd_kafka_conf_new()
        # Warnings and errors only: the handle has no cluster of its own to connect to and would say so.
        if library.rd_kafka_conf_set(config, b"log_level", b"4", error, _ERROR_SIZE) != _CONFIG_OK:
            raise StopProcess(f"embedded Kafka cannot be set up: {error.value.decode()}")
        self._library = library
        self._handle = library.rd_kafka_new(_PRODUCER, config, error, _ERROR_SIZE)
        if not self._handle:
            raise StopProcess(f"embedded Kafka cannot be set up: {error.value.decode()}")
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, 1)
        if not self._cluster:
            library.rd_kafka_destroy(self._handle)
            raise StopProcess("embedded Kafka did not start: no loopback port could be opened")
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, _FIRST_ASSIGNMENT_MS)
        self.bootstrap: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        if partitions != DEFAULT_PARTITIONS:
            for topic in topics.ALL:
                self.create_topic(topic.name, partitions)

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic that no client has asked for yet; raises StopProcess if it exists."""
        code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code != 0:
            raise StopProcess(f"embedded Kafka did not create topic {name}: librdkafka error {code}")

    def close(self) -> None:
        """End the cluster and everything in it. A second call does nothing."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._handle)
            self._cluster = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

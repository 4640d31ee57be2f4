"""Keeps a writer from running ahead of the readers of a short log.

The embedded cluster drops the oldest batches of a partition beyond 5 MiB, read or not. A writer on it therefore counts
what it wrote and waits while the readers' committed offsets leave more than a budget of it unread.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.settings import Settings
from streams.runtime.waiting import WAITS

#: Two writers of one topic fit with room to spare into the 5 MiB that the embedded cluster keeps of a partition.
DEFAULT_BUDGET_BYTES = 2 * 1024 * 1024
#: For a topic that nobody else writes to.
SOLE_WRITER_BUDGET_BYTES = 4 * 1024 * 1024
#: What a record costs in the log beside key, value and headers, if it travels in a batch of its own. Bytes.
RECORD_OVERHEAD_BYTES = 80
#: How often the committed offsets are asked for while waiting, and how long readers may stand still. Seconds.
POLL_S = 0.03
PATIENCE_S = 180.0


class Pacer:
    """Budget of unread bytes in each partition of one topic, for one writer and all `groups` that read it.

    Call `sent` for what is handed to the producer, `note` from its delivery callback, `wait` before writing more. A
    failed delivery cannot be noted: end the process, or the bytes count as in flight for ever.
    With `settings.kafka_paced` off all three return at once and `enabled` is False. Safe to share between threads.
    `patience_s` is how long a group that holds the writer up may go without committing.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        groups: Sequence[str],
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.enabled = settings.kafka_paced and bool(groups)
        self._settings = settings
        self._topic = topic
        self._groups = tuple(groups)
        self._budget = budget_bytes
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._in_flight = 0
        self._worst = 0
        self._unread: dict[int, int] = {}
        self._records: dict[int, deque[tuple[int, int]]] = {}
        self._readers: dict[str, Consumer] = {}

    def sent(self, nbytes: int) -> None:
        """Count a record of `nbytes` (key, value and headers) that was handed to the producer."""
        if self.enabled:
            with self._lock:
                self._in_flight += nbytes + RECORD_OVERHEAD_BYTES

    def failed(self, nbytes: int) -> None:
        """Count the same record as not written: it was refused, or its delivery failed."""
        if self.enabled:
            with self._lock:
                self._in_flight = max(0, self._in_flight - nbytes - RECORD_OVERHEAD_BYTES)

    def note(self, partition: int, offset: int, nbytes: int) -> None:
        """Count the same record as written at `offset`; for the delivery callback. It never blocks on the network."""
        if not self.enabled:
            return
        size = nbytes + RECORD_OVERHEAD_BYTES
        with self._lock:
            self._in_flight = max(0, self._in_flight - size)
            unread = self._unread.get(partition, 0) + size
            self._unread[partition] = unread
            self._worst = max(self._worst, unread)
            self._records.setdefault(partition, deque()).append((offset, size))

    @property
    def full(self) -> bool:
        """True while `wait` would look at the cluster. What is in flight may all land in the fullest partition."""
        return self._worst + self._in_flight > self._budget

    def wait(self, poll: Callable[[float], object] = time.sleep) -> None:
        """Block until every partition's unread bytes fit the budget.

        `poll(seconds)` is called between looks at the cluster: give the producer's `poll`, so that its delivery
        callbacks run meanwhile. Raises StopProcess when a group holds the writer up and commits nothing for 60 s.
        """
        if not self.full:
            return
        seen: dict[str, tuple[dict[int, int], float]] = {group: ({}, time.monotonic()) for group in self._groups}
        poll(0)
        with WAITS.on("readers", f"{', '.join(self._groups)} have not acknowledged enough of {self._topic}"):
            while self.full:
                self._release(seen)
                if self.full:
                    poll(POLL_S)

    def close(self) -> None:
        """Close the connections that `wait` opened."""
        with self._looking:
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()

    def _release(self, seen: dict[str, tuple[dict[int, int], float]]) -> None:
        """Forget the records that every group has committed; raise when a group stands still for too long."""
        with self._lock:
            partitions = [partition for partition, records in self._records.items() if records]
        if not partitions:
            return
        lowest: dict[int, int] = {}
        for group in self._groups:
            before, since = seen[group]
            try:
                committed, problem = self._committed(group, partitions), ""
            except KafkaException as error:
                committed, problem = before, f"; the last look at its offsets failed: {error.args[0].str()}"
            if committed != before:
                seen[group] = committed, time.monotonic()
            elif time.monotonic() - since > self._patience_s and self._holds_up(committed):
                raise StopProcess(
                    f"consumer group {group} has committed nothing on {self._topic} for {self._patience_s:.0f} s, "
                    f"and the embedded Kafka keeps only 5 MB of a partition; see with `corredor status` whether the "
                    f"readers of that group run{problem}"
                )
            for partition in partitions:
                lowest[partition] = min(lowest.get(partition, 2**63), committed.get(partition, 0))
        with self._lock:
            for partition, end in lowest.items():
                records = self._records[partition]
                while records and records[0][0] < end:
                    self._unread[partition] -= records.popleft()[1]
            self._worst = max(self._unread.values())

    def _holds_up(self, committed: dict[int, int]) -> bool:
        """True if a partition is over the budget by what lies at and after the group's committed offset."""
        with self._lock:
            return any(
                sum(size for offset, size in records if offset >= committed.get(partition, 0)) + self._in_flight
                > self._budget
                for partition, records in self._records.items()
            )

    def _committed(self, group: str, partitions: list[int]) -> dict[int, int]:
        """The group's committed offsets by partition; a group that does not exist yet has none. Joins nothing."""
        with self._looking:
            if group not in self._readers:
                self._readers[group] = clients.consumer(self._settings, group)
            answer = self._readers[group].committed([TopicPartition(self._topic, p) for p in partitions], timeout=5)
        return {each.partition: each.offset for each in answer if each.error is None and each.offset >= 0}


__all__ = ["DEFAULT_BUDGET_BYTES", "SOLE_WRITER_BUDGET_BYTES", "Pacer"]

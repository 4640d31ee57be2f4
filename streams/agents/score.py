"""The score agent: slices of all partitions to rolling window scores."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from schemas import topics
from schemas.corridor import CorridorMap
from schemas.score import WINDOWS, Score
from schemas.slice import Progress, Slice
from streams.model.decode import Record
from streams.model.score_partition import ScorePartition
from streams.runtime import metrics
from streams.runtime.checkpoint import Effects
from streams.runtime.positions import Positions
from streams.runtime.settings import Settings
from streams.runtime.state_log import READ_AT_A_TIME, read_back, understood

_decode = msgspec.json.Decoder(Slice | Progress).decode
#: What travels with the slices and windows do not need. It begins so: the tag is written first.
_NOT_FELT = (b'{"kind":"transition"', b'{"kind":"heard"')
_encode = msgspec.json.Encoder().encode
TOPIC = topics.SLICES.name
#: Slices applied between two checkpoints, at most (but for the last batch). A short log takes fewer: ingest would wait
#: for room in it.
MOST_WAITING = 5_000
MOST_WAITING_PACED = 6_000
#: How often the longer windows are published, seconds.
WHOLE_EVERY_S = 10.0
#: A look at offset n gives its rows versions from n * 2^24: room for 16 million rows, and for offsets to 5 * 10^11.
VERSION_BITS = 24
#: Touchpoints that the map does not name, at most, in /metrics: those with the most events. ClickHouse has all.
MOST_UNMAPPED = 100


class _Version(msgspec.Struct):
    """Of a message only its version; progress has none."""

    version: int = -1


_version = msgspec.json.Decoder(_Version).decode


def _replaces(kept: bytes, later: bytes) -> bool:
    """Whether a later message replaces one of the same key: a former owner that wakes up publishes old slices late."""
    return _version(later).version >= _version(kept).version


class ScoreTask:
    """The partitions of the score agent that this worker owns. Its state is what the slices topic says."""

    def __init__(self, settings: Settings, corridor: CorridorMap, origins: Sequence[str]) -> None:
        """`origins` names the lanes before the slices, `topic/partition`."""
        self._settings = settings
        self._minimum_n = corridor.defaults.minimum_n
        self._named = frozenset(touchpoint.name for touchpoint in corridor.touchpoints)
        self._allowed_lateness = float(corridor.defaults.allowed_lateness)
        self._origins = origins
        self._started_us = time.time_ns() // 1000
        self._partitions: dict[int, ScorePartition] = {}
        #: /metrics reads the windows from threads of its own.
        self._lock = threading.Lock()
        self._saved: dict[int, int] = {}
        # Slices applied since the last checkpoint.
        self._waiting = 0

    async def assign(self, partitions: Iterable[int], positions: Positions, still_ours: Callable[[], bool]) -> None:
        """Own exactly these partitions; slices acknowledged before are read back.

        Stops early once `still_ours` says no. Raises StopProcess.
        """
        wanted = set(partitions)
        for partition in list(self._partitions):
            if partition not in wanted or positions.of(TOPIC, partition) != self._saved[partition]:
                del self._partitions[partition]

        async def take(partition: int) -> None:
            async with at_a_time:
                if still_ours():
                    self._partitions[partition] = await asyncio.to_thread(self._restore, partition, positions)
                    self._saved[partition] = positions.of(TOPIC, partition)

        at_a_time = asyncio.Semaphore(READ_AT_A_TIME)
        await asyncio.gather(*(take(partition) for partition in sorted(wanted - set(self._partitions))))

    def _restore(self, partition: int, positions: Positions) -> ScorePartition:
        owned = ScorePartition(self._minimum_n, self._origins)
        committed = positions.of(TOPIC, partition)
        with understood(TOPIC, partition):
            for value in read_back(self._settings, TOPIC, partition, committed, _replaces).values():
                if not value.startswith(_NOT_FELT):
                    owned.apply(_decode(value))
        # What is marked and not settled has not been published yet, and stays.
        owned.windows.take_dirty(owned.lanes.watermark())
        # What was let go before stays so: the log may no longer hold all of it.
        owned.forget(self._allowed_lateness)
        owned.applied = committed - 1
        return owned

    async def apply(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """Apply a batch of slices; returns how many of them it has done with, which is all."""
        owned = self._partitions.get(partition)
        if owned is None:
            return len(records)
        with self._lock, understood(topic, partition):
            for record in records:
                value = record.value
                if value is not None and record.offset > owned.applied and not value.startswith(_NOT_FELT):
                    owned.apply(_decode(value))
            owned.applied = max(owned.applied, records[-1].offset)
        self._waiting += len(records)
        return len(records)

    def next_offset(self, topic: str, partition: int) -> int | None:
        """The offset after the last one applied; None for a partition not owned."""
        owned = self._partitions.get(partition)
        return None if owned is None else owned.applied + 1

    @property
    def full(self) -> bool:
        """Whether so many slices are not acknowledged that a checkpoint of all windows should come now."""
        return self._waiting >= (MOST_WAITING_PACED if self._settings.kafka_paced else MOST_WAITING)

    def collect(self, now: float) -> Effects:
        """Window scores that changed: of the shortest window each time, of all windows every few seconds.

        A day's score hardly moves within a second, and every scope has one. Positions are acknowledged only with all
        windows, so that what is read back after a crash is what has been published.
        """
        effects = Effects()
        for partition, owned in self._partitions.items():
            quiet = owned.applied == owned.looked_at
            owned.looked_at = owned.applied
            if quiet and owned.applied + 1 == self._saved[partition]:
                continue
            whole = quiet or self.full or now - owned.whole_at >= WHOLE_EVERY_S
            with self._lock:
                owned.windows.version = max(owned.version, self._version(owned))
                scores = owned.windows.take_dirty(owned.lanes.watermark(), len(WINDOWS) if whole else 1)
                owned.version = owned.windows.version
                if whole:
                    owned.forget(self._allowed_lateness)
            if scores:
                effects.messages.append((topics.SCORES.name, [_message(score) for score in scores]))
            metrics.SCORES_TOO_LATE.inc(owned.windows.too_late - owned.too_late)
            owned.too_late = owned.windows.too_late
            if whole:
                owned.whole_at = now
                self._saved[partition] = owned.applied + 1
                effects.positions[TOPIC, partition] = owned.applied + 1
        if effects.positions:
            self._waiting = 0
        return effects

    def _version(self, owned: ScorePartition) -> int:
        """Where the versions of the next rows start: by the log alone, so that no clock of any owner can bend them.

        The embedded Kafka begins its log anew with each run, so there it is the clock that tells the runs apart.
        """
        return self._started_us if self._settings.kafka_paced else (owned.applied + 1) << VERSION_BITS

    def drop(self) -> None:
        """Own nothing any more; what was not acknowledged is done again by the next owner."""
        self._partitions.clear()

    def committed(self, now: float) -> None:
        """Nothing waits for the score agent's commit."""

    def current(self) -> list[Score]:
        """The scores of all scopes now, by the wall clock: what /metrics shows, of unmapped touchpoints only some."""
        with self._lock:
            owned = list(self._partitions.values())
            scores = [score for partition in owned for score in partition.windows.current(time.time())]
        unmapped: Counter[tuple[str, str]] = Counter()
        for score in scores:
            if score.scope == "touchpoint" and score.name not in self._named:
                unmapped[score.tenant, score.name] += score.n
        left_out = {place for place, _ in unmapped.most_common()[MOST_UNMAPPED:]}
        if not left_out:
            return scores
        return [score for score in scores if score.scope != "touchpoint" or (score.tenant, score.name) not in left_out]


def _message(score: Score) -> dict[str, object]:
    key = _encode((score.tenant, score.scope, score.name, score.segment, score.segment_value, score.window, score.at))
    return {"key": key, "value": _encode(score)}

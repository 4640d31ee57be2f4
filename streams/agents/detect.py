"""The detect agent: slices of all partitions to incidents, and to what matters most in the corridor now."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from schemas import topics
from schemas.corridor import CorridorMap
from schemas.incident import Incident
from schemas.standing import Standing, Way
from streams.model.decode import Record
from streams.model.detect.partition import Detection
from streams.runtime import metrics
from streams.runtime.checkpoint import Effects
from streams.runtime.positions import Positions
from streams.runtime.settings import Settings
from streams.runtime.state_log import READ_AT_A_TIME, StateLog, read_back
from streams.runtime.waiting import WAITS

log = logging.getLogger("corredor.detect")
TOPIC = topics.SLICES.name
#: Messages applied between two checkpoints of the state, at most (but for the last batch). A short log takes fewer:
#: ingest would wait for room in it.
MOST_WAITING = 5_000
MOST_WAITING_PACED = 6_000
#: How often the state is stored and the position acknowledged; incidents are published at every checkpoint. Seconds.
STORE_EVERY_S = 10.0
#: How long buckets are settled before others get their turn, seconds.
_TURN_S = 0.05
_encode = msgspec.json.Encoder().encode


class _Owned:
    """One partition, and when its state was stored."""

    def __init__(self, detection: Detection, log: StateLog, saved: int) -> None:
        self.detection = detection
        self.log = log
        #: The next offset, as acknowledged.
        self.saved = saved
        self.looked_at = -1
        self.stored_at = 0.0
        self.too_late = self.left_out = 0


class DetectTask:
    """The partitions of the detect agent that this worker owns."""

    #: A checkpoint may come between any two messages, and should not wait for what thousands of them settle.
    at_once = 200

    def __init__(self, settings: Settings, corridor: CorridorMap, origins: Sequence[str]) -> None:
        """`origins` names the lanes before the slices, `topic/partition`."""
        self._settings = settings
        self._corridor = corridor
        self._origins = origins
        self._partitions: dict[int, _Owned] = {}
        #: /metrics reads the incidents from threads of its own.
        self._lock = threading.Lock()
        self._waiting = 0

    async def assign(self, partitions: Iterable[int], positions: Positions, still_ours: Callable[[], bool]) -> None:
        """Own exactly these partitions; the state of new ones is read back.

        Stops early once `still_ours` says no. Raises StopProcess if state cannot be read back.
        """
        wanted = set(partitions)
        for partition, owned in list(self._partitions.items()):
            if partition not in wanted or positions.of(TOPIC, partition) != owned.saved:
                del self._partitions[partition]

        async def take(partition: int) -> None:
            async with at_a_time:
                if still_ours():
                    self._partitions[partition] = await asyncio.to_thread(self._restore, partition, positions)

        at_a_time = asyncio.Semaphore(READ_AT_A_TIME)
        await asyncio.gather(*(take(partition) for partition in sorted(wanted - set(self._partitions))))

    def _restore(self, partition: int, positions: Positions) -> _Owned:
        # First fence whoever had the partition, then read what is final.
        writer = StateLog(self._settings, topics.STATE_DETECT.name, partition)
        detection = Detection(self._corridor, self._origins)
        state = read_back(self._settings, topics.STATE_DETECT.name, partition)
        committed = positions.of(TOPIC, partition)
        if state:
            detection.restore(state)
            positions.check(TOPIC, partition, detection.applied)
        elif committed:
            log.warning("%s/%d: no state of the detectors; they learn anew what is usual", TOPIC, partition)
            detection.applied = committed - 1
        return _Owned(detection, writer, committed)

    async def apply(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Apply a batch of slices."""
        owned = self._partitions.get(partition)
        if owned is None:
            return
        detection, turn = owned.detection, time.monotonic() + _TURN_S
        for record in records:
            if record.value is not None and record.key is not None:
                with self._lock:
                    detection.apply(record.offset, record.key, record.value)
                    more = detection.settle()
                if more:
                    with WAITS.on("detectors", "buckets that were settled at once"):
                        while more:
                            if time.monotonic() > turn:
                                await asyncio.sleep(0)
                                turn = time.monotonic() + _TURN_S
                            with self._lock:
                                more = detection.settle()
        owned.detection.applied = max(owned.detection.applied, records[-1].offset)
        self._waiting += len(records)

    def next_offset(self, topic: str, partition: int) -> int | None:
        """The offset after the last one applied; None for a partition not owned."""
        owned = self._partitions.get(partition)
        return None if owned is None else owned.detection.applied + 1

    @property
    def full(self) -> bool:
        """Whether so many slices are not acknowledged that the state should be stored now."""
        return self._waiting >= (MOST_WAITING_PACED if self._settings.kafka_paced else MOST_WAITING)

    def collect(self, now: float) -> Effects:
        """What there is to tell; and every few seconds, or when nothing more comes, the state and the positions."""
        effects = Effects()
        told: list[Incident] = []
        corridor: list[Standing | Way] = []
        for partition, owned in self._partitions.items():
            detection = owned.detection
            quiet = detection.applied == owned.looked_at
            owned.looked_at = detection.applied
            new = detection.take_told()
            told += new
            corridor += detection.take_corridor()
            if detection.applied + 1 == owned.saved:
                continue
            if quiet or self.full or now - owned.stored_at >= STORE_EVERY_S:
                effects.state.append((owned.log, detection.snapshot(new)))
                owned.stored_at, owned.saved = now, detection.applied + 1
                effects.positions[TOPIC, partition] = owned.saved
            metrics.DETECT_TOO_LATE.inc(detection.too_late - owned.too_late)
            metrics.DETECT_LEFT_OUT.inc(detection.left_out - owned.left_out)
            owned.too_late, owned.left_out = detection.too_late, detection.left_out
        if told:
            effects.messages.append((topics.INCIDENTS.name, [_message(each.id.encode(), each) for each in told]))
        if corridor:
            effects.messages.append((topics.CORRIDOR.name, [_message(each.key, each) for each in corridor]))
        if effects.positions:
            self._waiting = 0
        return effects

    def drop(self) -> None:
        """Own nothing any more; what was not acknowledged is done again by the next owner."""
        self._partitions.clear()

    def committed(self, now: float) -> None:
        """Nothing waits for the detect agent's commit."""

    def open(self) -> list[Incident]:
        """The open incidents: what /metrics shows."""
        with self._lock:
            return [incident for owned in list(self._partitions.values()) for incident in owned.detection.open()]


def _message(key: bytes, message: Incident | Standing | Way) -> dict[str, object]:
    return {"key": key, "value": _encode(message)}

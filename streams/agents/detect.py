"""The detect agent: slices of all partitions to incidents, and to what matters most in the corridor now."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

import msgspec

from schemas import topics
from schemas.corridor import CorridorMap
from schemas.incident import Incident
from schemas.links import links
from schemas.standing import Standing, Way
from streams.model.decode import Record
from streams.model.detect.partition import Detection
from streams.model.detect.settled import Settled
from streams.model.state_format import DETECT
from streams.runtime import metrics
from streams.runtime.checkpoint import Effects
from streams.runtime.positions import Positions
from streams.runtime.settings import Settings
from streams.runtime.state_log import READ_AT_A_TIME, StateLog, read_back, understood
from streams.runtime.waiting import WAITS

log = logging.getLogger("corredor.detect")
TOPIC = topics.SLICES.name
#: Messages applied between two checkpoints of the state, at most (but for the last batch). A short log takes fewer:
#: ingest would wait for room in it.
MOST_WAITING = 5_000
MOST_WAITING_PACED = 6_000
#: How often the state is stored and the position acknowledged; incidents are published at every checkpoint. Seconds.
STORE_EVERY_S = 10.0
#: How long slices are applied before others get their turn, seconds: one of them may settle thousands of buckets.
_TURN_S = 0.05
#: Contacts older than this when their bucket is settled are not counted in /metrics, seconds.
COUNTED_FOR_S = 3600.0
_encode = msgspec.json.Encoder().encode


class _Owned:
    """One partition, and when its state was stored."""

    def __init__(self, detection: Detection, log: StateLog, saved: int) -> None:
        self.detection = detection
        self.log = log
        #: The next offset, as acknowledged.
        self.saved = saved
        #: Where it stood at the last look, and when the state was stored. State ahead of what was acknowledged is
        #: stored again: acknowledging comes with it, and perhaps no message ever does.
        self.looked_at = detection.position
        self.stored = (saved, detection.position[1])
        self.stored_at = 0.0
        self.too_late = self.left_out = 0
        self._long: ExitStack | None = None

    def settles(self, long: bool) -> None:
        """Say whether one message settles more than a turn allows: to the watchdog that is no hang."""
        if long and self._long is None:
            self._long = ExitStack()
            self._long.enter_context(WAITS.on("detectors", "buckets that were settled at once"))
        elif not long and self._long is not None:
            self._long.close()
            self._long = None


class DetectTask:
    """The partitions of the detect agent that this worker owns."""

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
                self._partitions.pop(partition).settles(long=False)

        async def take(partition: int) -> None:
            async with at_a_time:
                if still_ours():
                    self._partitions[partition] = await asyncio.to_thread(self._restore, partition, positions)

        at_a_time = asyncio.Semaphore(READ_AT_A_TIME)
        await asyncio.gather(*(take(partition) for partition in sorted(wanted - set(self._partitions))))

    def _restore(self, partition: int, positions: Positions) -> _Owned:
        # First fence whoever had the partition, then read what is final.
        writer = StateLog(self._settings, topics.STATE_DETECT.name, partition)
        detection = Detection(self._corridor, self._origins, _count)
        state = read_back(self._settings, topics.STATE_DETECT.name, partition)
        committed = positions.of(TOPIC, partition)
        writer.upgrade(DETECT, state)
        if state:
            with understood(topics.STATE_DETECT.name, partition):
                detection.restore(state)
            positions.check(TOPIC, partition, detection.applied)
        elif committed:
            log.warning("%s/%d: no state of the detectors; they learn anew what is usual", TOPIC, partition)
            detection.applied = committed - 1
        return _Owned(detection, writer, committed)

    async def apply(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """Apply slices for a moment; returns how many of them it has done with."""
        owned = self._partitions.get(partition)
        if owned is None:
            return len(records)
        detection, until = owned.detection, time.monotonic() + _TURN_S
        with understood(topic, partition):
            for done, record in enumerate(records):
                if time.monotonic() > until:
                    return done
                if record.value is not None and record.key is not None:
                    with self._lock:
                        detection.apply(record.offset, record.key, record.value)
                        while detection.settle():
                            if time.monotonic() > until:
                                owned.settles(long=True)
                                return done
                    owned.settles(long=False)
                self._waiting += 1
        detection.applied = max(detection.applied, records[-1].offset)
        return len(records)

    def next_offset(self, topic: str, partition: int) -> int | None:
        """The offset after the last one applied; None for a partition not owned."""
        owned = self._partitions.get(partition)
        return None if owned is None else owned.detection.position[0]

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
            position = detection.position
            quiet = position == owned.looked_at
            owned.looked_at = position
            new = detection.take_told()
            told += new
            corridor += detection.take_corridor()
            if position == owned.stored:
                continue
            if quiet or self.full or now - owned.stored_at >= STORE_EVERY_S:
                effects.state.append((owned.log, detection.snapshot(new)))
                owned.stored_at, owned.stored, owned.saved = now, position, position[0]
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
        for owned in self._partitions.values():
            owned.settles(long=False)
        self._partitions.clear()

    def committed(self, now: float) -> None:
        """Nothing waits for the detect agent's commit."""

    def open(self) -> list[Incident]:
        """The open incidents: what /metrics shows."""
        with self._lock:
            return [incident for owned in list(self._partitions.values()) for incident in owned.detection.open()]

    def open_with_links(self) -> bytes:
        """The open incidents as JSON, each with its `links`: what /incidents shows."""
        runbooks = self._settings.runbooks
        found = [{**msgspec.to_builtins(one), "links": links(one, runbooks)} for one in self.open()]
        return msgspec.json.encode(found)

    def cut_off(self) -> list[tuple[str, str, str]]:
        """Tenant, source and touchpoint: what silent sources feed."""
        with self._lock:
            return [place for owned in list(self._partitions.values()) for place in owned.detection.cut_off()]


def _count(tenant: str, bucket: Settled) -> None:
    """Count a settled bucket in /metrics; history that comes late, or is replayed, says nothing about now."""
    if time.time() - bucket.start < COUNTED_FOR_S:
        for here in bucket.contacts:
            labels = tenant, here.touchpoint, here.stage
            metrics.CONTACTS.labels(*labels).inc(here.scored)
            metrics.NEGATIVE_CONTACTS.labels(*labels).inc(here.negative)


def _message(key: bytes, message: Incident | Standing | Way) -> dict[str, object]:
    return {"key": key, "value": _encode(message)}

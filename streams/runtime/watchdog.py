"""The watchdog: a worker that hangs ends, so that whoever started it starts it again; one that waits is left alone.

A thread of its own looks at what the worker reports, and at whether it reports at all. What moves is fine. What has
work and does not move is suspicious, and Kafka itself is asked about it: if Kafka does not answer or takes no writes
(its disk may hang while it still reads from memory), the worker waits for Kafka; if there is nothing to read, there was
no work; and what Kafka has not acknowledged is waited for much longer. Otherwise, after `stall_timeout`, the worker
hangs.
"""

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas import topics
from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.settings import Settings
from streams.runtime.stalls import Place, Report, Stalls, Step
from streams.runtime.waiting import WAITS, Waits

log = logging.getLogger("corredor.watchdog")

#: How often the worker should report and the thread looks. Seconds.
LOOK_S = 0.5
#: How often Kafka is asked, and how long its answer may take. Seconds.
ASK_S, ANSWER_S = 2.0, 3.0
#: Standing still this long makes the worker not ready. Seconds.
SLUGGISH_S = 5.0
#: Kafka may take so many stall timeouts to acknowledge something: a disk may hang for minutes. Then our client hangs.
ACKNOWLEDGED_WITHIN = 5.0
#: Says nothing about whether Kafka can write: it answered.
_NOT_ALLOWED = {KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED}


class Asks(Protocol):
    """How Kafka itself is asked. Both block for seconds at most and raise KafkaException if Kafka does not answer."""

    def readable(self, place: Place, offset: int) -> bool:
        """Whether a record at or after `offset` of a place can be read now."""

    def write(self, place: Place, offset: int) -> None:
        """Have Kafka write something down; returns when it has."""


class Probe:
    """Asks Kafka itself, through connections of its own that join no group."""

    def __init__(self, settings: Settings) -> None:
        # 1 KiB: Kafka always gives at least one batch, and one record is enough.
        self._reader: Consumer = clients.consumer(
            settings,
            settings.worker_group,
            **{
                "enable.partition.eof": True,
                "fetch.message.max.bytes": 1024,
                "queued.max.messages.kbytes": 64,
                "reconnect.backoff.max.ms": 500,
                "log_level": 2,
            },
        )
        self._settings = settings
        # Made when it is first needed: the group of its commits is seen only where something stood still.
        self._writer: Consumer | None = None
        self._waits = False
        self._refused: KafkaError | None = None

    def readable(self, place: Place, offset: int) -> bool:
        """Whether a record at or after `offset` of a place can be read now. Blocks for up to 6 s.

        Raises KafkaException if the group's coordinator or the place's leader does not answer, UsageError if Kafka
        refuses us.
        """
        reader = self._reader
        # Raises if Kafka has refused us since the last time.
        reader.poll(0)
        reader.committed([TopicPartition(*place)], timeout=ANSWER_S)
        reader.assign([TopicPartition(*place, offset)])
        try:
            deadline = time.monotonic() + ANSWER_S
            while (left := deadline - time.monotonic()) > 0:
                message = reader.poll(left)
                error = message.error() if message is not None else None
                if message is not None and error is None:
                    return True
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    return False
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{place[0]}/{place[1]} cannot be read"))
        finally:
            reader.unassign()

    def write(self, place: Place, offset: int) -> None:
        """Commit an offset in a group that nobody else is in. Blocks for up to 3 s, then raises KafkaException.

        Not by a synchronous commit, which has no time limit, nor by an AdminClient, whose librdkafka aborts the process
        when an answer comes after its time (seen with 2.16.0).
        """
        if self._writer is None:
            self._writer = clients.consumer(
                self._settings, f"{self._settings.worker_group}.watchdog", on_commit=self._written, log_level=2
            )
        if not self._waits:
            self._waits, self._refused = True, None
            self._writer.commit(offsets=[TopicPartition(*place, offset)], asynchronous=True)
        deadline = time.monotonic() + ANSWER_S
        while self._waits and time.monotonic() < deadline:
            self._writer.poll(0.1)
        if self._waits:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "it takes no writes"))
        if self._refused is not None and self._refused.code() not in _NOT_ALLOWED:
            raise KafkaException(self._refused)

    def _written(self, error: KafkaError | None, _positions: object) -> None:
        self._waits, self._refused = False, error


class Watchdog:
    """Call `report` from the event loop every `LOOK_S`, wrap what has to end in `step`; `start()` and `stop()`.

    `end` gets a message, and whether the event loop is blocked; it ends the process.
    """

    def __init__(
        self,
        settings: Settings,
        kafka: Asks,
        end: Callable[[str, bool], None],
        waits: Waits = WAITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout = settings.stall_timeout
        self._kafka = kafka
        self._end = end
        self._waits = waits
        self._clock = clock
        self._stalls = Stalls()
        self._steps: dict[str, Step] = {}
        self._taken = 0
        self._report = Report()
        self._beat = clock()
        self._asked = float("-inf")
        self._turn = 0
        #: Why the worker is not ready, as the last look found it.
        self._away: str | None = None
        self._still: str | None = None
        self._waiting = ExitStack()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Watch from now on, in a thread of its own."""
        self._beat = self._clock()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Look no more: the shutdown has a deadline of its own."""
        self._stopping.set()

    @contextmanager
    def step(self, name: str, extra_s: float = 0.0) -> Iterator[None]:
        """A step that has to end within the stall timeout and `extra_s`. From the event loop only."""
        self._taken += 1
        name = name if name not in self._steps else f"{name} ({self._taken})"
        self._steps[name] = Step(self._taken, extra_s)
        try:
            yield
        finally:
            del self._steps[name]

    def report(self, following: Mapping[Place, int], end: Mapping[Place, int]) -> dict[Place, int]:
        """Say that the event loop turns, and where the worker stands; returns the lag of each place, in records.

        `following` has the next offset of each place that the worker owns, `end` the end that its consumer knows.
        """
        self._beat = self._clock()
        self._report = report = Report(dict(following), dict(end), dict(self._steps))
        return {place: self._stalls.lag(report, place) for place in report.next}

    def reason(self) -> str | None:
        """Why the worker does not get on, or None if it does."""
        silent = self._clock() - self._beat
        if silent > SLUGGISH_S:
            return f"its event loop has not turned for {silent:.0f} s"
        return self._away or self._waits.notable() or self._still

    def look(self) -> None:
        """Look once; the thread does so every half second. May block for 6 s while Kafka is asked."""
        silent = self._clock() - self._beat
        if silent > self._timeout:
            self._end(f"its event loop has not turned for {silent:.0f} s; the stacks are above", True)
            return
        report = self._report
        longest = max(self._stalls.look(report, self._clock()).values(), default=0.0)
        if self._clock() - self._asked >= ASK_S:
            self._ask(report, longest >= SLUGGISH_S or self._away is not None)
            self._asked = self._clock()
        if self._away or self._excused():
            self._stalls.excuse(self._clock())
        self._waits.notable()
        stalls = self._stalls.look(report, self._clock())
        longest = max(stalls.values(), default=0.0)
        if longest < min(SLUGGISH_S, self._timeout):
            self._still = None
            return
        still = [self._describe(report, name) for name in stalls if stalls[name] >= min(SLUGGISH_S, self._timeout)]
        self._still = f"no progress for {longest:.0f} s: {'; '.join(still)}"
        if longest >= self._timeout and not self._stopping.is_set():
            waits = "; ".join(self._waits.all())
            self._end(
                f"{self._still}. Kafka answers{f'; it {waits}' if waits else ''}. "
                "A new start goes on from the last checkpoint",
                False,
            )

    def _excused(self) -> bool:
        if any(self._waits.on_since(what) is not None for what in ("readers", "detectors", "registry")):
            return True
        acknowledging = self._waits.on_since("kafka")
        return acknowledging is not None and acknowledging < ACKNOWLEDGED_WITHIN * self._timeout

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self.look()
            except StopProcess as refused:
                self._end(str(refused), False)
                return

    def _ask(self, report: Report, writes: bool) -> None:
        """Ask Kafka about a place, each in turn: it may be away, and it knows better what is left to read.

        `writes`: ask it for a write too.
        """
        self._turn += 1
        owned = sorted(report.next)
        place = owned[self._turn % len(owned)] if owned else (topics.EVENTS.name, 0)
        try:
            readable = self._kafka.readable(place, report.next.get(place, 0))
            if writes:
                self._kafka.write(place, report.next.get(place, 0))
        except KafkaException as error:
            if self._away is None:
                detail = f"it does not answer ({error.args[0].str()})"
                self._away = f"waits for Kafka: {detail}"
                self._waiting.enter_context(self._waits.on("kafka", detail))
            return
        self._away = None
        self._waiting.close()
        if owned:
            self._stalls.answered(report, place, readable)

    def _describe(self, report: Report, name: str | Place) -> str:
        if isinstance(name, str):
            return f"{name} has not ended"
        topic, partition = name
        return (
            f"{topic}/{partition} stands at offset {report.next[name]} with {self._stalls.lag(report, name)} "
            "records waiting"
        )


def end_process(message: str, blocked: bool) -> None:
    """End this process with code 1, from any thread; for a blocked event loop with the stacks of all threads."""
    if blocked:
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
    log.critical("ends: %s", message)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(1)

"""The watchdog: a worker that hangs ends, so that whoever started it starts it again; one that waits is left alone.

A thread of its own looks at what the worker reports, and at whether it reports at all. What moves is fine. What has
work and does not move is suspicious, and Kafka itself is asked about it: if Kafka does not answer, the worker waits for
Kafka; if there is nothing to read, there was no work; otherwise, after `stall_timeout`, the worker hangs.
"""

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas import topics
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


class Probe:
    """Asks Kafka itself, through a connection of its own that joins no group."""

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

    def readable(self, place: Place, offset: int) -> bool:
        """Whether a record at or after `offset` of a place can be read now. Blocks for up to 6 s.

        Raises KafkaException if the group's coordinator or the place's leader does not answer.
        """
        reader = self._reader
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


class Watchdog:
    """Call `report` from the event loop every `LOOK_S`, wrap what has to end in `step`; `start()` and `stop()`.

    `end` gets a message, and whether the event loop is blocked; it ends the process.
    """

    def __init__(
        self,
        settings: Settings,
        readable: Callable[[Place, int], bool],
        end: Callable[[str, bool], None],
        waits: Waits = WAITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout = settings.stall_timeout
        self._readable = readable
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
        self._stalls.look(report, self._clock())
        if self._clock() - self._asked >= ASK_S:
            self._ask(report)
            self._asked = self._clock()
        if self._away or any(self._waits.on_since(what) is not None for what in ("readers", "detectors")):
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

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self.look()

    def _ask(self, report: Report) -> None:
        """Ask Kafka about a place, each in turn: it may be away, and it knows better what is left to read."""
        self._turn += 1
        owned = sorted(report.next)
        place = owned[self._turn % len(owned)] if owned else (topics.EVENTS.name, 0)
        try:
            readable = self._readable(place, report.next.get(place, 0))
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

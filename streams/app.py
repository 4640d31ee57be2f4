"""The worker: one Faust app with the agents `ingest`, `score` and `detect`, wired here and nowhere else.

touchpoint.events, corredor.rekeyed -> ingest -> touchpoint.scored, touchpoint.rejected, experience.slices,
                                                  experience.journeys
experience.slices                   -> score  -> experience.scores, /metrics
experience.slices                   -> detect -> experience.incidents, experience.corridor, /metrics
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import uvloop
from faust.types import TP

from schemas import topics
from schemas.errors import StopProcess
from schemas.loader import load_map
from streams.agents.detect import DetectTask
from streams.agents.ingest import LANES, IngestTask
from streams.agents.score import ScoreTask
from streams.model.decode import Record
from streams.runtime import http, metrics
from streams.runtime.checkpoint import Checkpointer
from streams.runtime.faust_app import create_app
from streams.runtime.logs import set_up_logging
from streams.runtime.outbox import Outbox
from streams.runtime.partitioner import partitioner
from streams.runtime.positions import Place, Positions, check_gap
from streams.runtime.settings import Settings
from streams.runtime.shared_positions import SharedPositions
from streams.runtime.topics_admin import partition_counts
from streams.runtime.watchdog import LOOK_S, Probe, Watchdog, end_process

if TYPE_CHECKING:
    from streams.runtime.registry import SchemaRegistry

log = logging.getLogger("corredor.worker")
AgentTask = IngestTask | ScoreTask | DetectTask


class Worker:
    """One worker process: the Faust app and what its agents stand on."""

    def __init__(self, settings: Settings) -> None:
        corridor = load_map(settings.map)
        counts = partition_counts(settings)
        inputs = counts[topics.EVENTS.name]
        self.settings = settings
        self.app = create_app(settings)
        self.stopping = asyncio.Event()
        self.owning = asyncio.Event()
        self.failure: BaseException | None = None
        self.ready = "the partitions are not assigned yet"
        self.watchdog = Watchdog(settings, Probe(settings), end_process)
        self._unowned = ExitStack()
        self._taking: asyncio.Task[None] | None = None
        #: Not while partitions are being given up.
        self._settled = asyncio.Event()
        self._settled.set()
        #: How often partitions were given up; a take-over that began before the last time stops.
        self._revocations = 0

        sinks = [settings.sink_group] if settings.sink else []
        ingest_box = Outbox(
            settings,
            {
                topics.SCORED.name: sinks,
                topics.REJECTED.name: sinks,
                topics.SLICES.name: [*sinks, settings.worker_group],
                topics.JOURNEYS.name: sinks,
            },
        )
        score_box = Outbox(settings, {topics.SCORES.name: sinks})
        detect_box = Outbox(settings, {topics.INCIDENTS.name: sinks, topics.CORRIDOR.name: sinks})
        self.ingest = IngestTask(
            settings,
            corridor,
            ingest_box,
            partitioner(inputs),
            counts[topics.SLICES.name],
            lambda topic, partition, following: self.app.consumer.caught_up(topic, partition, following),
        )
        origins = [f"{topic}/{partition}" for topic in LANES for partition in range(inputs)]
        self.score = ScoreTask(settings, corridor, origins)
        self.detect = DetectTask(settings, corridor, origins)
        self.registry = _registry(settings)
        self.slices = SharedPositions(topics.SLICES.name, ("score", "detect"), self._commit)
        self.checkpoints = (
            Checkpointer(self.ingest, ingest_box, self._commit),
            Checkpointer(self.score, score_box, self.slices.commit_of("score")),
            Checkpointer(self.detect, detect_box, self.slices.commit_of("detect")),
        )
        metrics.SCORES.current = self.score.current
        metrics.INCIDENTS.current = self.detect.open
        metrics.INCIDENTS.cut_off = self.detect.cut_off
        for touchpoint in corridor.touchpoints:
            metrics.IMPORTANCE.labels(touchpoint.name).set(touchpoint.importance)
        self._wire()

    def _wire(self) -> None:
        """Connect agents, assignment and timers to the app."""
        slices = (topics.SLICES.name,)
        tasks: tuple[AgentTask, ...] = (self.ingest, self.score, self.detect)
        for names, task, checkpoint in zip((LANES, slices, slices), tasks, self.checkpoints, strict=True):
            channel = self.app.topic(
                *names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
            )
            unwrap = self.registry.unwrap if self.registry is not None and task is self.ingest else None
            self.app.agent(channel, name=type(task).__name__)(
                _agent(task, checkpoint, self._admit, self._ours, self.fail, unwrap)
            )
        self.app.on_partitions_assigned.connect(self._assigned, weak=False)
        self.app.on_partitions_revoked.connect(self._revoked, weak=False)

    # -- assignment ----------------------------------------------------------------------------------------------

    async def _assigned(self, _app: Any, assigned: set[TP], **_: Any) -> None:
        """Take the partitions over in the background: aiokafka sends no heartbeat before this returns."""
        self._unowned.close()
        self.ready = "state is being read back"
        self._taking = asyncio.create_task(self._take_over(assigned, self._revocations))

    async def _take_over(self, assigned: set[TP], revocations: int) -> None:
        def still_ours() -> bool:
            return self._revocations == revocations

        try:
            places = [(tp.topic, tp.partition) for tp in assigned]
            positions = await asyncio.to_thread(Positions.fetch, self.settings, self.settings.worker_group, places)
            owned = {topic: {tp.partition for tp in assigned if tp.topic == topic} for topic in topics_read()}
            if owned[topics.EVENTS.name] != owned[topics.REKEYED.name]:
                raise StopProcess("the two lanes of a partition were assigned to different workers")
            await self.ingest.assign(owned[topics.EVENTS.name], positions, still_ours)
            slices = self.slices.take_over(positions)
            await self.score.assign(owned[topics.SLICES.name], slices["score"], still_ours)
            await self.detect.assign(owned[topics.SLICES.name], slices["detect"], still_ours)
            if still_ours():
                self.ready = ""
                self.owning.set()
                log.info("owns partitions %s", {topic: sorted(owned[topic]) for topic in owned})
        except Exception as error:  # noqa: BLE001 - nobody waits for this task, and without state nothing may go on
            self.fail(error)

    async def _revoked(self, _app: Any, _revoked: set[TP], **_: Any) -> None:
        if self.app.should_stop:
            # The last checkpoint is made, and Faust's consumer takes no commit any more.
            return
        self._settled.clear()
        try:
            self.ready = "the partitions are being assigned anew"
            self.owning.clear()
            self._revocations += 1
            self._await_partitions()
            if self._taking is not None:
                await self._taking
            await self.checkpoint()
        except Exception as error:  # noqa: BLE001 - Faust would log it and go on
            # What was not acknowledged is done again by the next owner.
            log.warning("the checkpoint before giving partitions up failed: %s", error)
            for task in (self.ingest, self.score, self.detect):
                task.drop()
        finally:
            self._settled.set()

    def _await_partitions(self) -> None:
        """The group may take its rebalance timeout to agree; after that and the stall timeout something hangs."""
        self._unowned.close()
        self._unowned.enter_context(
            self.watchdog.step("the assignment of partitions", self.app.conf.broker_rebalance_timeout)
        )

    async def _admit(self, message: Any, task: AgentTask) -> bool:
        """Whether a batch may be applied: the partition is owned, its state is back, and nothing in between is missing.

        Faust resumes the streams while state is still being read back, and a batch may be in our hands across a
        rebalance. Raises StopProcess if records were skipped: the next start reads them again.
        """
        await self.owning.wait()
        expected = task.next_offset(message.topic, message.partition)
        if expected is None or not self._ours(message, task):
            return False
        if message.offset > expected:
            await asyncio.to_thread(
                check_gap, self.settings, message.topic, message.partition, expected, message.offset
            )
        return True

    def _ours(self, message: Any, task: AgentTask) -> bool:
        owned = self.owning.is_set() and task.next_offset(message.topic, message.partition) is not None
        return owned and message.generation_id == self.app.consumer_generation_id

    async def _commit(self, positions: Mapping[tuple[str, int], int]) -> None:
        await self.app.consumer.commit_positions({TP(*place): offset for place, offset in positions.items()})

    # -- running -------------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """End the process because going on would lose or bend a result."""
        if self.failure is None:
            self.failure = error
        self.stopping.set()

    async def checkpoint(self) -> None:
        """One checkpoint of every task."""
        for checkpoint in self.checkpoints:
            with self.watchdog.step("a checkpoint"):
                await checkpoint.run()

    async def _every_interval(self, checkpoint: Checkpointer) -> None:
        try:
            # A checkpoint under way is never cancelled: what it has taken from its task would be lost.
            while not await self._stops_within(self.settings.checkpoint_interval):
                # Since the checkpoint before partitions were given up nothing is new, and no commit would be taken.
                if self.owning.is_set():
                    with self.watchdog.step("a checkpoint"):
                        await checkpoint.run()
        except Exception as error:  # noqa: BLE001 - any failure ends the process, whatever it is
            self.fail(error)

    async def _stops_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return False
        return True

    async def _observe(self) -> None:
        """Tell the watchdog and /metrics where the work stands, and notice if Faust has ended by itself."""
        try:
            while True:
                ends = self.app.consumer.ends()
                following = {place: offset for place in ends if (offset := self._next_offset(place)) is not None}
                metrics.show_lag(self.watchdog.report(following, ends))
                if self.app.should_stop:
                    raise StopProcess(f"Faust has stopped: {self.app.crash_reason!r}")
                await asyncio.sleep(LOOK_S)
        except Exception as error:  # noqa: BLE001 - any failure ends the process, whatever it is
            self.fail(error)

    def _next_offset(self, place: Place) -> int | None:
        """The next offset to apply, of the slowest agent that reads there; None for a partition not owned."""
        if place[0] != topics.SLICES.name:
            return self.ingest.next_offset(*place)
        score, detect = self.score.next_offset(*place), self.detect.next_offset(*place)
        return None if score is None or detect is None else min(score, detect)

    def _not_ready(self) -> str | None:
        if self.stopping.is_set():
            return "it is ending"
        return self.watchdog.reason() or self.ready or None

    async def _start(self) -> None:
        try:
            await self.app.start()
        except Exception as error:  # noqa: BLE001 - any failure ends the process, whatever it is
            self.fail(error)

    async def _stop(self, timers: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*timers)
        if self.owning.is_set():
            await self.checkpoint()
        # Faust's consumer would wait for whoever gives partitions up, who waits for its commit by that consumer.
        await self._settled.wait()
        await self.app.stop()

    async def run(self) -> int:
        """Run until a signal or a failure; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        server = http.serve(
            self.settings.metrics_host,
            self.settings.metrics_port,
            self._not_ready,
            documents={http.INCIDENTS: self.detect.open_with_links},
        )
        log.info("metrics at http://%s:%d/metrics", self.settings.metrics_host, server.port)
        self._await_partitions()
        self.watchdog.start()
        starting, observing = asyncio.create_task(self._start()), asyncio.create_task(self._observe())
        timers = [asyncio.create_task(self._every_interval(checkpoint)) for checkpoint in self.checkpoints]
        await self.stopping.wait()
        observing.cancel()
        self.watchdog.stop()
        if self.failure is None and starting.done():
            # Not by cancelling: Faust may swallow that, and wait on for a broker that is gone.
            stop = asyncio.create_task(self._stop(timers))
            await asyncio.wait([stop], timeout=self.settings.shutdown_timeout)
            if not stop.done():
                log.warning(
                    "shutdown took longer than %.1f s; what was not acknowledged will be done again",
                    self.settings.shutdown_timeout,
                )
            elif (error := stop.exception()) is not None:
                self.fail(error)
        if self.failure is not None:
            log.critical("ends: %s", self.failure, exc_info=_traceback(self.failure))
            return 1
        return 0


def topics_read() -> tuple[str, ...]:
    """The topics that a worker reads."""
    return (*LANES, topics.SLICES.name)


def _registry(settings: Settings) -> "SchemaRegistry | None":
    if not settings.schema_registry.get_secret_value():
        return None
    from streams.runtime.registry import SchemaRegistry

    return SchemaRegistry(settings)


def _agent(
    task: AgentTask,
    checkpoint: Checkpointer,
    admit: Callable[[Any, AgentTask], Awaitable[bool]],
    ours: Callable[[Any, AgentTask], bool],
    fail: Callable[[BaseException], None],
    unwrap: Callable[[list[Record]], Awaitable[list[Record]]] | None,
) -> Callable[[Any], Awaitable[None]]:
    async def turn(batch: Any, records: list[Record]) -> int:
        async with checkpoint.gate:
            # Partitions may have been given up while a checkpoint had the gate.
            return await task.apply(batch.topic, batch.partition, records) if ours(batch, task) else 0

    async def agent(stream: Any) -> None:
        try:
            async for event in stream.noack().events():
                batch = event.message
                left: list[Record] = batch.value if unwrap is None else await unwrap(batch.value)
                while left and await admit(batch, task):
                    # Faust cancels agents when it stops: a batch applied but not published must not be acknowledged.
                    left = left[await asyncio.shield(turn(batch, left)) :]
                    if left:
                        # Others get their turn.
                        await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - Faust would restart the agent without the batch
            fail(error)

    return agent


def _traceback(error: BaseException) -> BaseException | None:
    return None if isinstance(error, StopProcess) else error


def collect_seldom() -> None:
    """Let the garbage collector look for cycles seldom.

    The record loop makes none; with the usual threshold a quarter of its time went into looking for them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def run_worker(settings: Settings) -> None:
    """Run a worker in this process until it is told to stop, and end the process with its exit code.

    The process ends at once afterwards: everything worth keeping is in Kafka, and a Faust shutdown can hang.
    """
    set_up_logging(settings)
    collect_seldom()

    async def main() -> int:
        return await Worker(settings).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(main())
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)

"""The checkpoint: the only way results leave a worker, and the only way its input is acknowledged."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from schemas.errors import StopProcess
from streams.runtime import metrics
from streams.runtime.outbox import Outbox
from streams.runtime.state_log import StateLog
from streams.runtime.waiting import by_kafka


@dataclass(slots=True)
class Effects:
    """What one task wants durable: state, then results that derive from it, then input positions to acknowledge."""

    #: (log of a partition, records): a record's value of None deletes its key.
    state: list[tuple[StateLog, list[tuple[bytes, bytes | None]]]] = field(default_factory=list)
    messages: list[tuple[str, list[dict[str, object]]]] = field(default_factory=list)
    #: (topic, partition) -> the offset after the last one applied.
    positions: dict[tuple[str, int], int] = field(default_factory=dict)


class Task(Protocol):
    """One agent's work on the partitions it owns."""

    def collect(self, now: float) -> Effects:
        """What changed since the last call, without waiting for anything; `now` is epoch seconds."""

    @property
    def full(self) -> bool:
        """Whether so much has changed since the last call that a checkpoint should come before anything else."""

    def committed(self, now: float) -> None:
        """What `collect` last gave is durable and acknowledged."""


Commit = Callable[[Mapping[tuple[str, int], int]], Awaitable[None]]


class Checkpointer:
    """Runs the five steps for one task, one checkpoint at a time.

    1. Take what changed: the task hands over its effects and the outbox turns, so that what is published from now on
       belongs to the next checkpoint. `gate` keeps a batch from being half applied and published at that moment.
    2. Flush what was published event by event since the last checkpoint; every delivery is checked.
    3. Write the changed state, one transaction for each partition. A worker that lost the partition fails here.
    4. Publish the results that derive from the state (absolute, so twice does no harm) and flush them.
    5. Acknowledge: commit the input positions.

    The commit is never ahead of the results, derived results are never ahead of the state, and the state is never ahead
    of the results of single events. Any failure raises, and whoever runs this ends the process.
    """

    def __init__(self, task: Task, outbox: Outbox, commit: Commit) -> None:
        self.gate = asyncio.Lock()
        self._task = task
        self._outbox = outbox
        self._commit = commit
        self._one_at_a_time = asyncio.Lock()
        # True while what the task has handed over is not out; it stays so if that fails or is cancelled.
        self._unfinished = False

    async def run(self) -> None:
        """Run one checkpoint; a second call waits for the first. Raises StopProcess or what the commit raises.

        After one that did not get its results and state out, every later one raises: the task has handed over what is
        missing, and would acknowledge its events.
        """
        async with self._one_at_a_time:
            if self._unfinished:
                raise StopProcess("an earlier checkpoint was not finished; a new start does its work again")
            started = time.monotonic()
            async with self.gate:
                self._unfinished = True
                effects = self._task.collect(time.time())
                results = self._outbox.turn()

            await by_kafka(self._outbox.flush(results), "results of single events are not acknowledged")

            state = asyncio.gather(*(asyncio.to_thread(log.write, records) for log, records in effects.state))
            await by_kafka(state, "state is not acknowledged")

            for topic, messages in effects.messages:
                await self._outbox.publish(topic, messages, results)
            await by_kafka(self._outbox.flush(results), "results are not acknowledged")

            self._unfinished = False
            if effects.positions:
                await by_kafka(self._commit(effects.positions), "the commit of input positions is not answered")
                metrics.CHECKPOINT_SECONDS.observe(time.monotonic() - started)
                metrics.LAST_CHECKPOINT.set_to_current_time()
            self._task.committed(time.time())

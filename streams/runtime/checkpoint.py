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


@dataclass(slots=True)
class Effects:
    """What one task wants durable: messages to publish, then state, in order, then input positions to commit."""

    messages: list[tuple[str, list[dict[str, object]]]] = field(default_factory=list)
    #: (changelog partition, records): a record's value of None deletes its key.
    state: list[tuple[int, list[tuple[bytes, bytes | None]]]] = field(default_factory=list)
    #: (topic, partition) -> the offset after the last one applied.
    positions: dict[tuple[str, int], int] = field(default_factory=dict)


class Task(Protocol):
    """One agent's work on the partitions it owns."""

    def collect(self, now: float) -> Effects:
        """What changed since the last call, without waiting for anything; `now` is epoch seconds."""

    def committed(self, now: float) -> None:
        """What `collect` last gave is durable and acknowledged."""


Commit = Callable[[Mapping[tuple[str, int], int]], Awaitable[None]]


class Checkpointer:
    """Runs the five steps for one task, one checkpoint at a time.

    1. Take what changed: the task hands over its effects and the outbox turns, so that what is published from now on
       belongs to the next checkpoint. `gate` keeps a batch from being half applied and published at that moment.
    2. Publish the results and flush everything published since the last checkpoint.
    3. Write the changed state, in its order, and flush it.
    4. Every delivery has been checked by now: any failure has raised.
    5. Commit the positions.

    The commit is never ahead of the state, the state never ahead of the results.
    """

    def __init__(self, task: Task, outbox: Outbox, state_log: StateLog | None, commit: Commit) -> None:
        self.gate = asyncio.Lock()
        self._task = task
        self._outbox = outbox
        self._state_log = state_log
        self._commit = commit
        self._one_at_a_time = asyncio.Lock()
        #: Set while what a task has handed over is not durable; it stays set if that fails or is cancelled.
        self._owes = False

    async def run(self) -> None:
        """Run one checkpoint; a second call waits for the first. Raises StopProcess or what the commit raises.

        After one that failed or was cancelled before its results and state were durable, every later one raises: the
        task no longer knows what is missing, and would acknowledge it.
        """
        async with self._one_at_a_time:
            if self._owes:
                raise StopProcess("an earlier checkpoint was not finished; a new start does its work again")
            started = time.monotonic()
            async with self.gate:
                self._owes = True
                effects = self._task.collect(time.time())
                results = self._outbox.turn()

            for topic, messages in effects.messages:
                await self._outbox.publish(topic, messages, results)
            await self._outbox.flush(results)

            if self._state_log is not None:
                for partition, records in effects.state:
                    await self._state_log.write(partition, records)

            self._owes = False
            if effects.positions:
                await self._commit(effects.positions)
                metrics.CHECKPOINT_SECONDS.observe(time.monotonic() - started)
                metrics.LAST_CHECKPOINT.set_to_current_time()
            self._task.committed(time.time())

"""The five steps of a checkpoint, with every effect in one ordered list; nothing is acknowledged after a failure."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from schemas.errors import StopProcess
from streams.runtime.checkpoint import Checkpointer, Effects
from streams.runtime.outbox import Outbox
from streams.runtime.state_log import StateLog

STATE: list[tuple[bytes, bytes | None]] = [(b"s", b"slice"), (b"j", b"journey"), (b"l", b"lane"), (b"s2", None)]
MESSAGE: dict[str, object] = {"key": b"k", "value": b"v"}
POSITIONS = {("touchpoint.events", 0): 8}


class Journal:
    """The list of effects, and the one that fails."""

    def __init__(self, fails_at: str = "") -> None:
        self.effects: list[str] = []
        self.fails_at = fails_at

    def note(self, effect: str) -> None:
        self.effects.append(effect)
        if effect == self.fails_at:
            raise StopProcess(f"{effect} failed")


class FakeOutbox:
    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.resting = "b"
        self.active = "a"

    def turn(self) -> str:
        self.active, self.resting = self.resting, self.active
        self.journal.note(f"turn to {self.active}")
        return self.resting

    async def publish(self, topic: str, messages: Sequence[Any], producer: str | None = None) -> None:
        await asyncio.sleep(0)
        self.journal.note(f"publish {len(messages)} to {topic} by {producer or self.active}")

    async def flush(self, producer: str) -> None:
        await asyncio.sleep(0)
        self.journal.note(f"flush {producer}")


class FakeLog:
    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        self.journal.note("state " + " ".join(key.decode() for key, _ in records))


class FakeTask:
    full = False

    def __init__(self, journal: Journal, effects: Effects) -> None:
        self.journal = journal
        self.effects = effects

    def collect(self, now: float) -> Effects:
        assert now > 1.7e9
        self.journal.note("collect")
        return self.effects

    def committed(self, now: float) -> None:
        self.journal.note("committed")


def checkpointer(journal: Journal, effects: Effects | None = None) -> Checkpointer:
    async def commit(positions: Mapping[tuple[str, int], int]) -> None:
        await asyncio.sleep(0)
        journal.note(f"commit {dict(positions)}")

    if effects is None:
        effects = Effects(
            state=[(cast(StateLog, FakeLog(journal)), STATE)],
            messages=[("experience.slices", [MESSAGE, MESSAGE])],
            positions=dict(POSITIONS),
        )
    return Checkpointer(FakeTask(journal, effects), cast(Outbox, FakeOutbox(journal)), commit)


ALL = [
    "collect",
    "turn to b",
    "flush a",
    "state s j l s2",
    "publish 2 to experience.slices by a",
    "flush a",
    f"commit {POSITIONS}",
    "committed",
]


def test_the_steps_come_in_their_order() -> None:
    journal = Journal()
    asyncio.run(checkpointer(journal).run())
    assert journal.effects == ALL


@pytest.mark.parametrize("step", range(len(ALL) - 1))
def test_a_failed_step_is_the_last_one_and_raises(step: int) -> None:
    journal = Journal(fails_at=ALL[step])
    with pytest.raises(StopProcess, match="failed"):
        asyncio.run(checkpointer(journal).run())
    assert journal.effects == ALL[: ALL.index(ALL[step]) + 1]


def test_without_anything_new_nothing_is_committed() -> None:
    journal = Journal()
    asyncio.run(checkpointer(journal, Effects()).run())
    assert journal.effects == ["collect", "turn to b", "flush a", "flush a", "committed"]


def test_a_second_checkpoint_waits_for_the_first() -> None:
    journal = Journal()

    async def two() -> None:
        checkpoint = checkpointer(journal)
        await asyncio.gather(checkpoint.run(), checkpoint.run())

    asyncio.run(two())
    second = [effect.replace("to b", "to a").replace("by a", "by b").replace("flush a", "flush b") for effect in ALL]
    assert journal.effects == ALL + second


def test_a_checkpoint_waits_for_a_batch_that_is_being_applied() -> None:
    journal = Journal()

    async def scenario() -> None:
        checkpoint = checkpointer(journal, Effects())
        async with checkpoint.gate:
            running = asyncio.create_task(checkpoint.run())
            for _ in range(5):
                await asyncio.sleep(0)
            journal.note("batch applied")
        await running

    asyncio.run(scenario())
    assert journal.effects[:2] == ["batch applied", "collect"]


def test_batches_are_applied_while_a_checkpoint_is_flushed() -> None:
    journal = Journal()

    async def scenario() -> None:
        checkpoint = checkpointer(journal)
        running = asyncio.create_task(checkpoint.run())
        while "turn to b" not in journal.effects:
            await asyncio.sleep(0)
        async with checkpoint.gate:
            journal.note("batch applied")
        await running

    asyncio.run(scenario())
    assert journal.effects.index("batch applied") < journal.effects.index("committed")


@pytest.mark.parametrize("step", range(1, 6))
def test_after_a_checkpoint_that_was_not_finished_none_acknowledges_anything(step: int) -> None:
    journal = Journal(fails_at=ALL[step])
    checkpoint = checkpointer(journal)
    with pytest.raises(StopProcess):
        asyncio.run(checkpoint.run())
    journal.fails_at = ""
    with pytest.raises(StopProcess, match="not finished"):
        asyncio.run(checkpoint.run())
    assert not any(effect.startswith("commit") for effect in journal.effects)


def test_a_cancelled_checkpoint_is_one_that_was_not_finished() -> None:
    journal = Journal()

    async def scenario() -> None:
        checkpoint = checkpointer(journal)
        running = asyncio.create_task(checkpoint.run())
        while "flush a" not in journal.effects:
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        with pytest.raises(StopProcess, match="not finished"):
            await checkpoint.run()

    asyncio.run(scenario())
    assert not any(effect.startswith("commit") for effect in journal.effects)


def test_after_a_failed_commit_the_next_checkpoint_may_try_again() -> None:
    journal = Journal(fails_at=f"commit {POSITIONS}")
    checkpoint = checkpointer(journal)
    with pytest.raises(StopProcess):
        asyncio.run(checkpoint.run())
    journal.fails_at = ""
    asyncio.run(checkpoint.run())
    assert journal.effects[-1] == "committed"

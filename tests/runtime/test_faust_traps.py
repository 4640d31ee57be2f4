"""What Faust does that our transport is built around. A test here that fails after an upgrade of faust-streaming tells
what has changed, and its message what to think over; the clients' traps are in test_client_traps.py.

All in this process, without a broker: batches are given to Faust where its fetcher would give them.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.runtime.faust_app import create_app
from streams.runtime.settings import load_settings
from streams.runtime.transport import BatchConsumer

PLACE = TP("traps", 0)
#: Records in each batch.
SIZE = 1000

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def _loops(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Faust makes event loops for threads that are never started here, and closes none of them."""
    made: list[asyncio.AbstractEventLoop] = []
    new = asyncio.new_event_loop

    def remember() -> asyncio.AbstractEventLoop:
        made.append(new())
        return made[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", remember)
    yield
    for loop in made:
        loop.close()


def stock(folder: Path) -> faust.App:
    """An app as Faust's guide shows, which is never started."""
    app = faust.App("traps", broker="kafka://127.0.0.1:1", datadir=folder, web_enabled=False, autodiscover=False)
    app.finalize()
    return app


def ours(folder: Path) -> faust.App:
    return create_app(load_settings(kafka="127.0.0.1:1", data_dir=folder))


def batch(app: faust.App, offset: int) -> ConsumerMessage:
    """One message that stands for SIZE records from `offset` on, as `BatchConsumer` makes it."""
    return ConsumerMessage(
        *PLACE, offset, 0.0, 0, (), b"k", [offset], None, -1, -1, PLACE, generation_id=app.consumer_generation_id
    )


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def give(app: faust.App, body: Callable[[Any], Awaitable[None]], offsets: list[int]) -> Any:
    """Start `body` as an agent and hand it batches through Faust's conductor; returns the agent."""
    agent = app.agent(app.topic(PLACE.topic, value_type=bytes, value_serializer="raw"))(body)
    app.flow_control.resume()
    await agent.start()
    await until(lambda: len(app.topics))
    await app.topics._update_indices()
    await app.topics.on_partitions_assigned({PLACE})
    for offset in offsets:
        await app.topics.on_message(batch(app, offset))
    return agent


async def fetch(app: faust.App, offsets: list[int]) -> Any:
    """Let the consumer of `app` find batches at these offsets, as its fetcher thread would; returns the consumer."""
    app.topics._acking_topics.add(PLACE.topic)
    fetcher = SimpleNamespace(_stopped=asyncio.Event())
    consumer = app.consumer

    async def getmany(timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        for offset in offsets:
            message = batch(app, offset)
            message.tracked = True
            yield PLACE, message
        fetcher._stopped.set()

    async def nobody(message: ConsumerMessage) -> None:
        """No agent is there."""

    consumer.getmany, consumer.callback = getmany, nobody
    await consumer._drain_messages(fetcher)
    return consumer


@pytest.mark.parametrize("of", [stock, ours])
def test_trap_1_faust_takes_the_offsets_inside_a_batch_for_gaps_and_our_consumer_does_not(
    of: Callable[[Path], faust.App], tmp_path: Path
) -> None:
    async def main() -> int:
        consumer = await fetch(of(tmp_path), [1, 1 + SIZE, 1 + 2 * SIZE])
        return sum(interval.end - interval.begin for interval in consumer._gap[PLACE])

    gaps = asyncio.run(main())
    if of is ours:
        assert gaps == 0, "an integer would be kept for every record: BatchConsumer._add_gap is not called any more"
    else:
        assert gaps == 2 * SIZE, "Faust no longer sees gaps: BatchConsumer._add_gap may go"


def test_trap_1_faust_s_commit_stays_a_batch_behind_and_keeps_an_integer_for_every_record(tmp_path: Path) -> None:
    async def main() -> tuple[int | None, int | None, int]:
        app = stock(tmp_path)
        consumer = app.consumer
        app.topics._acking_topics.add(PLACE.topic)
        consumer.ack(batch(app, 0))
        await consumer._add_gap(PLACE, 1, SIZE)
        first = consumer._new_offset(PLACE)
        consumer._committed_offset[PLACE] = first
        consumer.ack(batch(app, SIZE))
        added: list[int] = []
        consumer._acked[PLACE] = _Counting(consumer._acked[PLACE], added)
        return first, consumer._new_offset(PLACE), len(added)

    first, second, kept = asyncio.run(main())
    reconsider = "Faust can commit batches now: BatchConsumer.commit_positions and broker_commit_interval"
    # Two batches are done, up to 2 * SIZE.
    assert (first, second) == (1, SIZE + 1), reconsider
    assert kept == SIZE, reconsider


class _Counting(list[int]):
    """A list that remembers what it was extended by."""

    def __init__(self, items: list[int], added: list[int]) -> None:
        super().__init__(items)
        self._added = added

    def extend(self, items: Any) -> None:
        self._added += items
        super().extend(items)


def test_trap_2_an_exception_in_an_agent_loses_its_batch_with_faust_s_own_acknowledgement(tmp_path: Path) -> None:
    seen: list[int] = []

    async def fails(stream: Any) -> None:
        async for event in stream.events():
            seen.append(event.message.offset)
            raise ValueError("the agent fails")

    async def main() -> int | None:
        app = stock(tmp_path)
        agent = await give(app, fails, [5, 6])
        await until(lambda: len(seen) == 2 and (gc.collect(), app.consumer._acked[PLACE])[1])
        following: int | None = app.consumer._new_offset(PLACE)
        await agent.stop()
        return following

    following = asyncio.run(main())
    assert seen == [5, 6], "a restarted agent gets its batch again: streams/app.py need not end the process"
    assert following == 7, "a failed batch is no longer acknowledged: `noack` in streams/app.py may go"


def test_trap_2_a_cancelled_take_acknowledges_its_batches(tmp_path: Path) -> None:
    seen: list[int] = []

    async def takes(stream: Any) -> None:
        async for values in stream.take(2, within=100):
            seen.append(len(values))
            await asyncio.Event().wait()

    async def main() -> tuple[list[int], list[int]]:
        app = stock(tmp_path)
        agent = await give(app, takes, [5, 6])
        await until(lambda: seen)
        before = list(app.consumer._acked[PLACE])
        await agent.stop()
        return before, sorted(app.consumer._acked[PLACE])

    before, after = asyncio.run(main())
    assert before == []
    assert after == [5, 6], "a cancelled take() loses nothing now: it could replace streams of batches"


def test_trap_2_a_noack_stream_acknowledges_nothing_whatever_happens(tmp_path: Path) -> None:
    seen: list[int] = []

    async def fails(stream: Any) -> None:
        async for event in stream.noack().events():
            seen.append(event.message.offset)
            raise ValueError("the agent fails")

    async def main() -> list[int]:
        app = stock(tmp_path)
        agent = await give(app, fails, [5, 6])
        await until(lambda: len(seen) == 2)
        await agent.stop()
        gc.collect()
        return list(app.consumer._acked[PLACE])

    assert asyncio.run(main()) == [], "`noack` acknowledges: streams/app.py needs another way to keep a batch"


@pytest.mark.parametrize(
    ("committed", "acked", "following"),
    [
        # 100 is in flight: right would be None.
        (100, [101, 102, 103], 104),
        (100, [102, 103], None),
        (100, [100, 101], 102),
        (None, [101], 102),
    ],
)
def test_trap_3_faust_s_new_offset_skips_the_first_batch_in_flight(
    tmp_path: Path, committed: int | None, acked: list[int], following: int | None
) -> None:
    async def main() -> int | None:
        consumer = stock(tmp_path).consumer
        consumer._committed_offset[PLACE] = committed
        consumer._acked[PLACE] = list(acked)
        found: int | None = consumer._new_offset(PLACE)
        return found

    found = asyncio.run(main())
    assert found == following, "_new_offset counts otherwise: commits of our own (commit_positions) were made for this"


def test_trap_5_the_stream_s_buffer_counts_batches_and_is_small(tmp_path: Path) -> None:
    """Faust stops fetching a partition at 1 / 1.25 of the buffer, and the conductor waits when it is full."""
    full: list[TP] = []

    async def never(stream: Any) -> None:
        async for _ in stream.noack().events():
            await asyncio.Event().wait()

    async def main() -> int:
        app = ours(tmp_path)
        app.consumer.on_buffer_full = full.append
        agent = await give(app, never, [])
        taken = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                while True:
                    await app.topics.on_message(batch(app, taken * SIZE))
                    taken += 1
        await agent.stop()
        return taken

    taken = asyncio.run(main())
    maxsize = ours(tmp_path).conf.stream_buffer_maxsize
    assert maxsize == 4
    # The agent holds one more.
    assert maxsize <= taken <= maxsize + 1, "stream_buffer_maxsize is no bound any more: what bounds memory now?"
    assert full == [PLACE], "fetching is not stopped by a full buffer any more: what bounds memory now?"


@pytest.fixture
def closed() -> list[Any]:
    return []


def table(app: faust.App, closed: list[Any]) -> Any:
    """A table of 10-second windows kept for 60 s, by a field of the events."""

    class Event(faust.Record):
        time: float

    async def on_close(key: Any, value: Any) -> None:
        closed.append((key[0], value))

    windowed = app.Table("windowed", partitions=2, on_window_close=on_close).tumbling(10.0, expires=60.0)
    return windowed.relative_to_field(Event.time).table


def put(found: Any, key: str, at: float, partition: int) -> None:
    """What setting a key does, without the changelog."""
    windowed = (key, found.window.current(at))
    found.data[windowed] = 1
    found._maybe_set_key_ttl(windowed, partition)


def test_trap_7_a_window_closes_with_its_callback_in_one_partition_only(tmp_path: Path, closed: list[Any]) -> None:
    """Version 0.15.3 no longer needs an event for closing (as faust#250 says); it loses callbacks instead."""

    async def main() -> int:
        found = table(stock(tmp_path), closed)
        for partition in range(2):
            put(found, f"key-{partition}", time.time() - 3600, partition)
        await found._del_old_keys()
        return len(found.data)

    assert asyncio.run(main()) == 0
    assert closed == [("key-0", 1)], "on_window_close can be trusted now; silence still needs a clock that replays"


def test_trap_8_a_windowed_table_expires_by_the_wall_clock_even_relative_to_a_field(
    tmp_path: Path, closed: list[Any]
) -> None:
    async def main() -> int:
        found = table(stock(tmp_path), closed)
        # Two events of 2017, a second apart.
        for at in (1_500_000_000.0, 1_500_000_001.0):
            put(found, "key", at, 0)
        await found._del_old_keys()
        return len(found.data)

    assert asyncio.run(main()) == 0, "Tables expire by event time now: replayed history would come out right in them"


def test_traps_7_and_8_our_agents_use_no_table_and_faust_writes_no_changelog(tmp_path: Path) -> None:
    app = ours(tmp_path)
    assert not app.tables.data and not app.tables.changelog_topics
    used = [path for path in (Path(__file__).parents[2] / "streams").rglob("*.py") if ".Table(" in path.read_text()]
    assert used == [], "a Faust Table is slow, expires by the wall clock and loses callbacks (DESIGN.md, traps 7 and 8)"


def test_what_our_consumer_overrides_is_still_there() -> None:
    for name in ("_to_message", "_add_gap", "_new_consumer_thread", "_new_offset", "_drain_messages"):
        assert callable(getattr(driver.Consumer, name, None)), f"Faust's consumer has no {name}: look at transport.py"
    assert BatchConsumer._add_gap is not driver.Consumer._add_gap

"""An insert that does not end makes the sink not ready, then ends it; the next start writes its rows."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from schemas import topics
from sinks.hangs import SLUGGISH_S, WatchedStore
from streams.runtime import clients
from streams.runtime.settings import Settings
from tests.sinks.fakes import FakeStore, World, away
from tests.sinks.rows import encode, scored
from tests.sinks.test_commands import ROOT, sink

LIMIT_S = 120.0


class HangingStore:
    """An insert that ends when it is told to."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def insert(self, table: str, lines: bytes) -> None:
        self.begun.set()
        assert self.go_on.wait(30)


@contextmanager
def hanging(world: World, ended: list[str]) -> Iterator[WatchedStore]:
    """A watched store in the middle of an insert, which ends with the block."""
    store = HangingStore()
    watched = WatchedStore(store, LIMIT_S, ended.append, world.clock)
    thread = threading.Thread(target=watched.insert, args=("touchpoint_events", b"123"))
    thread.start()
    try:
        assert store.begun.wait(30)
        yield watched
    finally:
        store.go_on.set()
        thread.join(30)


def test_an_insert_that_does_not_end_makes_the_sink_not_ready_and_then_ends_it() -> None:
    world, ended = World(), list[str]()
    with hanging(world, ended) as watched:
        watched.look()
        assert (watched.reason(), ended) == (None, [])
        world.now = SLUGGISH_S
        watched.look()
        assert watched.reason() == "an insert of 3 bytes into touchpoint_events has not ended for 5 s"
        assert ended == []
        world.now = LIMIT_S
        watched.look()
        assert "into touchpoint_events has not ended for 120 s: ClickHouse hangs" in ended[0]
    assert watched.reason() is None


def test_inserts_that_end_are_fine_however_many_and_also_those_that_fail() -> None:
    world, ended = World(), list[str]()
    watched = WatchedStore(FakeStore(world), LIMIT_S, ended.append, world.clock)
    for number in range(100):
        world.failures = [away()] if number % 2 else []
        try:
            watched.insert("touchpoint_events", b"1")
        except type(away()):
            assert number % 2
        world.now += LIMIT_S
        watched.look()
    assert (watched.reason(), ended) == (None, [])


def test_a_hang_while_the_sink_ends_is_left_to_the_deadline_of_the_shutdown() -> None:
    world, ended = World(), list[str]()
    with hanging(world, ended) as watched:
        watched.stop()
        world.now = LIMIT_S
        watched.look()
        assert ended == []


#: A sink whose first insert hangs; the limit is the stall timeout and a second.
HANGING = """
import threading
from command import sink
from sinks import service
from sinks.clickhouse import ClickHouse

insert = ClickHouse.insert

def hang(self, table, lines):
    if table != "touchpoint_events":
        return insert(self, table, lines)
    threading.Event().wait()

ClickHouse.insert, service.INSERT_TIMEOUT_S = hang, 1
sink.command(0, 0)
"""


def _rows(base: str) -> str | None:
    try:
        return httpx.get(base, params={"query": "SELECT count() FROM corredor.events"}).text.strip()
    except httpx.ConnectError:
        return None


@pytest.mark.kafka
@pytest.mark.slow
def test_a_real_sink_that_hangs_ends_with_code_1_and_the_next_one_writes_its_rows(
    cluster: str, tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    environment = {"CORREDOR_KAFKA": cluster, "CORREDOR_KAFKA_PACED": "1", "CORREDOR_DATA_DIR": str(tmp_path)}
    # The group has to notice that the first sink is gone.
    environment["CORREDOR_SESSION_TIMEOUT"] = "6"
    producer = clients.producer(Settings(kafka=cluster))
    for offset in range(10):
        producer.produce(topics.SCORED.name, key=str(offset), value=encode(scored(offset)))
    assert producer.flush(10) == 0
    ended = subprocess.run(
        [sys.executable, "-c", HANGING],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment, "CORREDOR_STALL_TIMEOUT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1, ended.stderr
    assert "into touchpoint_events has not ended for 2 s: ClickHouse hangs" in ended.stderr
    assert "in hang" in ended.stderr, "the stack says where"
    with sink(tmp_path, **environment) as places:
        eventually(lambda: _rows(places["query"].removesuffix("/corredor")) == "10")

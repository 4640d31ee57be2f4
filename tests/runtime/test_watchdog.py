"""Hangs end the process, waits do not: the arithmetic on a clock of its own, and real workers that are made to hang."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry, generate_latest

from schemas import topics
from streams.runtime import clients, metrics
from streams.runtime.federation import get
from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings, load_settings
from streams.runtime.stalls import Place
from streams.runtime.supervisor import as_environment, free_port
from streams.runtime.waiting import Waits
from streams.runtime.watchdog import ASK_S, LOOK_S, Probe, Watchdog
from tests.conftest import Cluster, wait_until

ROOT = Path(__file__).resolve().parents[2]
EVENTS = topics.EVENTS.name
PLACE = (EVENTS, 3)
AWAY = KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer"))


@dataclass
class Bench:
    """A watchdog with a 60 s timeout, a Kafka that answers as told, and time that moves as told."""

    now: float = 1000.0
    finds: bool | Exception = True
    writes: Exception | None = None
    ended: list[tuple[str, bool]] = field(default_factory=list)
    asked: list[tuple[Place, int]] = field(default_factory=list)
    written: list[tuple[Place, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.waits = Waits(self.clock)
        settings = load_settings(kafka="nowhere:1", stall_timeout=60)
        self.dog = Watchdog(settings, self, lambda *end: self.ended.append(end), self.waits, self.clock)

    def clock(self) -> float:
        return self.now

    def readable(self, place: Place, offset: int) -> bool:
        self.asked.append((place, offset))
        if isinstance(self.finds, Exception):
            raise self.finds
        return self.finds

    def write(self, place: Place, offset: int) -> None:
        self.written.append((place, offset))
        if self.writes is not None:
            raise self.writes

    def pass_time(self, seconds: float, following: dict[Place, int], end: dict[Place, int] | None = None) -> None:
        """The event loop turns, the worker stands at `following`."""
        until = self.now + seconds
        while self.now < until and not self.ended:
            self.now += LOOK_S
            self.dog.report(following, end or {})
            self.dog.look()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_worker_that_stands_still_with_records_waiting_ends_and_says_where(bench: Bench) -> None:
    bench.pass_time(59, {PLACE: 41}, {PLACE: 100})
    assert not bench.ended
    assert "stands at offset 41 with 59 records waiting" in (bench.dog.reason() or "")
    bench.pass_time(3, {PLACE: 41}, {PLACE: 100})
    [(message, blocked)] = bench.ended
    assert "no progress for 60 s: touchpoint.events/3 stands at offset 41 with 59 records waiting" in message
    assert not blocked


def test_a_worker_that_moves_now_and_then_goes_on(bench: Bench) -> None:
    for offset in range(10):
        bench.pass_time(50, {PLACE: offset}, {PLACE: 100})
    assert not bench.ended
    assert bench.dog.report({PLACE: 10}, {PLACE: 100}) == {PLACE: 90}


def test_an_idle_worker_goes_on(bench: Bench) -> None:
    bench.finds = False
    bench.pass_time(600, {PLACE: 100}, {PLACE: 100})
    assert (bench.ended, bench.dog.reason()) == ([], None)


def test_one_partition_that_stands_still_among_others_that_move_is_noticed(bench: Bench) -> None:
    other = (EVENTS, 0)
    for offset in range(70):
        bench.pass_time(1, {PLACE: 41, other: offset}, {PLACE: 100, other: 100})
    assert "touchpoint.events/3" in bench.ended[0][0]


def test_while_kafka_is_away_a_worker_waits_for_it_and_then_gets_its_time_again(bench: Bench) -> None:
    bench.finds = AWAY
    bench.pass_time(300, {PLACE: 41}, {PLACE: 100})
    assert "waits for Kafka: it does not answer (no answer)" in (bench.dog.reason() or "")
    bench.finds = True
    bench.pass_time(50, {PLACE: 41}, {PLACE: 100})
    assert not bench.ended
    bench.pass_time(15, {PLACE: 41}, {PLACE: 100})
    assert bench.ended


def test_a_kafka_that_reads_but_takes_no_writes_is_waited_for(bench: Bench) -> None:
    bench.writes = KafkaException(KafkaError(KafkaError._TIMED_OUT, "it takes no writes"))
    with bench.dog.step("a checkpoint"):
        bench.pass_time(300, {PLACE: 41}, {PLACE: 100})
        assert "waits for Kafka: it does not answer (it takes no writes)" in (bench.dog.reason() or "")
        assert not bench.ended
        bench.writes = None
        bench.pass_time(70, {PLACE: 41}, {PLACE: 100})
    assert "a checkpoint has not ended" in bench.ended[0][0]


def test_kafka_is_asked_to_write_only_where_something_stands_still(bench: Bench) -> None:
    for offset in range(30):
        bench.pass_time(3, {PLACE: offset}, {PLACE: 100})
    assert not bench.written
    bench.pass_time(10, {PLACE: 30}, {PLACE: 100})
    assert {(PLACE, 30)} == set(bench.written)


def test_a_kafka_that_is_away_makes_also_an_idle_worker_not_ready(bench: Bench) -> None:
    bench.finds = AWAY
    bench.pass_time(3, {PLACE: 100}, {PLACE: 100})
    assert "waits for Kafka" in (bench.dog.reason() or "")
    bench.finds = False
    bench.pass_time(ASK_S + 1, {PLACE: 100}, {PLACE: 100})
    assert bench.dog.reason() is None


def test_a_worker_that_waits_for_slow_readers_is_not_ready_and_goes_on(bench: Bench) -> None:
    with bench.waits.on("readers", "corredor.sink has not acknowledged enough of touchpoint.scored"):
        bench.pass_time(600, {PLACE: 41}, {PLACE: 100})
        assert bench.dog.reason() == (
            "waits 600 s for the readers: corredor.sink has not acknowledged enough of touchpoint.scored"
        )
    bench.pass_time(50, {PLACE: 41}, {PLACE: 100})
    assert not bench.ended


def test_what_kafka_does_not_acknowledge_is_waited_for_for_minutes_and_not_for_ever(bench: Bench) -> None:
    with bench.dog.step("a checkpoint"), bench.waits.on("kafka", "state is not acknowledged"):
        bench.pass_time(290, {PLACE: 41}, {PLACE: 100})
        assert bench.dog.reason() == "waits 290 s for Kafka: state is not acknowledged"
        assert not bench.ended
        bench.pass_time(75, {PLACE: 41}, {PLACE: 100})
    assert "it waits 360 s for Kafka: state is not acknowledged" in bench.ended[0][0]


def test_markers_and_aborted_records_at_the_end_are_no_lag(bench: Bench) -> None:
    bench.finds = False
    bench.pass_time(300, {PLACE: 41}, {PLACE: 100})
    assert (bench.ended, bench.dog.reason()) == ([], None)
    assert bench.dog.report({PLACE: 41}, {PLACE: 100}) == {PLACE: 0}
    assert bench.dog.report({PLACE: 41}, {PLACE: 101}) == {PLACE: 60}


def test_a_consumer_that_no_longer_sees_what_kafka_has_is_noticed(bench: Bench) -> None:
    bench.pass_time(70, {PLACE: 41}, {PLACE: 41})
    assert "stands at offset 41 with 1 records waiting" in bench.ended[0][0]


def test_a_step_that_does_not_end_is_noticed_although_nothing_waits(bench: Bench) -> None:
    with bench.dog.step("a checkpoint"):
        bench.pass_time(65, {})
    assert "a checkpoint has not ended" in bench.ended[0][0]


def test_steps_that_end_are_fine_and_some_may_take_longer(bench: Bench) -> None:
    for _ in range(10):
        with bench.dog.step("a checkpoint"):
            bench.pass_time(50, {})
    with bench.dog.step("the assignment of partitions", extra_s=60):
        bench.pass_time(110, {})
        assert not bench.ended
        bench.pass_time(20, {})
    assert bench.ended


def test_an_event_loop_that_does_not_turn_makes_the_worker_not_ready_and_then_ends_it(bench: Bench) -> None:
    bench.now += 10
    assert bench.dog.reason() == "its event loop has not turned for 10 s"
    bench.dog.look()
    assert not bench.ended
    bench.now += 51
    bench.dog.look()
    assert bench.ended[0][1]


def test_seconds_waited_are_counted_once_for_each_thing_and_while_they_pass() -> None:
    now = 0.0
    registry = CollectorRegistry()
    waits = Waits(lambda: now)
    registry.register(waits)
    with waits.on("kafka", "a"):
        now = 2.0
        with waits.on("kafka", "b"), waits.on("clickhouse", "c"):
            now = 5.0
            text = generate_latest(registry).decode()
            assert 'corredor_waiting_seconds_total{for="kafka"} 5.0' in text
            assert 'corredor_waiting_seconds_total{for="clickhouse"} 3.0' in text
    now = 9.0
    text = generate_latest(registry).decode()
    assert 'corredor_waiting_seconds_total{for="kafka"} 5.0' in text
    assert 'corredor_waiting_seconds_total{for="readers"} 0.0' in text


def test_a_long_wait_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="corredor.waiting")
    now = 0.0
    waits = Waits(lambda: now)
    for _ in range(3):
        with waits.on("kafka", "its commit"):
            for _ in range(8):
                now += 1
                waits.notable()
    assert [record.message for record in caplog.records] == [
        "waits 5 s for Kafka: its commit",
        "goes on after 8.0 s of waiting for Kafka",
    ]


def test_the_lag_of_a_partition_given_away_is_no_longer_shown() -> None:
    metrics.show_lag({PLACE: 5, (EVENTS, 0): 7})
    metrics.show_lag({PLACE: 4})
    samples = {tuple(sample.labels.values()): sample.value for sample in next(iter(metrics.LAG.collect())).samples}
    metrics.show_lag({})
    assert samples == {(EVENTS, "3"): 4.0}


def test_kafka_says_whether_there_is_something_to_read(kafka: Cluster, settings: Settings) -> None:
    probe, producer = Probe(settings), clients.producer(settings)
    for _ in range(3):
        producer.produce(EVENTS, b"{}", b"k", partition=2)
    producer.flush(20)
    # A broker that has just started has no coordinator yet.
    wait_until(lambda: _writes(probe), 20)
    assert probe.readable((EVENTS, 2), 1)
    assert not probe.readable((EVENTS, 2), 3)
    assert not probe.readable((EVENTS, 0), 0)
    probe.write((EVENTS, 2), 3)
    probe.write((EVENTS, 2), 3)


def test_a_kafka_that_writes_nothing_down_is_noticed_and_so_is_its_return(
    local_kafka: LocalKafka,
) -> None:
    probe = Probe(load_settings(kafka=local_kafka.bootstrap))
    probe.write((EVENTS, 0), 0)
    assert local_kafka.process is not None
    broker = psutil.Process(local_kafka.process.pid)
    broker.suspend()
    try:
        for _ in range(2):
            with pytest.raises(KafkaException, match="it takes no writes"):
                probe.write((EVENTS, 0), 0)
    finally:
        broker.resume()
    wait_until(lambda: _writes(probe), 20)


def _writes(probe: Probe) -> bool:
    try:
        probe.write((EVENTS, 0), 0)
    except KafkaException:
        return False
    return True


#: A worker whose agent hangs at its first batch: waiting for something that never comes, or blocking the event loop.
HANGING = """
import asyncio, sys, time
from streams.agents.ingest import IngestTask
from streams.app import run_worker
from streams.runtime.settings import load_settings

async def hang(self, topic, partition, records):
    {how}

IngestTask.apply = hang
run_worker(load_settings())
"""


@contextmanager
def _hanging(settings: Settings, how: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING.format(how=how)],
        cwd=ROOT,
        env={**os.environ, **as_environment(settings)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        # For the report of a test that fails.
        print(process.communicate(timeout=10)[1])


@pytest.mark.parametrize(
    ("how", "ready", "said"),
    [
        (
            "await asyncio.Event().wait()",
            "no progress",
            "touchpoint.events/2 stands at offset 0 with 3 records waiting",
        ),
        ("time.sleep(1000)", "its event loop has not turned", "its event loop has not turned"),
    ],
    ids=["waits-for-ever", "blocks-the-loop"],
)
@pytest.mark.timeout(90)
def test_a_real_worker_that_hangs_is_not_ready_and_ends_with_code_1(
    kafka: Cluster, settings: Settings, how: str, ready: str, said: str
) -> None:
    # It says so from the fifth second on: time enough for a busy machine to ask before it ends.
    settings = settings.model_copy(update={"stall_timeout": 15.0, "metrics_port": free_port()})
    url = f"http://127.0.0.1:{settings.metrics_port}/ready"
    with _hanging(settings, how) as worker:
        wait_until(lambda: get(url)[0] == 200, 40)
        producer = clients.producer(settings)
        for _ in range(3):
            producer.produce(EVENTS, b"{}", b"k", partition=2)
        producer.flush(20)
        wait_until(lambda: get(url)[0] == 503 and ready in get(url)[1], 30)
        assert get(url.replace("ready", "health"))[0] == 200
        _, err = worker.communicate(timeout=30)
    assert worker.returncode == 1
    assert said in err, err[-3000:]
    if "sleep" in how:
        assert "in hang" in err, "the stack says where"

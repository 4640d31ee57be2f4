"""A part that is away or slow is waited for: in bounded memory, losing nothing, and saying so."""

import asyncio
import resource
import signal
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer

from schemas import topics
from streams.runtime import clients
from streams.runtime.federation import get
from streams.runtime.local import LocalKafka
from streams.runtime.outbox import Outbox
from streams.runtime.settings import Settings
from streams.runtime.waiting import WAITS
from tests.conftest import Cluster
from tests.pipeline.running import Feed, Running, eventually, own_settings, running, wait_for_exactly

MB = 1024 * 1024
#: A worker that holds 500 journeys and some slices, and a sink whose ClickHouse has its own caches. Bytes.
WORKER_LIMIT, SINK_LIMIT = 400 * MB, 1200 * MB
BACKLOG = 200_000

slow = pytest.mark.slow


def _waited(group: Running, name: str, what: str) -> float:
    """Seconds that a process says it has waited."""
    _, text = get(f"{group.run.processes[name]}/metrics", 10)
    key = f'corredor_waiting_seconds_total{{for="{what}"}} '
    return float(next(line.removeprefix(key) for line in text.splitlines() if line.startswith(key)))


def _accepted(group: Running) -> int:
    """Events that the worker has accepted."""
    _, text = get(f"{group.run.processes['worker-1']}/metrics", 10)
    key = 'corredor_events_total{state="accepted"} '
    return int(sum(float(line.removeprefix(key)) for line in text.splitlines() if line.startswith(key)))


def _bounded(worker: psutil.Process, sink: psutil.Process) -> None:
    assert worker.memory_info().rss < WORKER_LIMIT
    assert sink.memory_info().rss < SINK_LIMIT


@slow
@pytest.mark.timeout(360)
def test_a_kafka_that_is_away_for_longer_than_a_session_is_waited_for(local_kafka: LocalKafka, tmp_path: Path) -> None:
    settings = own_settings(local_kafka.bootstrap, tmp_path, session_timeout=6.0, stall_timeout=10.0)
    with Feed(settings.kafka) as feed, running(settings) as group:
        feed.start()
        worker, sink = group.child("worker"), group.child("sink")
        local_kafka.stop()
        eventually(lambda: "for Kafka: " in group.not_ready("worker-1"), 20, group)
        eventually(lambda: "for Kafka: " in group.not_ready("sink"), 20, group)
        # Longer than the session, and than a worker without an excuse may stand still.
        eventually(lambda: _waited(group, "worker-1", "kafka") > 14, 30, group)
        eventually(lambda: _waited(group, "sink", "kafka") > 8, 30, group)
        _bounded(worker, sink)
        local_kafka.start()
        eventually(lambda: not group.not_ready("worker-1") and not group.not_ready("sink"), 120, group)
        published = feed.stop()
        wait_for_exactly(published, group.run.clickhouse)
        assert (group.child("worker").pid, group.child("sink").pid) == (worker.pid, sink.pid), group.said()


@slow
@pytest.mark.timeout(300)
def test_a_full_disk_of_clickhouse_is_waited_for(local_kafka: LocalKafka, tmp_path: Path) -> None:
    """`RLIMIT_FSIZE` makes every write of the engine fail as a full disk does; the worker goes on meanwhile."""
    settings = own_settings(local_kafka.bootstrap, tmp_path, stall_timeout=5.0)
    with Feed(settings.kafka) as feed, running(settings) as group:
        feed.start()
        worker, sink = group.child("worker"), group.child("sink")
        limits = sink.rlimit(resource.RLIMIT_FSIZE)
        sink.rlimit(resource.RLIMIT_FSIZE, (256, limits[1]))
        eventually(lambda: "waits for ClickHouse" in group.not_ready("sink"), 30, group)
        feed.send(20_000)
        eventually(lambda: _waited(group, "sink", "clickhouse") > 6, 30, group)
        assert not group.not_ready("worker-1")
        _bounded(worker, sink)
        sink.rlimit(resource.RLIMIT_FSIZE, limits)
        eventually(lambda: not group.not_ready("sink"), 30, group)
        wait_for_exactly(feed.stop(), group.run.clickhouse)
        assert (group.child("worker").pid, group.child("sink").pid) == (worker.pid, sink.pid), group.said()


@slow
@pytest.mark.timeout(300)
def test_a_sink_that_stands_still_lets_nobody_grow(local_kafka: LocalKafka, tmp_path: Path) -> None:
    settings = own_settings(local_kafka.bootstrap, tmp_path)
    with Feed(settings.kafka) as feed, running(settings) as group:
        worker, sink = group.child("worker"), group.child("sink")
        sink.suspend()
        most = 0

        def worked_off() -> bool:
            nonlocal most
            most = max(most, worker.memory_info().rss)
            return _accepted(group) == BACKLOG

        feed.send(BACKLOG)
        eventually(worked_off, 150, group)
        assert most < WORKER_LIMIT
        sink.resume()
        wait_for_exactly(feed.stop(), group.run.clickhouse)
        _bounded(worker, sink)


@pytest.mark.kafka
@slow
@pytest.mark.timeout(300)
def test_on_the_embedded_kafka_the_worker_waits_for_its_readers_and_does_not_end(tmp_path: Path) -> None:
    settings = own_settings("embedded", tmp_path, stall_timeout=8.0)
    with running(settings) as group, Feed(group.run.kafka) as feed:
        worker, sink = group.child("worker"), group.child("sink")
        sink.suspend()
        feed.send(32_000)
        eventually(lambda: "waits" in group.not_ready("worker-1"), 40, group)
        assert "for the readers: " in group.not_ready("worker-1")
        eventually(lambda: _waited(group, "worker-1", "readers") > 16, 60, group)
        _bounded(worker, sink)
        sink.resume()
        eventually(lambda: not group.not_ready("worker-1"), 40, group)
        wait_for_exactly(feed.stop(), group.run.clickhouse)
        group.end(signal.SIGINT, 10)


@pytest.mark.kafka
@slow
@pytest.mark.timeout(300)
def test_on_the_embedded_kafka_nobody_waits_for_a_sink_that_is_not_to_run(tmp_path: Path) -> None:
    with running(own_settings("embedded", tmp_path, sink=False)) as group, Feed(group.run.kafka) as feed:
        feed.send(32_000)
        eventually(lambda: _accepted(group) == 32_000, 60, group)
        group.end(signal.SIGINT, 10)


def test_a_full_producer_queue_is_waited_for(
    kafka: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = clients.producer

    def small(settings: Settings, **extra: object) -> Producer:
        return plain(settings, **extra, **{"queue.buffering.max.messages": 100})

    monkeypatch.setattr(clients, "producer", small)
    box = Outbox(settings.model_copy(update={"kafka_paced": False}), {})
    before = {metric.labels["for"]: metric.value for metric in next(iter(WAITS.collect())).samples}

    async def publish() -> None:
        rows: list[dict[str, object]] = [{"key": b"k", "value": b"%d" % number} for number in range(5000)]
        await box.publish(topics.SCORED.name, rows)
        await box.flush(box.turn())

    asyncio.run(publish())
    after = {metric.labels["for"]: metric.value for metric in next(iter(WAITS.collect())).samples}
    assert after["kafka"] > before["kafka"]
    reader = clients.consumer(settings, settings.sink_group)
    reader.subscribe([topics.SCORED.name])
    values: list[int] = []
    while len(values) < 5000:
        message = reader.poll(20)
        assert message is not None, f"{len(values)} of 5000"
        assert message.error() is None
        values.append(int(message.value() or b""))
    reader.close()
    assert values == list(range(5000))

"""Workers ended, killed and replaced in turn while events flow: nothing lost, nothing double, scores keep coming."""

import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from schemas import topics
from schemas.loader import load_map
from streams.runtime import clients
from streams.runtime.federation import get
from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings
from streams.runtime.supervisor import PROGRAM, Child, as_environment, free_port
from tests.chaos.feed import Feed
from tests.chaos.judge import Judge
from tests.chaos.ledger import Ledger
from tests.chaos.publisher import Publisher
from tests.chaos.system import System
from tests.conftest import SLOWNESS, wait_until
from tests.pipeline.drained import wait_until_drained
from tests.pipeline.running import own_settings

#: What is promised: scores of no tenant are further apart than this, seconds.
GAP_S = 10.0
RATE = 100.0
_STEP = 20
#: Each worker works for so long before the next one goes, seconds.
STEADY_S = 3.0
#: Processes that want to run, for each processor, beyond which a gap says nothing about the program.
_LOADED = 2.0
#: A machine on which a thread that only sends is so late has stood still, seconds.
_STOOD_STILL_S = 1.0
_PATIENCE_S = 30.0 * SLOWNESS
_METRICS = re.compile(r"metrics at (\S+)/metrics")
#: A worker each of whose commits takes half a second, as with a broker that has much to do.
SLOW_COMMITS = """
import asyncio
from command.main import main
from streams.runtime.transport import BatchConsumer

commit = BatchConsumer._commit_now

async def slowly(self, positions):
    await asyncio.sleep(0.5)
    await commit(self, positions)

BatchConsumer._commit_now = slowly
main()
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_scores_keep_coming_and_stay_exact_while_every_worker_is_ended_killed_and_replaced_in_turn(
    local_kafka: LocalKafka, tmp_path: Path
) -> None:
    # The session timeout is the one that is shipped: it decides how long a killed worker's partitions stand still.
    settings = own_settings(local_kafka.bootstrap, tmp_path).model_copy(update={"query_port": free_port()})
    feed = Feed(8, settings.partitions)
    ledger = Ledger(settings, settings.partitions)
    with (
        closing(ledger),
        closing(System(settings, local_kafka)) as system,
        closing(Publisher(settings, RATE)) as publisher,
    ):
        system.start(2)
        with _steadily(feed, publisher) as pace:
            _wait_for_results(system)
            began = time.time()
            for worker in list(system.workers):
                system.leave(worker)
                assert worker.process is not None
                assert worker.process.returncode == 0, worker.tail()
                system.join()
                _wait_for_results(system)
            for worker in list(system.workers):
                system.kill(worker)
                _wait_for_results(system)
            ended = time.time()
        publisher.flush(_PATIENCE_S)
        wait_until_drained(settings, _PATIENCE_S)
        gaps = publication_gaps(settings, began, ended)
        verdict = Judge(ledger, feed, load_map(settings.map), settings).judge()
    print(f"largest gap between scores, by tenant: {gaps}, in {ended - began:.1f} s")
    assert system.counts.kills == 2
    assert not system.counts.deaths
    assert not verdict.faults, verdict.examples
    assert verdict.accepted + verdict.rejected + verdict.duplicates == verdict.published
    assert verdict.slices and verdict.scores and verdict.journeys
    assert len(gaps) == 3
    if max(gaps.values()) > GAP_S and os.getloadavg()[0] > _LOADED * (os.cpu_count() or 1):
        pytest.skip(f"exact, but the machine has too much else to do to judge gaps of {gaps} s")
    if max(gaps.values()) > GAP_S and pace.late > _STOOD_STILL_S:
        pytest.skip(
            f"exact, but this process itself stood still for {pace.late:.1f} s: gaps of {gaps} s are not judged"
        )
    assert max(gaps.values()) <= GAP_S, gaps


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_worker_told_to_end_while_it_gives_partitions_up_ends_in_order(
    local_kafka: LocalKafka, tmp_path: Path
) -> None:
    # A deadline that is never reached, unless the shutdown hangs.
    settings = own_settings(local_kafka.bootstrap, tmp_path, shutdown_timeout=20.0)
    feed = Feed(8, settings.partitions)
    with _worker(settings, "first", (sys.executable, "-P", "-c", SLOW_COMMITS)) as first:
        wait_until(lambda: _ready(first), 30)
        with closing(Publisher(settings, RATE)) as publisher, _steadily(feed, publisher):
            with _worker(settings, "second", PROGRAM) as second:
                wait_until(lambda: "it is rebalancing" in first.log_file.read_text(), 30)
                assert first.process is not None
                first.process.terminate()
                wait_until(lambda: not first.running, 10)
                assert first.process.returncode == 0, first.tail()
                assert "shutdown took longer" not in first.log_file.read_text()
                wait_until(lambda: _ready(second), 30)


@contextmanager
def _worker(settings: Settings, name: str, program: Sequence[str]) -> Iterator[Child]:
    """A worker process, until the end of the block."""
    environment = {**os.environ, **as_environment(settings), "PYTHONUNBUFFERED": "1"}
    child = Child(name, "worker", ["worker"], environment, settings.data_dir / "logs" / f"{name}.log")
    child.start(program)
    assert child.process is not None
    try:
        yield child
    finally:
        child.process.kill()
        child.process.wait()


@dataclass(slots=True)
class Pace:
    """How late the publishing thread was at most, seconds."""

    late: float = 0.0


@contextmanager
def _steadily(feed: Feed, publisher: Publisher) -> Iterator[Pace]:
    """Events at a steady rate, until the end of the block."""
    over = threading.Event()
    pace = Pace()

    def go() -> None:
        due = time.monotonic() + _STEP / RATE
        while not over.wait(max(due - time.monotonic(), 0.0)):
            pace.late = max(pace.late, time.monotonic() - due)
            publisher.send(feed.take(_STEP))
            due = time.monotonic() + _STEP / RATE

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield pace
    finally:
        over.set()
        thread.join()


def _wait_for_results(system: System) -> None:
    """Return when all that was published `STEADY_S` from now has been worked on, and every worker is ready."""
    _keep(system, STEADY_S)
    marks = system.marks()
    system.wait(lambda: system.watch.passed(marks), _PATIENCE_S, "work goes on")
    # As docs/upgrading.md has it: the next one goes when all are ready.
    system.wait(lambda: all(_ready(worker) for worker in system.workers), _PATIENCE_S, "all are ready")


def _ready(worker: Child) -> bool:
    """Whether the newest process of a worker owns partitions whose state is back."""
    found = _METRICS.findall(worker.log_file.read_text())
    return bool(found) and get(f"{found[-1]}/ready")[0] == 200


def _keep(system: System, seconds: float) -> None:
    until = time.monotonic() + seconds
    system.wait(lambda: time.monotonic() >= until, seconds + 1.0, "time passes")


def publication_gaps(settings: Settings, began: float, ended: float) -> dict[str, float]:
    """By tenant: the longest time without a score published between two moments (epoch seconds), in seconds."""
    found: dict[str, set[float]] = {}
    for key, at in _scores(settings):
        tenant = msgspec.json.decode(key)[0]
        found.setdefault(tenant, {began, ended}).add(min(max(at, began), ended))
    return {
        tenant: round(max(after - before for before, after in pairwise(sorted(times))), 2)
        for tenant, times in found.items()
    }


def _scores(settings: Settings) -> Iterator[tuple[bytes, float]]:
    """Key and time of publication of every score in the log."""
    reader = clients.consumer(settings, f"{settings.group}.gaps", **{"enable.partition.eof": True})
    with closing(reader):
        name = topics.SCORES.name
        for partition in reader.list_topics(name, timeout=30).topics[name].partitions:
            reader.assign([TopicPartition(name, partition, OFFSET_BEGINNING)])
            while (message := reader.poll(30)) is not None and message.error() is None:
                yield message.key() or b"", message.timestamp()[1] / 1000.0

"""A back-up, put into an empty Kafka and an empty ClickHouse, is gone on with as if nothing had happened."""

import os
import signal
import subprocess
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from command import backup_files, backup_kafka, restore_kafka
from command.backup_files import Log, Record
from schemas import topics
from schemas.errors import UsageError
from schemas.loader import load_map
from sinks import backup
from sinks.clickhouse import ClickHouse
from streams.runtime.local import LocalKafka
from streams.runtime.log_reader import reader
from streams.runtime.settings import Settings, load_settings
from streams.runtime.supervisor import PROGRAM, as_environment, free_port
from tests.chaos.feed import Feed
from tests.chaos.judge import Judge
from tests.chaos.ledger import Entry, Ledger
from tests.chaos.publisher import Publisher
from tests.chaos.system import System
from tests.conftest import SLOWNESS
from tests.pipeline.drained import wait_until_drained
from tests.pipeline.running import own_settings

RATE = 150.0
EVENTS = 1_000
_PATIENCE_S = 30.0 * SLOWNESS


def _corredor(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=_environment(settings),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )


def _environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, **as_environment(settings)}


def _rows(settings: Settings) -> dict[str, tuple[Any, ...]]:
    """Number and fingerprint of the rows of every table."""
    with closing(ClickHouse.open(settings.clickhouse_dsn, create=False)) as store:
        return {
            name: store.rows(f"SELECT count(), groupBitXor(cityHash64(*)) FROM corredor.{name}")[0]
            for name in backup.tables(store)
        }


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_run_restored_elsewhere_ends_with_the_exact_result(local_kafka: LocalKafka, tmp_path: Path) -> None:
    settings = own_settings(local_kafka.bootstrap, tmp_path / "here").model_copy(
        update={"query_port": free_port(), "checkpoint_interval": 0.2}
    )
    feed = Feed(9, settings.partitions)
    out = tmp_path / "kept" / "monday"
    out.parent.mkdir()
    first = Ledger(settings, settings.partitions)
    with (
        closing(first),
        closing(System(settings, local_kafka)) as system,
        closing(Publisher(settings, RATE)) as publisher,
    ):
        system.start(1)
        publisher.send(feed.take(EVENTS // 2))
        system.wait(lambda: system.watch.acknowledged() > EVENTS // 4, _PATIENCE_S, "events are acknowledged")
        refused = _corredor(settings, "backup", "--out", str(out))
        assert refused.returncode == 2
        assert "stop all workers and the sink" in " ".join(refused.stderr.split())
        assert not out.exists()
        # Killed in the middle of its work: what it left is what has to come back.
        system.kill(*system.workers)
        for child in (*system.workers, system.sink):
            system.signal(child, signal.SIGKILL)
            assert child.process is not None
            child.process.wait()
        publisher.send(feed.take(EVENTS // 2))
        publisher.flush(_PATIENCE_S)
        system.workers.clear()
        first.catch_up()
    _wait_until_nobody_works(settings)
    made = _corredor(settings, "backup", "--out", str(out))
    assert made.returncode == 0, made.stderr
    assert [path.name for path in out.parent.iterdir()] == ["monday"], "nothing else is left behind"
    before = _rows(settings)
    assert before["touchpoint_events"][0] > 0

    with LocalKafka(tmp_path / "there") as elsewhere:
        there = own_settings(elsewhere.bootstrap, tmp_path / "there").model_copy(update={"query_port": free_port()})
        restored = _corredor(there, "restore", "--from", str(out))
        assert restored.returncode == 0, restored.stderr
        assert _rows(there) == before
        again = _corredor(there, "restore", "--from", str(out))
        assert again.returncode == 2
        assert "--force" in again.stderr
        forced = _corredor(there, "restore", "--from", str(out), "--force", "--yes")
        assert forced.returncode == 0, forced.stderr
        assert _rows(there) == before

        ledger = Ledger(there, there.partitions)
        with (
            closing(ledger),
            closing(System(there, elsewhere)) as system,
            closing(Publisher(there, RATE)) as publisher,
        ):
            system.start(1)
            publisher.send(feed.take(EVENTS // 4))
            publisher.flush(_PATIENCE_S)
            wait_until_drained(there, _PATIENCE_S)
            # What was acknowledged before the back-up is not in this Kafka; the judge needs to know of it.
            ledger.catch_up()
            ledger.events[:] = _joined(first.events, ledger.events)
            ledger.rekeyed[:] = _joined(first.rekeyed, ledger.rekeyed)
            judge = Judge(ledger, feed, load_map(there.map), there)
            verdict = judge.judge()
    assert not system.counts.deaths
    assert not verdict.faults, verdict.examples
    assert verdict.accepted + verdict.rejected + verdict.duplicates == verdict.published == len(feed.messages)
    assert verdict.slices and verdict.scores and verdict.journeys and verdict.handed_over


def _joined(before: list[Entry], after: list[Entry]) -> list[Entry]:
    """Both, in the order of each partition's log; what is in both is the same, its time of arrival included."""
    found = {(entry.partition, entry.offset): entry for entry in before}
    for entry in after:
        place = (entry.partition, entry.offset)
        assert found.setdefault(place, entry) == entry
    return sorted(found.values(), key=lambda entry: (entry.partition, entry.offset))


def _wait_until_nobody_works(settings: Settings) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            backup_kafka.nobody_works(settings)
            return
        except UsageError:
            assert time.monotonic() < deadline, "what was killed is still in its group"
            time.sleep(0.2)


def test_holes_in_the_topics_of_events_come_back_as_holes(local_kafka: LocalKafka, tmp_path: Path) -> None:
    """Sources with transactions leave markers, and what they took back; neither may come back as an event."""
    settings = load_settings(kafka=local_kafka.bootstrap, group=f"test-{uuid.uuid4().hex[:8]}", data_dir=tmp_path)
    records = [Record(offset, 1_700_000_000_000 + offset, b"k%d" % offset, b"v", []) for offset in (7, 8, 10, 14, 15)]
    file = "events.parquet"
    assert backup_files.write_log(tmp_path / file, records) == 5
    log = Log(topics.EVENTS.name, 1, 5, 17, 5, file)
    nothing = Log(topics.EVENTS.name, 2, 40, 41, 0, "none.parquet")
    assert backup_files.write_log(tmp_path / nothing.file, []) == 0
    restore_kafka._arrival(settings, "CreateTime")
    for each in (log, nothing):
        restore_kafka._Filler(settings, each).load(tmp_path)
    with reader(settings, f"{settings.group}.test") as consumer:
        assert list(backup_kafka.records_of(consumer, log.topic, 1, 0, 17)) == records
        assert consumer.get_watermark_offsets(TopicPartition(log.topic, 1), timeout=30) == (5, 17)
        assert list(backup_kafka.records_of(consumer, log.topic, 2, 0, 41)) == []
        assert consumer.get_watermark_offsets(TopicPartition(log.topic, 2), timeout=30) == (40, 41)


def test_a_damaged_file_is_found_before_anything_is_touched(tmp_path: Path) -> None:
    file = tmp_path / "kafka" / "a.parquet"
    file.parent.mkdir()
    file.write_bytes(b"as it was")
    manifest = backup_files.Manifest(
        layout=backup_files.LAYOUT,
        corredor="0",
        made_at="",
        formats={},
        partitions={},
        logs=[],
        positions={},
        migrations=0,
        tables=[],
        files=backup_files.seal(tmp_path, ["kafka/a.parquet"]),
    )
    backup_files.write_manifest(tmp_path, manifest)
    assert backup_files.read_manifest(tmp_path) == manifest
    file.write_bytes(b"as it is.")
    with pytest.raises(UsageError, match="does not have the checksum"):
        backup_files.read_manifest(tmp_path)


def test_a_backup_cut_short_leaves_nothing_and_what_was_there_stays(tmp_path: Path) -> None:
    out = tmp_path / "monday"
    with pytest.raises(KeyboardInterrupt), backup_files.written_aside(out, force=False) as draft:
        (draft / "half").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    (out / "old").write_text("old")
    with pytest.raises(UsageError, match="--force"), backup_files.written_aside(out, force=False):
        pass
    with pytest.raises(KeyboardInterrupt), backup_files.written_aside(out, force=True):
        raise KeyboardInterrupt
    assert (out / "old").read_text() == "old"
    with backup_files.written_aside(out, force=True) as draft:
        (draft / "new").write_text("new")
    assert [path.name for path in out.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["monday"]


def test_the_embedded_kafka_has_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keeps nothing on disk"), backup_kafka.kafka(load_settings(data_dir=tmp_path)):
        pass

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.errors import StopProcess
from schemas.event import TouchpointEvent
from schemas.topics import EVENTS
from sources.mapping import Mapping, load_mapping
from sources.mapping_order import TimeOrder
from sources.publish import Publisher, encode
from sources.replay import collect, publish, read_events, shift, shifted
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.settings import Settings, load_settings

MAPPING = """
mapping: clicks
timezone: UTC
tables:
  clicks:
    files: [clicks]
    events:
      - id: "{n}"
        source: /clicks
        subject: "{who}"
        time: at
        recordedtime: at
        touchpoint: web.page
        outcome: success
"""
START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 3000
#: The command, as `corredor replay` without the other subcommands.
COMMAND = """
import sys, typer
from command.replay import command
app = typer.Typer()
app.command()(command)
sys.exit(app(standalone_mode=False))
"""


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    (tmp_path / "m.yaml").write_text(MAPPING)
    rows = (
        f"{n},customer-{n % 97},{(START + timedelta(seconds=n)).isoformat()}" for n in sorted(range(ROWS), key=hash)
    )
    (tmp_path / "clicks.csv").write_text("\n".join(["n,who,at", *rows]) + "\n")
    return tmp_path


@pytest.fixture
def mapping(clicks: Path) -> Mapping:
    return load_mapping(clicks / "m.yaml")


@pytest.fixture
def settings() -> Iterator[Settings]:
    with EmbeddedKafka() as kafka:
        yield load_settings(kafka=kafka.bootstrap)


def read_back(settings: Settings, count: int) -> list[tuple[int, bytes, bytes, dict[str, bytes]]]:
    consumer = Consumer({"bootstrap.servers": settings.kafka, "group.id": "test", "fetch.wait.max.ms": 50})
    found: list[tuple[int, bytes, bytes, dict[str, bytes]]] = []
    try:
        consumer.assign([TopicPartition(EVENTS.name, partition, 0) for partition in range(4)])
        deadline = time.monotonic() + 60
        while len(found) < count and time.monotonic() < deadline:
            for message in consumer.consume(500, 0.2):
                assert message.error() is None
                headers = dict(message.headers() or [])
                found.append((message.partition(), message.key(), message.value(), headers))
    finally:
        consumer.close()
    return found


def murmur2(data: bytes) -> int:
    """Java's `Utils.murmur2`, the reference for where a key belongs."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return (h ^ (h >> 15)) & 0x7FFFFFFF


@pytest.mark.kafka
def test_every_event_is_read_back_in_order_where_its_subject_belongs(
    clicks: Path, mapping: Mapping, settings: Settings
) -> None:
    expected = list(read_events([clicks], mapping))
    with Publisher(settings) as publisher:
        publish(collect([clicks], mapping), publisher, "max")
    assert publisher.delivered == publisher.sent == ROWS
    found = read_back(settings, ROWS)
    events = [msgspec.json.decode(value, type=TouchpointEvent) for _, _, value, _ in found]
    assert sorted(events, key=lambda event: event.time) == expected
    for (partition, key, _, headers), event in zip(found, events, strict=True):
        assert key == event.subject.encode()
        assert partition == murmur2(key) % 4
        assert headers == {"content-type": b"application/cloudevents+json"}
    for partition in range(4):
        times = [event.time for (place, *_), event in zip(found, events, strict=True) if place == partition]
        assert times == sorted(times)


@pytest.mark.kafka
def test_an_event_that_kafka_does_not_take_stops_the_publisher(settings: Settings) -> None:
    publisher = Publisher(settings.model_copy(update={"kafka": "127.0.0.1:1"}))
    publisher.send(b"k", b"v")
    with pytest.raises(StopProcess, match=r"1 of 1 events were not acknowledged within 0\.1 s"):
        publisher.flush(0.1)
    publisher.abandon(0.01)
    with pytest.raises(StopProcess, match="Kafka did not take an event"):
        publisher.poll(0)
    assert publisher.delivered == 0


@pytest.mark.kafka
def test_a_speed_keeps_the_distances_of_time(clicks: Path, mapping: Mapping, settings: Settings) -> None:
    order = collect([clicks], mapping)
    records = [record for record, _ in zip(order, range(31), strict=False)]
    sent: list[float] = []
    with Publisher(settings) as publisher:
        publish(records, publisher, 60.0, lambda record: sent.append(time.monotonic()))
    assert sent[-1] - sent[0] >= 30 / 60 - 0.02


def test_shifting_puts_the_first_event_at_now_in_real_time_and_the_last_one_otherwise(
    clicks: Path, mapping: Mapping
) -> None:
    order = collect([clicks], mapping)
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert START + shift(order, 1.0, now) == now
    by = shift(order, "max", now)
    moved = [shifted(record, by) for record in order]
    last = msgspec.json.decode(moved[-1].value, type=TouchpointEvent)
    assert last.time == last.recordedtime == now
    times = [record.time_us for record in order]
    assert [record.time_us for record in moved] == [then + by // timedelta(microseconds=1) for then in times]
    empty = TimeOrder()
    assert shift(empty, 1.0, now) == timedelta()


def test_an_encoded_event_has_no_absent_fields_and_fits_the_limit(clicks: Path, mapping: Mapping) -> None:
    event = next(read_events([clicks], mapping))
    assert b"null" not in encode(event)
    assert msgspec.json.decode(encode(event), type=TouchpointEvent) == event
    huge = msgspec.structs.replace(event, datacontenttype="x" * 70_000)
    with pytest.raises(ValueError, match="at most 65536"):
        encode(huge)


def run_command(*arguments: str) -> "subprocess.Popen[bytes]":
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_a_dry_run_prints_the_first_events_by_time_and_a_summary(clicks: Path) -> None:
    done = run_command(str(clicks), "--mapping", str(clicks / "m.yaml"), "--dry-run", "--limit", "3", "--tenant", "t")
    out, err = done.communicate(timeout=60)
    assert done.returncode == 0
    events = [msgspec.json.decode(line, type=TouchpointEvent) for line in out.splitlines()]
    assert [event.id for event in events] == ["0", "1", "2"]
    assert {event.tenant for event in events} == {"t"}
    assert b"3,000 rows read, 3,000 events, 3 printed" in err


def test_a_closed_pipe_is_no_error(clicks: Path) -> None:
    done = run_command(str(clicks), "--mapping", str(clicks / "m.yaml"), "--dry-run")
    assert done.stdout is not None and done.stderr is not None
    done.stdout.readline()
    done.stdout.close()
    err = done.stderr.read()
    done.stderr.close()
    assert done.wait(60) == 0
    assert b"Error" not in err


def test_ctrl_c_ends_within_a_second_and_says_how_far_it_came(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MAPPING)
    fifo = tmp_path / "clicks.csv"
    os.mkfifo(fifo)
    done = run_command(str(fifo), "--mapping", str(tmp_path / "m.yaml"), "--dry-run")
    with fifo.open("w") as stream:
        # The reader has a row for sure once more than a pipe can hold has gone through.
        stream.write("n,who,at\n" + "1,a,2026-01-01\n" * 20_000)
        stream.flush()
        done.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, err = done.communicate(timeout=60)
    assert done.returncode == 130
    assert time.monotonic() - started < 1.0
    assert b"stopped early: " in err

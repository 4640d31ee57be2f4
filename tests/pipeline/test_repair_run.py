"""Bad events, repaired, give exactly what right events would have given at once; once, also after a crash half-way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import TopicPartition

from schemas import topics
from schemas.event import TouchpointEvent
from schemas.loader import load_map
from streams.model.decode import decode
from streams.runtime import clients
from streams.runtime.settings import Settings
from streams.runtime.supervisor import as_environment
from tests import offline
from tests.builders import event, record
from tests.pipeline.drained import wait_until_drained
from tests.pipeline.running import running
from tests.pipeline.test_replay_is_exact import COUNTS, SUMS

CUSTOMERS, EACH = 12, 10
PROGRAM = "from command.main import main; main()"
#: The machine loses power after the first batch is published and before it is marked.
CRASHING = """
import os, signal
from sources import repair_publish
repair_publish.Repairs.mark = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
INTERRUPTED = """
import os, signal
def fix(event, rejection):
    os.kill(os.getpid(), signal.SIGINT)
    return event | {"subject": "nobody"}
"""
#: By reason: the fix, and how the right event is spoilt before it is sent.
FIXES = {
    "unknown_value": (
        "words.yaml",
        """
mapping: words
tables:
  rejected:
    events:
      - id: "{id}"
        source: "{source}"
        subject: "{subject}"
        time: time
        touchpoint: "{data.touchpoint}"
        outcome: {column: data.outcome, map: {yes: success, no: failure}}
""",
    ),
    "naive_time": (
        "zone.yaml",
        """
mapping: zone
timezone: UTC
tables:
  rejected:
    events:
      - id: "{id}"
        source: "{source}"
        subject: "{subject}"
        time: time
        touchpoint: "{data.touchpoint}"
        outcome: "{data.outcome}"
""",
    ),
    "missing": (
        "subject.yaml",
        """
mapping: subject
tables:
  rejected:
    events:
      - id: "{id}"
        source: "{source}"
        subject: "{rejection.key}"
        time: time
        touchpoint: "{data.touchpoint}"
        outcome: "{data.outcome}"
""",
    ),
    "invalid_json": (
        "brace.py",
        "import json\ndef fix(event, rejection):\n    return json.loads(rejection.raw + b'}')\n",
    ),
    "invalid_utf8": (
        "latin.py",
        "import json\ndef fix(event, rejection):\n    return json.loads(rejection.raw.decode('latin-1'))\n",
    ),
}


@dataclass(frozen=True)
class Message:
    """What a source sends."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def right(now: float) -> list[dict[str, Any]]:
    """Contacts of the last seconds, with everything that is summed."""
    return [
        event(
            now - 20 + 2 * step + customer / 16,
            id=f"e-{customer}-{step}",
            subject=f"c-ñ{customer}",
            source="/shop",
            data={
                "touchpoint": ("web.checkout", "delivery.handover", "survey.answer")[step % 3],
                "outcome": ("success", "failure")[(customer + step) % 2],
                "journey": f"order-{customer}",
                "wait_ms": 300 * step + customer,
                "attempts": 1 + step % 3,
                "expectation": {"expected": 2, "actual": 1.5 + step / 7, "tolerance": 1, "unit": "d"},
                "rating": {"value": step, "min": 0, "max": 10, "instrument": "nps"},
                "segment": {"carrier": f"carrier-{customer % 3}"},
            },
        )
        for step in range(EACH)
        for customer in range(CUSTOMERS)
    ]


def sent(number: int, whole: dict[str, Any]) -> Iterator[Message]:
    """The event as its source sends it: each sixth rightly, the others spoilt in five ways, some more than once."""
    key, spoilt = whole["subject"].encode(), json.loads(json.dumps(whole))
    kind = number % 6
    if kind == 1:
        spoilt["data"]["outcome"] = {"success": "yes", "failure": "no"}[whole["data"]["outcome"]]
    elif kind == 2:
        spoilt["time"] = whole["time"].removesuffix("+00:00")
    elif kind == 3:
        headers = {f"ce_{name}": value.encode() for name, value in whole.items() if name not in ("data", "subject")}
        yield Message(key, json.dumps(whole["data"]).encode(), tuple(headers.items()))
        return
    text = json.dumps(spoilt, ensure_ascii=False)
    value = text[:-1].encode() if kind == 4 else text.encode("latin-1" if kind == 5 else "utf-8")
    for _ in range(2 if number % 18 == 1 else 1):
        yield Message(key, value)


def publish(settings: Settings, messages: Iterable[Message]) -> None:
    producer = clients.producer(settings)
    for message in messages:
        producer.produce(topics.EVENTS.name, message.value, message.key, headers=list(message.headers))
    assert producer.flush(30) == 0


def written(settings: Settings, topic: str) -> int:
    """Records that a topic has ever taken."""
    reader = clients.consumer(settings, "written")
    partitions = reader.list_topics(topic, timeout=30).topics[topic].partitions
    ends = [reader.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1] for number in partitions]
    reader.close()
    return sum(ends)


class Repair:
    """`corredor repair` as its user starts it, in the folder of the run."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._environment = {**os.environ, **as_environment(settings), "NO_COLOR": "1", "COLUMNS": "200"}
        self._folder = folder
        for name, text in FIXES.values():
            (folder / name).write_text(text)

    def __call__(self, reason: str, *options: str) -> dict[str, Any]:
        """The sums."""
        done = self._run(PROGRAM, reason, FIXES[reason][0], *options)
        assert done.returncode == 0, done.stderr.decode()
        return dict(json.loads(done.stdout))

    def crash(self, reason: str) -> None:
        """It publishes, and dies before it marks."""
        done = self._run(CRASHING + PROGRAM, reason, FIXES[reason][0], "--apply")
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()

    def interrupt(self, reason: str) -> str:
        """Somebody presses Ctrl-C while it works. What it says."""
        (self._folder / "interrupted.py").write_text(INTERRUPTED)
        done = self._run(PROGRAM, reason, "interrupted.py", "--apply")
        assert done.returncode == 130, done.stderr.decode()
        return done.stderr.decode()

    def _run(self, program: str, reason: str, fix: str, *options: str) -> "subprocess.CompletedProcess[bytes]":
        arguments = ["repair", "--reason", reason, "--fix", str(self._folder / fix), "--json", *options]
        return subprocess.run(
            [sys.executable, "-P", "-c", program, *arguments],
            env=self._environment,
            capture_output=True,
            timeout=240,
        )


def read(value: dict[str, Any]) -> TouchpointEvent:
    return decode(record(0, value))


def judge(client: Client, events: list[TouchpointEvent], corridor: Any) -> None:
    """ClickHouse has these events and their sums, and nothing else."""
    rows: Sequence[Any] = client.query(
        "SELECT source, id, subject, journey, touchpoint, outcome, toUnixTimestamp64Micro(time), wait_ms, attempts, x, "
        "gap, late FROM touchpoint_events FINAL"
    ).result_rows
    by_name = {touchpoint.name: touchpoint for touchpoint in corridor.touchpoints}
    expected = []
    for one in events:
        data = one.data
        felt = offline.experience(data, corridor, by_name.get(data.touchpoint))
        names = (one.source, one.id, one.subject, data.journey, data.touchpoint, data.outcome)
        counts = (round(one.time.timestamp() * 1e6), data.wait_ms, data.attempts)
        near = (pytest.approx(felt["x"], abs=1e-9), pytest.approx(felt["gap"], abs=1e-9))
        expected.append((*names, *counts, *near, False))
    assert sorted(rows, key=lambda row: row[:2]) == sorted(expected, key=lambda row: row[:2])

    published = [(0, offset, 0.0, one) for offset, one in enumerate(sorted(events, key=lambda one: one.time))]
    sums = offline.slices(published, corridor, rounded=True)
    cell = "tenant, touchpoint, channel, stage, actor, contact, segment, segment_value"
    found = {
        (row[:8], row[8]): dict(zip(COUNTS + SUMS, row[9:], strict=True))
        for row in client.query(
            f"SELECT {cell}, toUnixTimestamp(bucket), {', '.join(COUNTS + SUMS)} FROM slices"
        ).result_rows
    }
    assert found == {key: {name: one[name] for name in COUNTS + SUMS} for key, one in sums.items()}


def rejections(client: Client, condition: str) -> dict[str, int]:
    rows = client.query(f"SELECT reason, count() FROM rejections WHERE {condition} GROUP BY reason").result_rows
    return {str(reason): int(count) for reason, count in rows}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_repaired_events_count_as_if_they_had_come_rightly_at_once(settings: Settings, tmp_path: Path) -> None:
    repair = Repair(settings, tmp_path)
    # A worker that stands still for a while stays the owner of its partitions.
    settings = settings.model_copy(update={"session_timeout": 60.0})
    with running(settings) as group, closing(clickhouse_connect.get_client(dsn=group.run.clickhouse)) as client:
        whole = right(time.time())
        messages = [message for number, one in enumerate(whole) for message in sent(number, one)]
        publish(settings, messages)
        wait_until_drained(settings)
        spoilt = rejections(client, "1")
        assert spoilt == dict.fromkeys(FIXES, 20) | {"unknown_value": 20 + 7}
        assert rejections(client, "repaired") == {}

        before = written(settings, topics.EVENTS.name), written(settings, topics.REJECTED.name)
        assert before == (len(messages), len(messages) - 20)
        looked = repair("unknown_value")
        assert (looked["read"], looked["repaired"], looked["published"], looked["again"]) == (27, 27, 20, 7)
        assert (written(settings, topics.EVENTS.name), written(settings, topics.REJECTED.name)) == before

        assert "interrupted" in repair.interrupt("missing")
        assert (written(settings, topics.EVENTS.name), written(settings, topics.REJECTED.name)) == before

        # A crash after publishing and before marking; then twice, before the pipeline has taken the events.
        repair.crash("unknown_value")
        wait_until_drained(settings)
        worker = group.suspended("worker")
        repair.crash("naive_time")
        repair.crash("naive_time")
        worker.resume()
        assert written(settings, topics.EVENTS.name) == before[0] + 60
        assert written(settings, topics.REJECTED.name) == before[1], "nothing was marked"
        wait_until_drained(settings)
        assert rejections(client, "repaired") == {}

        done = {reason: repair(reason, "--apply") for reason in FIXES}
        assert {reason: sums["marked"] for reason, sums in done.items()} == spoilt
        assert done["unknown_value"]["published"] == 0
        assert done["naive_time"]["accepted"] == 20
        assert all(done[reason]["published"] == 20 for reason in ("missing", "invalid_json", "invalid_utf8"))
        wait_until_drained(settings)
        judge(client, [read(one) for one in whole], load_map(settings.map))
        assert rejections(client, "repaired") == spoilt
        assert rejections(client, "NOT repaired") == {}
        names = set(client.query("SELECT DISTINCT reason, repair FROM rejections").result_rows)
        assert {("unknown_value", "words"), ("invalid_json", "brace.py")} <= names
        assert len(names) == len(FIXES)

        after = written(settings, topics.EVENTS.name), written(settings, topics.REJECTED.name)
        for reason in FIXES:
            assert repair(reason, "--apply")["read"] == 0
        assert (written(settings, topics.EVENTS.name), written(settings, topics.REJECTED.name)) == after
        judge(client, [read(one) for one in whole], load_map(settings.map))

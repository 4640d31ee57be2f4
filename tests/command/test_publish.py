"""`corredor publish`: what fits the contract is in Kafka byte for byte, what does not is shown and kept."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from schemas.topics import EVENTS
from sources.privacy import Pseudonymiser
from streams.runtime import clients
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.settings import load_settings
from tests.builders import NOW, event

PROGRAM = [sys.executable, "-P", "-c", "from command.main import main; main()", "publish"]
#: Spaces and an unknown field: bytes stay as they are.
RIGHT = [json.dumps(event(NOW, id=f"id-{n}", note="kept as it is"), indent=None).encode() for n in range(3)]
FAULTY = [b'{"half', json.dumps({**event(NOW), "subject": ""}).encode()]


@pytest.fixture
def kafka_address() -> Iterator[str]:
    with EmbeddedKafka() as broker:
        yield broker.bootstrap


def publish(
    text: bytes, *options: str, kafka: str = "localhost:1", **settings: str
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "CORREDOR_KAFKA": kafka, "NO_COLOR": "1", "COLUMNS": "200"}
    environment |= {f"CORREDOR_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run([*PROGRAM, *options], input=text, env=environment, capture_output=True, timeout=120)


def published(kafka: str) -> list[tuple[bytes | None, bytes | None]]:
    reader = clients.consumer(load_settings(kafka=kafka), "test")
    partitions = reader.list_topics(EVENTS.name, timeout=30).topics[EVENTS.name].partitions
    reader.assign([TopicPartition(EVENTS.name, number, OFFSET_BEGINNING) for number in partitions])
    count = sum(reader.get_watermark_offsets(TopicPartition(EVENTS.name, number))[1] for number in partitions)
    found = []
    while len(found) < count:
        message = reader.poll(30)
        assert message is not None and message.error() is None
        found.append((message.key(), message.value()))
    reader.close()
    return found


def test_lines_are_sent_as_they_are_keyed_by_the_customer(kafka_address: str) -> None:
    done = publish(b"\n\n".join(RIGHT) + b"\n", kafka=kafka_address)
    assert done.returncode == 0, done.stderr
    assert b"3 published and acknowledged, 0 faulty" in done.stderr
    assert sorted(published(kafka_address)) == sorted((b"customer-1", line) for line in RIGHT)


def test_faulty_lines_are_shown_kept_and_not_sent(kafka_address: str, tmp_path: Path) -> None:
    kept = tmp_path / "faulty.ndjson"
    lines = [RIGHT[0], FAULTY[0], RIGHT[1], FAULTY[1], RIGHT[2]]
    done = publish(b"\n".join(lines), "--faulty", str(kept), kafka=kafka_address)
    assert done.returncode == 1
    assert b"line 2: " in done.stderr and b"line 4: " in done.stderr
    assert b"3 published and acknowledged, 2 faulty" in done.stderr
    assert kept.read_bytes() == b"\n".join(FAULTY) + b"\n"
    assert len(published(kafka_address)) == 3


def test_strict_stops_at_the_first_faulty_line(kafka_address: str) -> None:
    done = publish(b"\n".join([RIGHT[0], FAULTY[0], RIGHT[1]]), "--strict", kafka=kafka_address)
    assert done.returncode == 1
    assert [value for _, value in published(kafka_address)] == RIGHT[:1]


def test_a_dry_run_needs_no_kafka(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"\n".join([*RIGHT, b"x" * 3_000_000, RIGHT[0]]))
    done = publish(b"", str(file), "--dry-run")
    assert done.returncode == 1
    assert b"4 fit the contract, 1 faulty" in done.stderr
    assert b"line 4: " in done.stderr


def test_with_a_key_customers_get_pseudonyms(kafka_address: str) -> None:
    key = "0123456789abcdef"
    mail = json.dumps(event(NOW, id="mail", subject="jane@example.com", data={"journey": "order-1"})).encode()
    done = publish(b"\n".join([*RIGHT, mail]), kafka=kafka_address, pseudonym_key=key)
    assert done.returncode == 0, done.stderr
    token = Pseudonymiser(key.encode(), []).token
    found = [(key, json.loads(value or b"")) for key, value in published(kafka_address)]
    assert {(key, one["subject"]) for key, one in found} == {
        (token(who).encode(), token(who)) for who in ("customer-1", "jane@example.com")
    }
    assert [one["data"]["journey"] for _, one in found if one["id"] == "mail"] == [token("order-1")]


def test_lines_that_look_personal_are_faulty(kafka_address: str) -> None:
    mail = json.dumps(event(NOW, data={"segment": {"customer": "jane@example.com"}})).encode()
    done = publish(b"\n".join([RIGHT[0], mail]), kafka=kafka_address)
    assert done.returncode == 1
    assert b"line 2: personal_data" in done.stderr and b"$.data.segment.customer" in done.stderr
    assert b"jane" not in done.stderr
    assert len(published(kafka_address)) == 1
    assert publish(mail, kafka=kafka_address, personal_data="allow").returncode == 0


@pytest.mark.parametrize(
    ("changes", "where"),
    [({"subject": "[e-mail]"}, b"$.subject"), ({"data": {"journey": "[phone]"}}, b"$.data.journey")],
)
def test_a_name_that_was_masked_is_no_name(changes: dict[str, Any], where: bytes) -> None:
    done = publish(json.dumps(event(NOW, **changes)).encode(), "--dry-run")
    assert done.returncode == 1
    assert b"a mask is no name" in done.stderr and where in done.stderr


def test_a_file_that_is_not_there_is_a_usage_error() -> None:
    done = publish(b"", "no-such-file.ndjson")
    assert done.returncode == 2
    assert b"no-such-file.ndjson cannot be read" in done.stderr

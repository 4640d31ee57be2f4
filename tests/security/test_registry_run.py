"""A run whose events come in Confluent's wire format, while the registry is away and after it is back."""

import json
import time
from pathlib import Path

import clickhouse_connect
import pytest

from schemas import topics
from streams.runtime import clients
from streams.runtime.settings import Settings
from streams.runtime.supervisor import free_port
from tests.builders import event
from tests.pipeline.running import arrived, eventually, own_settings, running
from tests.security.registry_server import PASSWORD, USER, RegistryServer, wire

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(120)]


def rejected(clickhouse: str) -> list[tuple[str, bytes]]:
    """Reason and raw value of what was rejected."""
    with clickhouse_connect.get_client(dsn=clickhouse) as client:
        rows = client.query("SELECT reason, hex(raw) FROM rejected_events").result_rows
    return [(reason, bytes.fromhex(raw)) for reason, raw in rows]


def test_a_registry_that_is_away_is_a_wait_in_ready_and_nothing_is_lost_or_rejected(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://{USER}:{PASSWORD}@127.0.0.1:{port}"
    # It waits for longer than a worker may hang.
    settings = own_settings("embedded", tmp_path, schema_registry=url, stall_timeout=3.0)
    with running(settings) as group:
        producer = clients.producer(Settings(kafka=group.run.kafka))
        values = [json.dumps(event(time.time(), id=f"e-{n}")).encode() for n in range(3)]
        unknown = wire(99, values[2])
        for value in (wire(1, values[0]), values[1], unknown):
            producer.produce(topics.EVENTS.name, value, "customer-1")
        assert producer.flush(30) == 0
        eventually(lambda: "for the schema registry" in group.not_ready("worker-1"), 30, group)
        assert f"http://127.0.0.1:{port} does not answer" in group.not_ready("worker-1")
        began = time.monotonic()
        eventually(lambda: time.monotonic() > began + 1.5 * settings.stall_timeout, 30, group)
        clickhouse = group.run.clickhouse
        assert arrived(clickhouse) == (0, 0)
        with RegistryServer(port, PASSWORD) as server:
            server.schemas[1] = {"schema": "{}", "schemaType": "JSON"}
            eventually(lambda: arrived(clickhouse) == (2, 2), 60, group)
            eventually(lambda: rejected(clickhouse) == [("unknown_schema", unknown)], 30, group)
            eventually(lambda: not group.not_ready("worker-1"), 30, group)
        assert PASSWORD not in group.said()

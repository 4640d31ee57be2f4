"""Values in Confluent's wire format: read by the registry's schemas, or rejected, or waited for; never lost."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RejectEvent, UsageError
from schemas.rejection import Reason
from streams.model.decode import Record, decode
from streams.runtime import avro, registry
from streams.runtime.avro import Unfit, avro_reader
from streams.runtime.registry import SchemaRegistry
from streams.runtime.settings import load_settings
from streams.runtime.supervisor import free_port
from streams.runtime.waiting import WAITS
from tests.builders import event, record
from tests.security.registry_server import PASSWORD, RegistryServer, wire

OUTCOME = {"type": "enum", "name": "Outcome", "namespace": "test", "symbols": ["success", "failure"]}
EXPECTATION = {
    "type": "record",
    "name": "Expectation",
    "namespace": "test",
    "fields": [{"name": name, "type": "double"} for name in ("expected", "actual", "tolerance")],
}
DATA = {
    "type": "record",
    "name": "Data",
    "namespace": "test",
    "fields": [
        {"name": "touchpoint", "type": "string"},
        {"name": "outcome", "type": "test.Outcome"},
        {"name": "wait_ms", "type": ["null", "long"]},
        {"name": "expectation", "type": ["null", "test.Expectation"]},
        {"name": "segment", "type": ["null", {"type": "map", "values": "string"}]},
    ],
}
EVENT = {
    "type": "record",
    "name": "Event",
    "namespace": "test",
    "fields": [
        *({"name": name, "type": "string"} for name in ("specversion", "id", "source", "type", "subject")),
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "dataschema", "type": ["null", "string"]},
        {"name": "data", "type": "test.Data"},
    ],
}
AT = datetime(2026, 11, 21, 10, 0, 0, 250_000, UTC)


def avro_payload() -> bytes:
    """An event as an Avro producer writes it."""
    named: dict[str, Any] = {}
    for schema in (OUTCOME, EXPECTATION, DATA):
        fastavro.parse_schema(schema, named_schemas=named)
    parsed = fastavro.parse_schema(EVENT, named_schemas=named)
    expectation = {"expected": 2.0, "actual": 3.5, "tolerance": 1.0}
    data = {"touchpoint": "web.checkout", "outcome": "failure", "wait_ms": None, "expectation": expectation}
    out = io.BytesIO()
    found = {**event(), "time": AT, "data": {**data, "segment": {"device": "phone"}}}
    fastavro.schemaless_writer(out, parsed, found)
    return out.getvalue()


def references(*names: str) -> list[dict[str, Any]]:
    return [{"name": f"test.{name}", "subject": f"a/b {name}", "version": 1} for name in names]


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer(password=PASSWORD) as server:
        server.schemas[1] = {"schema": "{}", "schemaType": "JSON"}
        server.schemas[2] = {"schema": json.dumps(EVENT), "references": references("Data")}
        server.schemas[3] = {"schema": 'syntax = "proto3";', "schemaType": "PROTOBUF"}
        server.schemas[4] = {"schema": '{"type": "record"}'}
        server.schemas[5] = {"schema": json.dumps(EVENT), "references": references("Missing")}
        for name, schema, needs in (
            ("Outcome", OUTCOME, ()),
            ("Expectation", EXPECTATION, ()),
            ("Data", DATA, ("Outcome", "Expectation")),
        ):
            server.subjects[f"a/b {name}", 1] = {"schema": json.dumps(schema), "references": references(*needs)}
        yield server


def opened(url: str) -> SchemaRegistry:
    return SchemaRegistry(load_settings(schema_registry=url))


def unwrapped(url: str, *values: bytes | None) -> list[Record]:
    records: list[Record] = [record(offset, value) for offset, value in enumerate(values)]
    return asyncio.run(opened(url).unwrap(records))


def refusal(one: Record) -> RejectEvent:
    with pytest.raises(RejectEvent) as refused:
        decode(one)
    return refused.value


def test_json_of_a_known_schema_is_the_payload(server: RegistryServer) -> None:
    payload = json.dumps(event()).encode()
    (one,) = unwrapped(server.url, wire(1, payload))
    assert one.value == payload
    assert decode(one).id == "id-1"


def test_avro_with_references_becomes_the_event_without_its_nulls(server: RegistryServer) -> None:
    (one,) = unwrapped(server.url, wire(2, avro_payload()))
    found = decode(one)
    assert found.time == AT
    assert found.data.outcome == "failure"
    assert found.data.expectation is not None
    assert found.data.expectation.actual == 3.5
    assert found.data.segment == {"device": "phone"}
    assert one.value is not None
    assert b"null" not in one.value
    # Each schema once, whoever needs it.
    assert len(server.asked) == len(set(server.asked)) == 4


def test_everything_else_of_a_record_stays_as_it_came(server: RegistryServer) -> None:
    headers = (("ce_id", b"1"),)
    came = record(7, wire(1, b"{}"), received_at=1000.5, headers=headers, key=b"k")
    (one,) = asyncio.run(opened(server.url).unwrap([came]))
    assert one == came._replace(value=b"{}")


def test_plain_values_pass_and_nobody_is_asked(server: RegistryServer) -> None:
    records: list[Record] = [record(n, value) for n, value in enumerate((b'{"a": 1}', None, b"", b"\0", b"\0\0\0\0\1"))]
    assert asyncio.run(opened(server.url).unwrap(records)) is records
    assert not server.asked


def test_a_schema_is_asked_for_once(server: RegistryServer) -> None:
    opened_once = opened(server.url)

    async def scenario() -> None:
        for _ in range(3):
            await opened_once.unwrap([record(n, wire(1, b"{}")) for n in range(5)])

    asyncio.run(scenario())
    assert server.asked == ["/schemas/ids/1"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (wire(99, b"{}"), "the registry does not know it"),
        (wire(3, b"\0\0"), "it is of type PROTOBUF; JSON and AVRO can be read"),
        (wire(4, b"\0"), "the schema cannot be used"),
        (wire(5, b"\0"), "the registry does not know it"),
        (wire(2, b"\x02"), "the payload is not of it"),
        (wire(2, avro_payload() + b"more"), "4 bytes are left over"),
        (wire(0, b"{}"), "no registry has such an id"),
        (wire(2**32 - 1, b"{}"), "no registry has such an id"),
    ],
)
def test_what_cannot_be_read_is_rejected_whole_and_with_the_reason(
    server: RegistryServer, value: bytes, why: str
) -> None:
    (one,) = unwrapped(server.url, value)
    refused = refusal(one)
    assert refused.reason is Reason.UNKNOWN_SCHEMA
    assert why in refused.detail
    assert PASSWORD not in refused.detail
    assert bytes(one.value or b"") == value


def test_that_an_id_is_unknown_is_believed_for_a_minute(
    server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(registry.time, "monotonic", lambda: now)
    client = opened(server.url)
    value = wire(99, b"{}")

    async def scenario() -> list[bytes | None]:
        nonlocal now
        seen = [(await client.unwrap([record(0, value)]))[0].value]
        server.schemas[99] = server.schemas[1]
        now += 59
        seen += [(await client.unwrap([record(1, value)]))[0].value]
        now += 2
        return [*seen, (await client.unwrap([record(2, value)]))[0].value]

    assert asyncio.run(scenario()) == [value, value, b"{}"]


def waited(client: SchemaRegistry, then: Callable[[], Awaitable[None]], said: str) -> list[Record]:
    """What comes out once `then` has brought back a registry that was waited for, as `said`."""

    async def scenario() -> list[Record]:
        waiting = asyncio.create_task(client.unwrap([record(0, wire(1, b"{}"))]))
        async with asyncio.timeout(60):
            while not any(said in wait for wait in WAITS.all()):
                assert not waiting.done(), WAITS.all()
                await asyncio.sleep(0.005)
            assert not [wait for wait in WAITS.all() if PASSWORD in wait]
            await then()
            return await waiting

    return asyncio.run(scenario())


def test_a_registry_that_is_away_is_waited_for(server: RegistryServer) -> None:
    port = free_port()
    back = []

    async def then() -> None:
        back.append(RegistryServer(port).__enter__())
        back[0].schemas = server.schemas

    (one,) = waited(opened(f"http://127.0.0.1:{port}"), then, f"http://127.0.0.1:{port} does not answer")
    back[0].__exit__()
    assert one.value == b"{}"


@pytest.mark.parametrize("status", [404, 429, 500, 200])
def test_an_answer_that_is_no_registry_s_rejects_nothing(server: RegistryServer, status: int) -> None:
    server.status = status

    async def then() -> None:
        server.status = None

    (one,) = waited(opened(server.url), then, f"with status {status}")
    assert one.value == b"{}"


def test_a_registry_that_refuses_us_rejects_nothing_and_says_what_to_look_at(server: RegistryServer) -> None:
    client = opened(server.url.replace(PASSWORD, "wrong-password"))

    async def then() -> None:
        assert not [wait for wait in WAITS.all() if "wrong-password" in wait]
        client._client.auth = ("registry-user", PASSWORD)

    (one,) = waited(client, then, "refuses us with status 401; check user and password of CORREDOR_SCHEMA_REGISTRY")
    assert one.value == b"{}"


def test_a_file_of_authorities_that_cannot_be_used_is_named() -> None:
    with pytest.raises(UsageError, match="CORREDOR_SCHEMA_REGISTRY_CA"):
        SchemaRegistry(load_settings(schema_registry="https://registry", schema_registry_ca=__file__))


@given(st.binary(max_size=200))
def test_no_payload_brings_the_reader_down(payload: bytes) -> None:
    reader = avro_reader(json.dumps(EVENT), [json.dumps(schema) for schema in (OUTCOME, EXPECTATION, DATA)])
    try:
        json.loads(reader(payload))
    except Unfit as unfit:
        assert "the payload is not of it" in str(unfit)


def test_without_the_library_avro_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fastavro", None)
    with pytest.raises(UsageError, match=r"corredor\[avro\]"):
        avro.avro_reader('"string"', [])

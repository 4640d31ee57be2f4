"""The edge: pseudonyms in every mode, what cannot get one is not published, and passing twice changes nothing."""

import hashlib
import hmac
import json
from base64 import b32encode, b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RejectEvent, UsageError
from schemas.event import MAX_EVENT_BYTES, TouchpointData
from schemas.rejection import Reason
from schemas.topics import EVENTS
from sources.mapping import load_mapping
from sources.privacy import _KEPT, Edge, Message, Pseudonymiser
from sources.publish import Publisher
from sources.replay import Tally, collect
from streams.model.decode import decode
from streams.model.personal import PersonalData
from streams.runtime import clients
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.settings import load_settings
from streams.runtime.supervisor import as_environment
from tests.builders import Record, event
from tests.conftest import wait_until

KEY = b"a key of more than 16 bytes"
DEFAULT = ("subject", "data.journey")
STRUCTURED = [("content-type", b"application/cloudevents+json")]


def token(text: str, key: bytes = KEY) -> str:
    """As docs/privacy.md has it."""
    return "ps_" + b32encode(hmac.new(key, text.encode(), hashlib.sha256).digest()[:20]).decode().lower()


def passed(value: dict[str, Any] | bytes, *paths: str, headers: Any = STRUCTURED) -> Message:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Edge(Pseudonymiser(KEY, paths or DEFAULT), None).protect(b"?", raw, headers)


def read(message: Message) -> dict[str, Any]:
    """What came out; it has to be an event that ingest accepts, under its subject."""
    made = decode(Record(0, 0, message.key, message.value, tuple(message.headers)))
    assert message.key == made.subject.encode()
    found: dict[str, Any] = json.loads(message.value)
    return found


def test_customer_and_journey_get_pseudonyms_and_the_key_is_the_new_subject() -> None:
    message = passed(event(data={"journey": "order-1"}, tenant="brand", extra=[1.5, None]))
    found = read(message)
    assert message.key == token("customer-1").encode()
    assert (found["subject"], found["data"]["journey"]) == (token("customer-1"), token("order-1"))
    assert found == {**event(tenant="brand", extra=[1.5, None]), "subject": found["subject"], "data": found["data"]}
    assert b"customer-1" not in message.value and b"order-1" not in message.value


def test_the_same_text_has_the_same_pseudonym_in_every_field_tenant_and_source() -> None:
    one = read(passed(event(subject="c", source="/a", tenant="x"), "subject", "data.segment.customer"))
    other = event(subject="d", source="/b", tenant="y", data={"segment": {"customer": "c", "store": "s"}})
    two = read(passed(other, "subject", "data.segment.customer"))
    assert two["data"]["segment"] == {"customer": one["subject"], "store": "s"}
    assert two["subject"] != one["subject"]


def test_a_journey_named_like_its_customer_never_gives_the_name_away() -> None:
    found = read(passed(event(subject="c", data={"journey": "c"}), "subject"))
    assert found["data"]["journey"] == found["subject"] == token("c")
    assert read(passed(event(subject="c", data={"journey": "order-1"}), "subject"))["data"]["journey"] == "order-1"


def test_attributes_fields_and_numbers_get_pseudonyms_where_they_are_named() -> None:
    value = event(correlationid="x", data={"customer": {"number": 17}, "n": 18})
    found = read(passed(value, "correlationid", "data.customer.number", "data.absent", "data.n.deeper", "ghost"))
    assert (found["correlationid"], found["data"]["customer"]) == (token("x"), {"number": token("17")})
    assert (found["subject"], found["data"]["n"], "absent" in found["data"]) == ("customer-1", 18, False)


def test_in_binary_mode_headers_and_data_get_pseudonyms() -> None:
    headers = [(f"ce_{name}", str(value).encode()) for name, value in event().items() if name != "data"]
    headers = [("CE_Subject" if name == "ce_subject" else name, value) for name, value in headers]
    headers += [("content-type", b"application/json"), ("trace", b"customer-1"), ("empty", None)]  # type: ignore[list-item]
    data = {"touchpoint": "web.checkout", "outcome": "success", "journey": "customer-1"}
    message = passed(json.dumps(data).encode(), headers=headers)
    assert read(message) == {**data, "journey": token("customer-1")}
    assert dict(message.headers) == {**dict(headers), "CE_Subject": token("customer-1").encode()}


def test_an_event_of_an_old_version_is_brought_up_to_date_and_hides_nothing_in_base64() -> None:
    inside = b64encode(json.dumps({"touchpoint": "a", "outcome": "success", "journey": "j"}).encode()).decode()
    old = {**event(), "specversion": "0.3", "datacontentencoding": "base64", "data": inside}
    found = read(passed(old))
    assert (found["specversion"], found["data"]["journey"]) == ("1.0", token("j"))


@given(
    st.dictionaries(st.text(max_size=8), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)),
    st.text(min_size=1, max_size=60),
    st.text(min_size=1, max_size=60),
)
def test_passing_twice_is_passing_once_and_nothing_else_changes(more: dict[str, Any], who: str, walk: str) -> None:
    value = {**more, **event(subject=who, data={"journey": walk})}
    raw = msgspec.json.encode(value)
    once = passed(raw)
    assert passed(once.value) == once
    assert msgspec.json.decode(once.value) == {
        **value,
        "subject": token(who),
        "data": {**value["data"], "journey": token(walk)},
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"subject": "jane', Reason.INVALID_JSON),
        (b"\xff", Reason.INVALID_JSON),
        (b'{"subject": "jane", "n": 1e999}', Reason.INVALID_JSON),
        (b"[" * 5000, Reason.TOO_DEEP),
        (b'["jane"]', Reason.WRONG_TYPE),
        (b'{"subject": "jane", "data": "jane"}', Reason.WRONG_TYPE),
        (b'{"subject": ["jane"], "data": {}}', Reason.WRONG_TYPE),
        (b'{"subject": 1.5, "data": {}}', Reason.WRONG_TYPE),
        (b'{"subject": true, "data": {}}', Reason.WRONG_TYPE),
        (b'{"subject": "j", "data": {"journey": {"name": "jane"}}}', Reason.WRONG_TYPE),
        (b'{"data": {}}', Reason.MISSING),
        (json.dumps(event(subject="j", data={"x": "y" * (MAX_EVENT_BYTES - 200)})).encode(), Reason.TOO_LARGE),
    ],
)
def test_what_cannot_get_a_pseudonym_is_not_published(value: bytes, reason: Reason) -> None:
    with pytest.raises(RejectEvent) as refused:
        passed(value)
    assert refused.value.reason is reason
    assert "jane" not in str(refused.value)


def test_a_field_that_is_given_twice_leaves_no_trace_of_the_first() -> None:
    raw = json.dumps(event()).replace('"subject"', '"subject": "jane", "subject"').encode()
    assert b"jane" not in passed(raw).value


def test_only_the_whole_form_counts_as_a_pseudonym() -> None:
    pseudonymiser = Pseudonymiser(KEY, DEFAULT)
    made = pseudonymiser.token("x")
    assert pseudonymiser.token(made) == made
    assert all(pseudonymiser.token(text) != text for text in (made + "a", made[:-1], made.upper(), "ps_", f" {made}"))


def test_another_key_gives_other_pseudonyms() -> None:
    assert Pseudonymiser(KEY + b"2", DEFAULT).token("x") == token("x", KEY + b"2") != token("x")


def test_the_edge_refuses_what_looks_personal_unless_it_got_a_pseudonym() -> None:
    value = json.dumps(event(subject="jane@example.com")).encode()
    with pytest.raises(RejectEvent, match=r"e-mail address - at `\$\.subject`") as refused:
        Edge.of(load_settings()).protect(b"", value, STRUCTURED)
    assert refused.value.reason is Reason.PERSONAL_DATA
    assert Edge.of(load_settings(personal_data="allow")).protect(b"k", value, STRUCTURED) == (b"k", value, STRUCTURED)
    with_key = Edge.of(load_settings(pseudonym_key=KEY.decode()))
    assert read(with_key.protect(b"", value, STRUCTURED))["subject"] == token("jane@example.com")


def test_a_path_may_be_allowed_to_look_personal() -> None:
    value = json.dumps(event(data={"segment": {"card": "4111111111111111"}})).encode()
    edge = Edge.of(load_settings(personal_data_allowed="data.segment.mail, data.segment.card"))
    assert edge.protect(b"k", value, STRUCTURED).value == value


# -- settings --------------------------------------------------------------------------------------------------------


def test_without_a_key_nothing_changes() -> None:
    assert Pseudonymiser.of(load_settings()) is None
    value = b'{ "not":  "touched"'
    assert Edge.of(load_settings()).protect(b"k", value, ()) == (b"k", value, ())


def test_the_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(KEY + b"\n")
    made = Pseudonymiser.of(load_settings(pseudonym_key_file=file))
    assert made is not None and made.token("x") == token("x")
    with pytest.raises(UsageError, match="both set"):
        Pseudonymiser.of(load_settings(pseudonym_key_file=file, pseudonym_key=KEY.decode()))
    with pytest.raises(UsageError, match="cannot be read"):
        Pseudonymiser.of(load_settings(pseudonym_key_file=tmp_path / "other"))
    file.write_bytes(b"\n")
    with pytest.raises(UsageError, match="the key has 0 bytes"):
        Pseudonymiser.of(load_settings(pseudonym_key_file=file))


def test_a_short_key_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match="at least 16") as refused:
        Pseudonymiser.of(load_settings(pseudonym_key="secret"))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("path", ["source", "tenant", "data", "data.touchpoint", "data.segment", "data.rating.value"])
def test_a_field_that_the_pipeline_reads_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match=f"`{path}` would break the event"):
        Pseudonymiser(KEY, ["subject", path])


@pytest.mark.parametrize("path", ["", "Subject", "data.", "$.subject", "subject.x", "data..x"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="is no field"):
        Pseudonymiser(KEY, [path])


def test_every_field_of_the_contract_is_either_kept_or_may_name_a_customer() -> None:
    free = {name for name in TouchpointData.__struct_fields__ if not _KEPT.fullmatch(f"data.{name}")}
    assert free == {"journey", "change"}
    assert _KEPT.fullmatch("data.segment.customer") is None


def test_lists_come_from_the_environment_and_from_toml_and_reach_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CORREDOR_PSEUDONYM_FIELDS", "subject, correlationid")
    monkeypatch.setenv("CORREDOR_PERSONAL_DATA_ALLOWED", '["data.a", "data.b"]')
    settings = load_settings()
    assert (settings.pseudonym_fields, settings.personal_data_allowed) == ("subject,correlationid", "data.a,data.b")
    monkeypatch.delenv("CORREDOR_PSEUDONYM_FIELDS")
    monkeypatch.setenv("CORREDOR_CONFIG", str(tmp_path / "corredor.toml"))
    (tmp_path / "corredor.toml").write_text(
        'pseudonym_fields = ["subject", "data.x"]\npseudonym_key = "0123456789abcdef"'
    )
    settings = load_settings()
    assert settings.pseudonym_fields == "subject,data.x"
    assert "0123456789abcdef" not in repr(settings)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CORREDOR_CONFIG", "")
    child = load_settings()
    assert (child.pseudonym_key, child.pseudonym_fields) == (settings.pseudonym_key, settings.pseudonym_fields)


# -- replay and publisher --------------------------------------------------------------------------------------------

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
        journey: "{walk}"
        time: at
        touchpoint: web.page
        outcome: success
"""


def test_a_replay_gives_pseudonyms_before_anything_is_kept_or_printed(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MAPPING)
    rows = ["n,who,walk,at", "1,jane@example.com,w,2026-01-01T00:00:00Z", "2,joe,joe@example.com,2026-01-01T00:00:01Z"]
    (tmp_path / "clicks.csv").write_text("\n".join(rows) + "\n")
    mapping = load_mapping(tmp_path / "m.yaml")
    order = collect([tmp_path], mapping, edge=Edge(Pseudonymiser(KEY, DEFAULT), PersonalData()))
    first, second = order
    order.close()
    assert first.key == token("jane@example.com").encode()
    assert json.loads(first.value)["data"]["journey"] == token("w")
    assert (second.key, json.loads(second.value)["subject"]) == (token("joe").encode(), token("joe"))
    tally = Tally()
    with closing(collect([tmp_path], mapping, tally=tally, edge=Edge(None, PersonalData()))) as order:
        assert [record.key for record in order] == []
    assert tally.skipped == {Reason.PERSONAL_DATA: 2}
    assert not any("@" in row.detail for row in tally.examples)


def test_the_publisher_lets_nothing_past_the_edge() -> None:
    value = json.dumps(event(subject="jane", data={"journey": "w"})).encode()
    with EmbeddedKafka() as broker:
        settings = load_settings(kafka=broker.bootstrap, pseudonym_key=KEY.decode())
        with Publisher(settings) as publisher:
            publisher.send(b"jane", value)
            with pytest.raises(RejectEvent):
                publisher.send(b"jane", b'{"subject": "jane"')
        assert publisher.delivered == 1
        reader = clients.consumer(settings, "test")
        reader.assign([TopicPartition(EVENTS.name, number, OFFSET_BEGINNING) for number in range(4)])
        found = []
        wait_until(lambda: found.extend(reader.consume(1, 0.2)) or found)
        reader.close()
    assert found[0].key() == token("jane").encode()
    assert json.loads(found[0].value())["subject"] == token("jane")

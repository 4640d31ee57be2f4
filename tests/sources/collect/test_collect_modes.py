"""Every mode end to end: what is in the topic is what was sent, byte for byte, and ingest accepts it."""

import json
from collections.abc import Iterator

import pytest

from streams.model.decode import decode
from streams.runtime.partitioner import partitioner
from streams.runtime.settings import Settings
from tests.builders import Record
from tests.sources.collect.running import Collector, collecting, contact, encode, iso, now, published


@pytest.fixture
def collector(settings: Settings) -> Iterator[Collector]:
    with collecting(settings) as running:
        yield running


def test_a_structured_event_is_in_the_topic_byte_for_byte(collector: Collector, settings: Settings) -> None:
    body = json.dumps(contact(unknown={"kept": [1, 2]}), indent=3, ensure_ascii=False).encode()
    answer = collector.structured(body)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    (message,) = published(settings, 1)
    assert (message.key(), message.value()) == (b"customer-1", body)
    assert message.headers() == [("content-type", b"application/cloudevents+json")]
    assert message.partition() == partitioner(4)(b"customer-1")


def test_a_binary_event_keeps_its_data_and_its_attributes(collector: Collector, settings: Settings) -> None:
    data = b'{ "touchpoint":"web.checkout",\n "outcome":"success" }'
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": "a%20b",
        "ce_source": "/tienda/caf%C3%A9",
        "ce_type": "io.corredor.touchpoint.v1",
        "ce_time": iso(now()),
        "ce_subject": "cliente-%C3%B1",
    }
    assert collector.post("/events", data, "application/json", **attributes).status_code == 202
    (message,) = published(settings, 1)
    headers = tuple(message.headers() or ())
    accepted = decode(Record(0, 0, message.key(), message.value(), headers))
    assert message.value() == data
    assert message.key() == "cliente-ñ".encode()
    assert (accepted.id, accepted.source, accepted.subject) == ("a b", "/tienda/café", "cliente-ñ")


def test_a_batch_is_one_message_for_each_event(collector: Collector, settings: Settings) -> None:
    events = [encode(contact(number)) for number in range(1000)]
    body = b"[ " + b" ,\n".join(events) + b"]"
    answer = collector.post("/events", body, "application/cloudevents-batch+json; charset=utf-8")
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1000})
    messages = published(settings, 1000)
    assert sorted(message.value() or b"" for message in messages) == sorted(events)
    where = partitioner(4)
    for message in messages:
        record = Record(0, 0, message.key(), message.value(), tuple(message.headers() or ()))
        assert decode(record).subject.encode() == message.key()
        assert message.partition() == where(message.key() or b"")


def test_a_batch_is_taken_whole_or_not_at_all(collector: Collector, settings: Settings) -> None:
    late = contact(2, time="2026-11-22T09:00:00")
    wrong = contact(3, data={"outcome": "great"})
    answer = collector.batch([contact(1), late, wrong, {"specversion": "1.0"}])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    faults = [(each["index"], each["path"], each["reason"]) for each in answer.json()["errors"]]
    assert faults == [(1, "$.time", "naive_time"), (2, "$.data.outcome", "unknown_value"), (3, "$.id", "missing")]
    assert all(each["fix"] and each["detail"] for each in answer.json()["errors"])
    skipping = collector.batch([contact(1), late], "/events?faulty=skip")
    assert (skipping.status_code, skipping.json()["accepted"], skipping.json()["rejected"]) == (202, 1, 1)
    assert collector.batch([late], "/events?faulty=skip").status_code == 422
    (message,) = published(settings)
    assert message.key() == b"customer-1"


def test_an_event_of_the_future_is_refused(collector: Collector, settings: Settings) -> None:
    answer = collector.structured(encode(contact(time=iso(now() + 3600))))
    assert (answer.status_code, answer.json()["title"]) == (422, "future_time")
    assert published(settings) == []


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"{}", "text/plain", 415),
        (b"", "application/cloudevents+json", 400),
        (b'{"specversion"', "application/cloudevents+json", 400),
        (b"{}", "application/cloudevents+json; charset=latin-1", 415),
        (b'{"specversion": "1.0"}', "application/cloudevents-batch+json", 422),
        (b"[1]", "application/cloudevents-batch+json", 422),
        (b"[" * 100_000, "application/cloudevents-batch+json", 400),
    ],
)
def test_what_is_no_event_is_refused_with_what_to_do(
    collector: Collector, body: bytes, content_type: str, status: int
) -> None:
    answer = collector.post("/events", body, content_type)
    assert answer.status_code == status
    assert answer.json()["fix"]


def test_an_empty_batch_is_accepted_and_is_nothing(collector: Collector, settings: Settings) -> None:
    assert collector.batch([]).json() == {"accepted": 0}
    assert published(settings) == []

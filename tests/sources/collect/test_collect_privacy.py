"""The collector as the edge: pseudonyms in every mode and in webhooks, and what looks personal is refused."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sources.privacy import Pseudonymiser
from streams.model.decode import decode
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.settings import Settings, load_settings
from tests.builders import Record
from tests.sources.collect.running import Collector, collecting, contact, encode, iso, now, published

KEY = "0123456789abcdef0123456789abcdef"
token = Pseudonymiser(KEY.encode(), []).token
MAIL = "jane.doe@example.com"


@pytest.fixture
def settings() -> Iterator[Settings]:
    with EmbeddedKafka() as broker:
        yield load_settings(kafka=broker.bootstrap)


@pytest.fixture
def collector(settings: Settings) -> Iterator[Collector]:
    with collecting(settings, environment={"CORREDOR_PSEUDONYM_KEY": KEY}) as running:
        yield running


@pytest.fixture
def keyless(settings: Settings) -> Iterator[Collector]:
    with collecting(settings, environment={"CORREDOR_PERSONAL_DATA_ALLOWED": "data.segment.order"}) as running:
        yield running


def test_no_mode_lets_a_customer_through_in_clear(collector: Collector, settings: Settings) -> None:
    assert collector.structured(encode(contact(1, subject=MAIL))).status_code == 202
    assert collector.batch([contact(2, subject=MAIL), contact(3, subject=MAIL)]).status_code == 202
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": "4",
        "ce_source": "/shop",
        "ce_type": "io.corredor.touchpoint.v1",
        "ce_time": iso(now()),
        "ce_subject": MAIL.replace("@", "%40"),
    }
    data = encode({"touchpoint": "web.checkout", "outcome": "success", "journey": MAIL})
    assert collector.post("/events", data, "application/json", **attributes).status_code == 202
    paid = {
        "id": "p-1",
        "topic": "order.paid",
        "created_at": iso(now()),
        "order": {"id": "o-1", "cart_id": MAIL, "customer_id": MAIL, "total": "59.90", "currency": "EUR"},
    }
    assert collector.post("/hooks/shop", encode(paid), "application/json").json() == {"accepted": 1}
    messages = published(settings, 5)
    for message in messages:
        whole = b" ".join(
            [message.key() or b"", message.value() or b"", *(v or b"" for _, v in message.headers() or ())]
        )
        assert MAIL.encode() not in whole
        accepted = decode(Record(0, 0, message.key(), message.value(), tuple(message.headers() or ())))
        assert accepted.subject.encode() == message.key() == token(MAIL).encode()
        assert accepted.data.journey in (None, token(MAIL))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"subject": MAIL}, "$.subject"),
        ({"data": {"segment": {"customer": MAIL}}}, "$.data.segment.customer"),
        ({"note": "call +49 171 1234567"}, "$.note"),
    ],
)
def test_what_looks_personal_is_refused_with_its_place(
    keyless: Collector, settings: Settings, changes: dict[str, Any], path: str
) -> None:
    answer = keyless.batch([contact(1), contact(2, **changes)])
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert (fault["index"], fault["path"], fault["reason"]) == (1, path, "personal_data")
    assert MAIL not in answer.text and "1234567" not in answer.text
    assert published(settings) == []


def test_an_allowed_path_and_ordinary_events_pass_byte_for_byte(keyless: Collector, settings: Settings) -> None:
    body = json.dumps(contact(1, data={"segment": {"order": "4111111111111111"}}), indent=2).encode()
    assert keyless.structured(body).status_code == 202
    (message,) = published(settings, 1)
    assert message.value() == body


def test_what_cannot_get_a_pseudonym_is_refused(collector: Collector, settings: Settings) -> None:
    body = encode(contact(1, data={"journey": "x"})).replace(b'"x"', b'"x","deep":1e999')
    answer = collector.structured(body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["reason"] == "invalid_json"
    assert published(settings) == []


def test_a_key_that_is_too_short_is_a_usage_error(settings: Settings) -> None:
    with pytest.raises(AssertionError, match="at least 16"):
        with collecting(settings, environment={"CORREDOR_PSEUDONYM_KEY": "short-secret"}):
            pass

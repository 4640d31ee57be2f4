"""What looks personal: examples of both kinds, properties, and what is left of a rejected event."""

import json
import uuid
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas import topics
from schemas.errors import RejectEvent
from schemas.rejection import Reason, RejectedEvent
from streams.model.decode import UnreadableValue, decode
from streams.model.ingest import Ingest
from streams.model.personal import PersonalData, document, in_headers, masked_bytes, suspicious
from streams.model.personal_text import Finder
from tests.builders import NOW, Record, corridor, event, record

#: What it is, and what becomes of it.
PERSONAL = {
    "jane.doe@example.com": "[e-mail]",
    "write to jane+shop@mail.example.co.uk, please": "write to [e-mail], please",
    "<José.Pérez@correo.example.es>": "<[e-mail]>",
    "https://shop.example/thanks?email=jane%40example.com&step=2": "https://shop.example/thanks?email=[e-mail]&step=2",
    "@jane@social.example": "@[e-mail]",
    "a@b.example c@d.example": "[e-mail] [e-mail]",
    "+49 171 1234567": "[phone]",
    "call +1 (202) 456-1414 at 20:00": "call [phone] at 20:00",
    "+442079460958": "[phone]",
    "+55 11 98765-4321": "[phone]",
    "+34 612 34 56 78 20:00": "[phone] 20:00",
    "?tel=%2B34612345678&x=1": "?tel=[phone]&x=1",
    "0049 171 1234567": "[phone]",
    "0033 6 12 34 56 78": "[phone]",
    "(202) 456-1414": "[phone]",
    "(11) 98765-4321": "[phone]",
    "4111111111111111": "[card]",
    "4111 1111 1111 1111": "[card]",
    "5555-5555-5555-4444 12/27": "[card] 12/27",
    "paid with 4111111111111111 12/27": "paid with [card] 12/27",
    "378282246310005": "[card]",
    "3782 822463 10005": "[card]",
    "30569309025904": "[card]",
    "6011111111111117": "[card]",
    "3530111333300000": "[card]",
    "2223003122003222": "[card]",
    "6250941006528599": "[card]",
    "card:5105105105105100,jane@example.com": "card:[card],[e-mail]",
}
HARMLESS = (
    "order-20261122-000123",
    "404-1234567-1234567",
    "302-7654321-1234567",
    "SO-4500012345",
    "4006381333931",
    "5901234123457",
    "10012345678902",
    "340434161094042557",
    "1Z999AA10123456784",
    "1763805600000",
    "1763805600000000",
    "1763805600000000000",
    "20261122091403412",
    "2026-11-22T10:00:00.123456+01:00",
    "2026-11-22 10:00:00+0100",
    "-23.550520, -46.633308",
    "+48.8577+002.295/",
    "+34.6123-056.7890/",
    "0.8123456789012345",
    "4111111111111112",
    "4111 1111 1111 1111 1111",
    "1234567890123456",
    "356938035643809",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "123e4567-e89b-12d3-a456-426614174000",
    "1,299.00 EUR",
    "+10000000 points",
    "v2.0.1+20261122",
    "icon@2x.png",
    "@scope/package@1.2.3",
    "user@localhost",
    "2 @ 3.50",
    "00012345678901",
    "(2026) 11",
    "(11) 2026-1122-3",
    "a+4917112345678",
    "ps_mfrggzdfmztwq2lknnwg23tpobyxe43u",
    "192.168.100.200:8080",
)
DATA: dict[str, Any] = {"touchpoint": "web.checkout", "outcome": "success"}


def refused(value: dict[str, Any] | bytes, *allowed: str, headers: Any = ()) -> str | None:
    """What the check says of an event that fits the contract; None if it passes."""
    made = record(0, value, headers=headers)
    assert made.value is not None
    decode(made)
    try:
        PersonalData(allowed).check(made.value, headers)
    except RejectEvent as error:
        assert error.reason is Reason.PERSONAL_DATA
        return error.detail
    return None


@pytest.mark.parametrize(("text", "masked"), PERSONAL.items())
def test_what_is_personal_is_found_refused_and_masked(text: str, masked: str) -> None:
    assert Finder().mask(text) == masked
    assert suspicious(text.encode())
    assert masked_bytes(text.encode()).decode() == masked or "é" in text
    assert refused(event(data={"segment": {"note": text}})) is not None


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_a_little_like_it_passes(text: str) -> None:
    assert Finder().find(text) == []
    assert refused(event(note=text, data={"journey": text, "segment": {"note": text}})) is None


MAIL = "jane@example.com"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"data": {"segment": {"customer": MAIL}}}, "$.data.segment.customer"),
        ({"data": {"segment": {MAIL: "x"}}}, "$.data.segment"),
        ({"data": {"aspects": {MAIL: 0.5}}}, "$.data.aspects"),
        ({"data": {"change": MAIL}}, "$.data.change"),
        ({"data": {"journey": MAIL}}, "$.data.journey"),
        ({"data": {"touchpoint": MAIL}}, "$.data.touchpoint"),
        ({"data": {"form": {"fields": [1, {"mail": MAIL}]}}}, "$.data.form.fields.mail"),
        ({"data": {"value": {"amount_minor": 1, "currency": "EUR", "payer": MAIL}}}, "$.data.value.payer"),
        ({"data": {"card": 4111111111111111}}, "$.data.card"),
        ({"subject": MAIL}, "$.subject"),
        ({"correlationid": MAIL}, "$.correlationid"),
        ({"causationid": "+49 171 1234567"}, "$.causationid"),
        ({"contact": MAIL}, "$.contact"),
    ],
)
def test_every_free_field_is_looked_at(changes: dict[str, Any], path: str) -> None:
    detail = refused(event(**changes))
    assert detail is not None and detail.endswith(f" - at `{path}`")
    assert MAIL not in detail


@pytest.mark.parametrize(
    "changes",
    [
        {"id": f"<{MAIL}>"},
        {"source": f"mailto:{MAIL}"},
        {"data": {"journey": "4111111111111111"}, "subject": "4111111111111111"},
        {"data": {"audience": 4111111111111111, "value": {"amount_minor": 4111111111111111, "currency": "EUR"}}},
    ],
)
def test_identities_amounts_and_numbers_of_journeys_may_look_so(changes: dict[str, Any]) -> None:
    assert refused(event(**changes)) is None


def test_a_path_that_is_allowed_passes_and_no_other() -> None:
    both = event(data={"segment": {"order": "4111111111111111", "mail": MAIL}})
    assert "order" in (refused(both) or "")
    assert "segment.mail" in (refused(both, "data.segment.order") or "")
    assert refused(both, "data.segment.order", "data.segment.mail") is None
    assert refused(both, "data.segment") is None
    assert refused(both, "") is not None


@pytest.mark.parametrize("mail", [r"jane\u0040example.com", r"\u006aane@example.com"])
def test_escapes_hide_nothing(mail: str) -> None:
    value = json.dumps(event(note="X")).replace('"X"', f'"{mail}"').encode()
    assert "$.note" in (refused(value) or "")


def test_binary_mode_is_looked_at_in_headers_and_data() -> None:
    whole = event(correlationid="c-1")
    headers = tuple((f"ce_{name}", str(value).encode()) for name, value in whole.items() if name != "data")
    assert refused(DATA, headers=headers) is None
    assert "$.data.mail" in (refused({**DATA, "mail": MAIL}, headers=headers) or "")
    changed = tuple((name, MAIL.encode() if name == "ce_correlationid" else value) for name, value in headers)
    assert "$.correlationid" in (refused(DATA, headers=changed) or "")
    assert in_headers(headers) and not in_headers((*headers, ("content-type", b"application/cloudevents+json")))


def test_data_in_base64_hide_nothing() -> None:
    inside = b64encode(json.dumps({**DATA, "mail": MAIL}).encode()).decode()
    old = {**event(), "specversion": "0.3", "datacontentencoding": "base64", "data": inside}
    assert "$.data.mail" in (refused(old) or "")


def test_what_a_typed_decoder_skips_is_looked_at_as_text() -> None:
    value = json.dumps(event(note="X")).replace('"X"', f'[1e999, "{MAIL}"]').encode()
    assert "e-mail" in (refused(value) or "")
    assert refused(value.replace(MAIL.encode(), b"@")) is None


# -- properties ------------------------------------------------------------------------------------------------------

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = st.text(LETTERS, min_size=1, max_size=12)
MAILS = st.builds(lambda name, host, top: f"{name}@{host}.{top}", WORDS, WORDS, st.sampled_from(["com", "es", "shop"]))


@st.composite
def cards(draw: st.DrawFn) -> str:
    length = draw(
        st.sampled_from([("4", 16), ("51", 16), ("2221", 16), ("37", 15), ("36", 14), ("62", 18), ("65", 19)])
    )
    digits = length[0] + draw(st.text("0123456789", min_size=length[1] - 1, max_size=length[1] - 1))
    digits = digits[: length[1] - 1]
    doubled = [int(d) * 2 if i % 2 == 0 else int(d) for i, d in enumerate(reversed(digits))]
    return digits + str(-sum(n - 9 if n > 9 else n for n in doubled) % 10)


@given(st.one_of(MAILS, cards()), st.sampled_from(["", "to ", "x:", "("]), st.sampled_from(["", " 7", ", please", ")"]))
def test_wherever_it_stands_it_is_refused(personal: str, before: str, after: str) -> None:
    assert refused(event(data={"note": before + personal + after})) is not None


@given(
    st.one_of(
        st.uuids().map(str),
        st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(datetime.isoformat),
        st.datetimes(datetime(2001, 9, 10), datetime(2100, 1, 1)).map(lambda at: str(round(at.timestamp() * 1000))),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.tuples(st.floats(-90, 90), st.floats(-180, 180)).map(lambda at: f"{at[0]:+.5f}{at[1]:+010.5f}/"),
        st.integers(0, 10**13 - 1).map(str),
        st.decimals(0, 10**9, places=2).map(lambda price: f"{price} EUR"),
    )
)
@example(str(uuid.UUID(int=0x41111111_1111_1111_1111_111111111111)))
def test_identifiers_times_numbers_coordinates_and_prices_pass(text: str) -> None:
    assert Finder().find(text) == []


@given(st.text(), st.lists(st.one_of(MAILS, cards())), st.text())
def test_what_was_masked_once_stays_as_it_is(before: str, personal: list[str], after: str) -> None:
    once = Finder().mask(" ".join([before, *personal, after]))
    assert Finder().mask(once) == once


@given(st.binary(max_size=300))
@example(b'{"a":"jane@example.com')
def test_the_quick_look_at_bytes_misses_nothing_that_is_found(value: bytes) -> None:
    text = value.decode("latin-1")
    assert suspicious(value) or Finder().find(text) == []


@given(st.text("0123456789 -+()./@a%", max_size=60))
def test_the_quick_look_misses_no_number_either(text: str) -> None:
    assert suspicious(text.encode()) or Finder().find(text) == []


@pytest.mark.parametrize("text", ["+1000000000 " * 5000, "@" * 60_000, "a.a." * 15_000 + "@", "4-" * 30_000])
def test_nothing_keeps_ingest_busy(text: str) -> None:
    """Not timed; a search that is not linear would not end within the time of all tests."""
    Finder().mask(text)


# -- ingest ----------------------------------------------------------------------------------------------------------


def rejection(made: Record, *allowed: str) -> RejectedEvent | None:
    state = Ingest(0, corridor(), lambda key: 0, personal=PersonalData(allowed))
    outcome = state.apply(topics.EVENTS.name, [made])
    if not outcome.rejected:
        return None
    (message,) = outcome.rejected
    value = message["value"]
    assert isinstance(value, bytes)
    assert MAIL.encode() not in value
    return msgspec.json.decode(value, type=RejectedEvent)


def test_ingest_rejects_and_keeps_nothing_personal_but_what_is_needed_to_repair() -> None:
    value = event(subject=MAIL, id=f"m-1@{'x' * 3}", data={"segment": {"customer": MAIL, "order": "o-1"}}, n=12.5)
    found = rejection(record(5, value, key=MAIL.encode(), headers=(("from", MAIL.encode()), ("x", None))))
    assert found is not None and found.raw is not None
    assert (found.reason, found.key, found.headers) == (
        Reason.PERSONAL_DATA,
        b"[e-mail]",
        {"from": b"[e-mail]", "x": None},
    )
    expected = {
        **value,
        "subject": "[e-mail]",
        "data": {**value["data"], "segment": {"customer": "[e-mail]", "order": "o-1"}},
    }
    assert json.loads(found.raw) == expected


def test_a_repaired_event_is_accepted() -> None:
    found = rejection(record(5, event(data={"segment": {"customer": MAIL, "order": "o-1"}})))
    assert found is not None and found.raw is not None
    again = json.loads(found.raw)
    assert again["data"]["segment"].pop("customer") == "[e-mail]"
    assert rejection(record(6, again)) is None


def test_names_that_are_masked_alike_are_kept_apart() -> None:
    found = rejection(record(5, event(data={"segment": {MAIL: "a", "joe@example.com": "b"}})))
    assert found is not None and found.raw is not None
    assert json.loads(found.raw)["data"]["segment"] == {"[e-mail]": "a", "[e-mail]'": "b"}


def test_a_rejected_event_in_binary_mode_is_masked_in_headers_and_data() -> None:
    attributes = {**event(subject=MAIL, id=f"<{MAIL[:4]}>"), "note": MAIL}
    headers = tuple((f"ce_{name}", str(value).encode()) for name, value in attributes.items() if name != "data")
    found = rejection(record(5, {**DATA, "mail": MAIL}, headers=headers))
    assert found is not None and found.raw is not None
    assert json.loads(found.raw) == {**DATA, "mail": "[e-mail]"}
    assert found.headers["ce_subject"] == found.headers["ce_note"] == b"[e-mail]"
    assert found.headers["ce_id"] == b"<jane>"


@pytest.mark.parametrize(
    ("value", "reason", "raw"),
    [
        (b'{"subject": "jane@example.com', Reason.INVALID_JSON, b'{"subject": "[e-mail]'),
        (b'\xff jane@example.com \xfe', Reason.INVALID_UTF8, b"\xff [e-mail] \xfe"),
        (b'{"subject": "x", "n":  1.50', Reason.INVALID_JSON, b'{"subject": "x", "n":  1.50'),
        (b'["jane@example.com"]', Reason.WRONG_TYPE, b'["[e-mail]"]'),
        (b'{"a":' * 2000 + b'"jane@example.com"', Reason.TOO_DEEP, b'{"a":' * 2000 + b'"[e-mail]"'),
    ],
)  # fmt: skip
def test_what_is_rejected_for_another_reason_is_masked_too(value: bytes, reason: Reason, raw: bytes) -> None:
    found = rejection(record(5, value))
    assert found is not None and (found.reason, found.raw) == (reason, raw)


def test_what_is_wrong_is_said_without_the_value() -> None:
    found = rejection(record(5, event(data={"outcome": MAIL, "n": 1})))
    assert found is not None and found.reason is Reason.UNKNOWN_VALUE and found.raw is not None
    assert json.loads(found.raw)["data"]["outcome"] == "[e-mail]"


def test_bytes_without_anything_personal_stay_as_they_came() -> None:
    value = b'{ "specversion":"1.0",\t"n": 1.50, "n": 2 }'
    found = rejection(record(5, value))
    assert found is not None and found.raw == value


def test_a_record_batch_that_cannot_be_read_stays_as_it_came() -> None:
    raw = UnreadableValue(b"\x00 joe@example.com")
    found = rejection(record(5, raw))
    assert found is not None and found.raw == bytes(raw)


def test_without_the_check_nothing_is_refused() -> None:
    state = Ingest(0, corridor(), lambda key: 0)
    outcome = state.apply(topics.EVENTS.name, [record(0, event(NOW, subject=MAIL))])
    assert len(outcome.scored) == 1


def test_an_event_that_is_no_object_is_said_to_be_none() -> None:
    with pytest.raises(RejectEvent, match="Expected `object`"):
        document(b"[]", ())

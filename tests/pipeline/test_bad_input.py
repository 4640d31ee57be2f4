"""Bad input: each bad event is one rejection with reason, bytes, partition and offset; nothing stops or is lost.

On the pure ingest state machine, so that the whole table takes a second.
"""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.event import MAX_EVENT_BYTES
from schemas.rejection import Reason, RejectedEvent
from schemas.scored import ScoredEvent
from streams.model.decode import UnreadableValue
from streams.model.ingest import Ingest, Outcome
from tests.builders import NOW, corridor, event, iso, record

PARTITION = 2
EVENTS = topics.EVENTS.name
Headers = tuple[tuple[str, bytes | None], ...]


def ingest() -> Ingest:
    return Ingest(PARTITION, corridor(), lambda key: PARTITION)


def text(**changes: Any) -> str:
    return json.dumps(event(**changes))


def without(*path: str) -> bytes:
    built = event()
    inner = built
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return json.dumps(built).encode()


def data(**fields: Any) -> bytes:
    return text(data=fields).encode()


def ignored(raw: str) -> bytes:
    """A valid event with `raw` as the value of a field that nobody reads."""
    return text().replace("{", '{"ignored": ' + raw + ", ", 1).encode()


def of_size(size: int) -> bytes:
    base = len(ignored('""'))
    return ignored('"' + "x" * (size - base) + '"')


def unreadable() -> UnreadableValue:
    value = UnreadableValue(b"\x00raw batch")
    value.detail = "the record batch cannot be read (compression 6)"
    return value


RATING = {"min": 1, "max": 5, "value": 3}
REJECTED: dict[str, tuple[bytes | None, Reason]] = {
    "a null value": (None, Reason.EMPTY),
    "an empty value": (b"", Reason.EMPTY),
    "spaces": (b"   ", Reason.INVALID_JSON),
    "no JSON": (b"touchpoint=checkout", Reason.INVALID_JSON),
    "half an event": (text().encode()[:-5], Reason.INVALID_JSON),
    "two events in one": (text().encode() * 2, Reason.INVALID_JSON),
    "a byte order mark": (b"\xef\xbb\xbf" + text().encode(), Reason.INVALID_JSON),
    "single quotes": (text().replace('"', "'").encode(), Reason.INVALID_JSON),
    "a trailing comma": (text().encode()[:-1] + b",}", Reason.INVALID_JSON),
    "UTF-16": (text().encode("utf-16"), Reason.INVALID_UTF8),
    "Latin-1 in a field": (text(subject="ñandú").encode().replace(b"\\u00f1", b"\xf1"), Reason.INVALID_UTF8),
    "Latin-1 in an ignored field": (ignored('"X"').replace(b"X", b"\xf1"), Reason.INVALID_UTF8),
    "an overlong encoding": (ignored('"X"').replace(b"X", b"\xc0\xaf"), Reason.INVALID_UTF8),
    "a surrogate in UTF-8": (ignored('"X"').replace(b"X", b"\xed\xa0\x80"), Reason.INVALID_UTF8),
    "a lone high surrogate": (text(subject="\ud800").encode(), Reason.INVALID_JSON),
    "a lone low surrogate": (text(subject="\udc00").encode(), Reason.INVALID_JSON),
    "a lone surrogate in an ignored field": (ignored('"\\ud800"'), Reason.INVALID_JSON),
    "a raw control character": (text().replace("customer-1", "a\x01b").encode(), Reason.INVALID_JSON),
    "a null": (b"null", Reason.WRONG_TYPE),
    "a list": (b"[]", Reason.WRONG_TYPE),
    "a string": (b'"event"', Reason.WRONG_TYPE),
    "a number": (b"1", Reason.WRONG_TYPE),
    "NaN": (text(data={"sentiment": float("nan")}).encode(), Reason.INVALID_JSON),
    "Infinity": (text(data={"sentiment": float("inf")}).encode(), Reason.INVALID_JSON),
    "NaN in an ignored field": (ignored("NaN"), Reason.INVALID_JSON),
    "a number beyond a double": (
        text().replace('"success"', '"success", "sentiment": 1e999').encode(),
        Reason.OUT_OF_RANGE,
    ),
    "64 KiB and a byte": (of_size(MAX_EVENT_BYTES + 1), Reason.TOO_LARGE),
    "a megabyte": (of_size(1_000_000), Reason.TOO_LARGE),
    "3,000 levels": (ignored("[" * 3000 + "]" * 3000), Reason.TOO_DEEP),
    "30,000 levels": (ignored("[" * 30_000 + "]" * 30_000), Reason.TOO_DEEP),
    "100,000 levels": (ignored("[" * 100_000 + "]" * 100_000), Reason.TOO_LARGE),
    "3,000 objects": (ignored('{"a":' * 3000 + "1" + "}" * 3000), Reason.TOO_DEEP),
    "3,000 levels where a string is due": (data(touchpoint=0).replace(b": 0", b": " + b"[" * 3000), Reason.WRONG_TYPE),
    **{f"no {name}": (without(name), Reason.MISSING) for name in ("specversion", "id", "source", "type", "time")},
    "no subject": (without("subject"), Reason.MISSING),
    "no data": (without("data"), Reason.MISSING),
    "no touchpoint": (without("data", "touchpoint"), Reason.MISSING),
    "no outcome": (without("data", "outcome"), Reason.MISSING),
    "an empty object": (b"{}", Reason.MISSING),
    "a number as id": (text(id=1).encode(), Reason.WRONG_TYPE),
    "a null as subject": (text(subject=None).encode(), Reason.WRONG_TYPE),
    "a list as data": (json.dumps({**event(), "data": []}).encode(), Reason.WRONG_TYPE),
    "a string as data": (json.dumps({**event(), "data": "{}"}).encode(), Reason.WRONG_TYPE),
    "a string as a wait": (data(wait_ms="5"), Reason.WRONG_TYPE),
    "a fraction as a wait": (data(wait_ms=1.5), Reason.WRONG_TYPE),
    "a boolean as attempts": (data(attempts=True), Reason.WRONG_TYPE),
    "a list as segment": (data(segment=["region"]), Reason.WRONG_TYPE),
    "a number as a segment value": (data(segment={"region": 1}), Reason.WRONG_TYPE),
    "a string as rating": (data(rating="5"), Reason.WRONG_TYPE),
    "an empty id": (text(id="").encode(), Reason.OUT_OF_RANGE),
    "an empty source": (text(source="").encode(), Reason.OUT_OF_RANGE),
    "an empty subject": (text(subject="").encode(), Reason.OUT_OF_RANGE),
    "an empty touchpoint": (data(touchpoint=""), Reason.OUT_OF_RANGE),
    "an empty journey": (data(journey=""), Reason.OUT_OF_RANGE),
    "a long id": (text(id="x" * 257).encode(), Reason.OUT_OF_RANGE),
    "specversion 0.2": (text(specversion="0.2").encode(), Reason.UNSUPPORTED_VERSION),
    "specversion 2.0": (text(specversion="2.0").encode(), Reason.UNSUPPORTED_VERSION),
    "specversion as a number": (text(specversion=1.0).encode(), Reason.WRONG_TYPE),
    "another type": (text(type="com.example.order").encode(), Reason.UNSUPPORTED_TYPE),
    "the next version of the type": (text(type="io.corredor.touchpoint.v2").encode(), Reason.UNSUPPORTED_TYPE),
    "an unknown outcome": (data(outcome="ok"), Reason.UNKNOWN_VALUE),
    "an unknown channel": (data(channel="fax"), Reason.UNKNOWN_VALUE),
    "an unknown actor": (data(actor="robot"), Reason.UNKNOWN_VALUE),
    "an unknown currency": (data(value={"amount_minor": 1, "currency": "euro"}), Reason.UNKNOWN_VALUE),
    "a negative wait": (data(wait_ms=-1), Reason.OUT_OF_RANGE),
    "a huge wait": (data(wait_ms=10**400), Reason.OUT_OF_RANGE),
    "attempts beyond 31 bits": (data(attempts=2**31), Reason.OUT_OF_RANGE),
    "a sentiment above 1": (data(sentiment=1.0001), Reason.OUT_OF_RANGE),
    "an aspect above 1": (data(aspects={"kindness": 2}), Reason.OUT_OF_RANGE),
    "no tolerance at all": (data(expectation={"expected": 1, "actual": 1, "tolerance": 0}), Reason.OUT_OF_RANGE),
    "an expectation beyond 1e15": (data(expectation={"expected": 1e16, "actual": 1}), Reason.OUT_OF_RANGE),
    "a rating above its maximum": (data(rating={**RATING, "value": 6}), Reason.OUT_OF_RANGE),
    "a rating below its minimum": (data(rating={**RATING, "value": 0}), Reason.OUT_OF_RANGE),
    "a rating with min above max": (data(rating={**RATING, "min": 5, "max": 1}), Reason.OUT_OF_RANGE),
    "a rating with min as max": (data(rating={"min": 3, "max": 3, "value": 3}), Reason.OUT_OF_RANGE),
    "9 segment pairs": (data(segment={f"s{n}": "v" for n in range(9)}), Reason.OUT_OF_RANGE),
    "17 aspects": (data(aspects={f"a{n}": 0.5 for n in range(17)}), Reason.OUT_OF_RANGE),
    "a naive time": (text(time="2026-11-21T10:00:00").encode(), Reason.NAIVE_TIME),
    "a naive recordedtime": (text(recordedtime="2026-11-21T10:00:00").encode(), Reason.NAIVE_TIME),
    "a date": (text(time="2026-11-21").encode(), Reason.INVALID_TIME),
    "a 13th month": (text(time="2026-13-21T10:00:00Z").encode(), Reason.INVALID_TIME),
    "a 29th of February": (text(time="2025-02-29T10:00:00Z").encode(), Reason.INVALID_TIME),
    "a leap second": (text(time="2016-12-31T23:59:60Z").encode(), Reason.INVALID_TIME),
    "an empty time": (text(time="").encode(), Reason.INVALID_TIME),
    "an epoch number as time": (text(time=1_795_255_200).encode(), Reason.WRONG_TYPE),
    "5 min and a bit in the future": (text(time=iso(NOW + 300.001)).encode(), Reason.FUTURE_TIME),
    "the year 9999": (text(time="9999-12-31T23:59:59-14:00").encode(), Reason.FUTURE_TIME),
    "before 1970": (text(time="1969-12-31T23:59:59.999Z").encode(), Reason.OUT_OF_RANGE),
    "the year 1": (text(time="0001-01-01T00:00:00+14:00").encode(), Reason.OUT_OF_RANGE),
    "an unreadable batch": (unreadable(), Reason.UNKNOWN_COMPRESSION),
}
ACCEPTED: dict[str, bytes] = {
    "64 KiB": of_size(MAX_EVENT_BYTES),
    "a few levels in an ignored field": ignored("[" * 50 + "]" * 50),
    "a huge integer in an ignored field": ignored("9" * 5000),
    "a number beyond a double in an ignored field": ignored("1e999"),
    "just below 5 min in the future": text(time=iso(NOW + 299.999)).encode(),
    "exactly 5 min in the future": text(time=iso(NOW + 300)).encode(),
    "1970": text(time="1970-01-01T00:00:00Z").encode(),
    "a recordedtime before 1970": text(recordedtime="0001-01-01T00:00:00Z").encode(),
    "a name of control characters, escaped": text(subject="\u0000\n\u001f", data={"touchpoint": "\u0007"}).encode(),
    "a name in any script": text(subject="\U0001f600 客户 عميل", data={"touchpoint": "ñ"}).encode(),
    "an empty segment value": data(segment={"region": ""}),
    "8 segment pairs": data(segment={f"s{n}": "v" for n in range(8)}),
    "16 aspects": data(aspects={f"a{n}": 0.5 for n in range(16)}),
    "a rating at its end": data(rating={**RATING, "value": 5}),
    "white space around": b"\n " + text().encode() + b"\r\n\t",
    "an optional field that is null": data(rating=None, wait_ms=None, segment=None),
}


def rejections(outcome: Outcome) -> list[RejectedEvent]:
    return [msgspec.json.decode(message["value"], type=RejectedEvent) for message in outcome.rejected]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", REJECTED)
def test_bad_input_is_rejected(name: str) -> None:
    value, reason = REJECTED[name]
    outcome = ingest().apply(EVENTS, [record(41, event()), record(42, value), record(43, event(id="next"))])
    (found,) = rejections(outcome)
    assert (found.reason, found.topic, found.partition, found.offset) == (reason, EVENTS, PARTITION, 42)
    assert (found.raw, found.key, found.received_at) == (value, b"key", NOW)
    assert found.detail
    assert (len(outcome.scored), outcome.duplicates, outcome.reasons) == (2, 0, {reason.value: 1})


@pytest.mark.parametrize("name", ACCEPTED)
def test_unusual_input_is_accepted(name: str) -> None:
    outcome = ingest().apply(EVENTS, [record(42, ACCEPTED[name])])
    assert not rejections(outcome)
    (message,) = outcome.scored
    found = msgspec.json.decode(message["value"], type=ScoredEvent)  # type: ignore[arg-type]
    assert bytes(found.raw) == ACCEPTED[name].strip()


def test_a_very_late_event_is_kept_and_flagged() -> None:
    outcome = ingest().apply(EVENTS, [record(0, event()), record(1, event(NOW - 40 * 365 * 86_400, id="old"))])
    found = [msgspec.json.decode(message["value"], type=ScoredEvent) for message in outcome.scored]  # type: ignore[arg-type]
    assert [item.late for item in found] == [False, True]


def test_of_a_key_given_twice_the_last_value_counts() -> None:
    value = text().replace('"id": "id-1"', '"id": "first", "id": "second"').encode()
    (message,) = ingest().apply(EVENTS, [record(0, value)]).scored
    assert msgspec.json.decode(message["value"], type=ScoredEvent).id == "second"  # type: ignore[arg-type]


ATTRIBUTES: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"shop"),
    ("ce_type", b"io.corredor.touchpoint.v1"),
    ("ce_time", iso(NOW).encode()),
    ("ce_subject", b"customer-1"),
)
DATA = json.dumps(event()["data"]).encode()


def changed(name: str, *contents: bytes | None) -> Headers:
    return (*(pair for pair in ATTRIBUTES if pair[0] != name), *((name, content) for content in contents))


BROKEN_HEADERS: dict[str, tuple[Headers, bytes, Reason]] = {
    "not UTF-8": (changed("ce_subject", b"\xff"), DATA, Reason.BAD_HEADER),
    "without a value": (changed("ce_subject", None), DATA, Reason.BAD_HEADER),
    "twice": (changed("ce_id", b"1", b"2"), DATA, Reason.BAD_HEADER),
    "twice, in another case": ((*ATTRIBUTES, ("CE_ID", b"2")), DATA, Reason.BAD_HEADER),
    "ce_data": ((*ATTRIBUTES, ("ce_data", DATA)), DATA, Reason.BAD_HEADER),
    "no ce_id": (changed("ce_id"), DATA, Reason.MISSING),
    "no ce_specversion": (changed("ce_specversion"), DATA, Reason.MISSING),
    "an empty ce_id": (changed("ce_id", b""), DATA, Reason.OUT_OF_RANGE),
    "an unknown specversion": (changed("ce_specversion", b"0.2"), DATA, Reason.UNSUPPORTED_VERSION),
    "an unknown type": (changed("ce_type", b"order"), DATA, Reason.UNSUPPORTED_TYPE),
    "a naive time": (changed("ce_time", b"2026-11-21T10:00:00"), DATA, Reason.NAIVE_TIME),
    "no time": (changed("ce_time", b"now"), DATA, Reason.INVALID_TIME),
    "data that is no JSON": (ATTRIBUTES, b"{", Reason.INVALID_JSON),
    "data that is no UTF-8": (ATTRIBUTES, b'{"touchpoint": "\xff"}', Reason.INVALID_UTF8),
    "data with a field missing": (ATTRIBUTES, b"{}", Reason.MISSING),
    "data of another type": (ATTRIBUTES, b"[]", Reason.WRONG_TYPE),
    "data nested too deeply": (ATTRIBUTES, b'{"x":' + b"[" * 3000 + b"]" * 3000 + b"}", Reason.TOO_DEEP),
    "no data": (ATTRIBUTES, b"", Reason.EMPTY),
    "a tombstone": (ATTRIBUTES, None, Reason.EMPTY),  # type: ignore[dict-item]
    "a data number out of range": (ATTRIBUTES, DATA[:-1] + b', "wait_ms": -1}', Reason.OUT_OF_RANGE),
}


@pytest.mark.parametrize("name", BROKEN_HEADERS)
def test_binary_mode_with_broken_headers_is_rejected(name: str) -> None:
    headers, value, reason = BROKEN_HEADERS[name]
    (found,) = rejections(ingest().apply(EVENTS, [record(9, value, headers=headers)]))
    assert (found.reason, found.raw, found.offset, found.headers) == (reason, value, 9, dict(headers))


def test_binary_mode_with_whole_headers_is_accepted() -> None:
    outcome = ingest().apply(EVENTS, [record(9, DATA, headers=ATTRIBUTES)])
    (message,) = outcome.scored
    found = msgspec.json.decode(message["value"], type=ScoredEvent)  # type: ignore[arg-type]
    assert (found.id, found.subject, bytes(found.raw)) == ("1", "customer-1", DATA)


def test_accepted_rejected_and_duplicates_are_all_that_was_published() -> None:
    values: list[bytes | None] = [value for value, _ in REJECTED.values()]
    values += [text(id=f"v{n}", subject=f"c{n}").encode() for n in range(20)]
    values += [text(id=f"v{n}", subject=f"c{n}").encode() for n in range(7)]
    outcome = ingest().apply(EVENTS, [record(n, value) for n, value in enumerate(values)])
    assert (len(outcome.rejected), len(outcome.scored), outcome.duplicates) == (len(REJECTED), 20, 7)
    assert len(outcome.rejected) + len(outcome.scored) + outcome.duplicates == len(values)
    assert sorted(item.offset for item in rejections(outcome)) == list(range(len(REJECTED)))


# -- anything at all ----------------------------------------------------------------------------------------------

FULL = event(
    recordedtime=iso(NOW),
    tenant="brand",
    traceparent="00-1",
    data={
        "journey": "order-1",
        "expectation": {"expected": 1.5, "actual": 2, "tolerance": 1, "unit": "d", "better": "lower"},
        "rating": {"value": 9, "min": 0, "max": 10, "instrument": "nps", "better": "higher"},
        "sentiment": 0.5,
        "wait_ms": 500,
        "attempts": 2,
        "transfers": 1,
        "segment": {"region": "north"},
        "aspects": {"kindness": 1},
        "value": {"amount_minor": 100, "currency": "EUR"},
        "audience": 5,
    },
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A full event with a few values replaced or removed, and perhaps a few bytes changed."""
    built: Any = copy.deepcopy(FULL)
    for _ in range(draw(st.integers(0, 3))):
        inner = built
        while True:
            name = draw(st.sampled_from(sorted(inner)))
            if isinstance(inner[name], dict) and inner[name] and draw(st.booleans()):
                inner = inner[name]
                continue
            if draw(st.booleans()):
                inner[name] = draw(anything)
            elif len(inner) > 1:
                del inner[name]
            break
    value = bytearray(json.dumps(built, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(value) - 1))
        value[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


headers = st.lists(
    st.tuples(
        st.sampled_from(["ce_id", "ce_time", "ce_specversion", "content-type", "ce_", "corredor-origin"])
        | st.text(max_size=8),
        st.none() | st.binary(max_size=20) | st.sampled_from([value for _, value in ATTRIBUTES]),
    ),
    max_size=4,
).map(tuple)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.binary(max_size=60) | mutated() | st.just(DATA),
            st.just(()) | headers | headers.map(lambda some: (*ATTRIBUTES, *some)),
            st.integers(-1, 2**41),
        ),
        max_size=6,
    ),
    st.sampled_from([EVENTS, topics.REKEYED.name]),
)
def test_nothing_at_all_raises_or_is_lost(items: list[tuple[bytes | None, Headers, int]], topic: str) -> None:
    if topic != EVENTS:
        # This topic is ours alone: what stands in it has an origin.
        items = [(value, (*own, ("corredor-origin", b"1:5")), at) for value, own, at in items]
    state = ingest()
    records = [record(n, value, at / 1000, own) for n, (value, own, at) in enumerate(items)]
    outcome = state.apply(topic, records)
    assert len(outcome.scored) + len(outcome.rejected) + outcome.duplicates == len(items)
    for message in outcome.scored + outcome.rejected:
        json.loads(message["value"])  # type: ignore[arg-type]
    restored = ingest()
    for key, value in state.snapshot().state:
        assert value is not None
        restored.restore(key, value)
    assert restored.apply(topic, records).replayed == len(items)

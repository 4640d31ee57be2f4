"""Events of old versions: read as if they had been written in the current one, whatever the order of their fields."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RejectEvent
from schemas.event import TouchpointEvent
from schemas.rejection import Reason
from sources.collect.contract import Sent, check
from streams.model.decode import decode, readable
from streams.model.upgrade import STEPS, upgraded
from tests.builders import NOW, event, iso, record

Headers = tuple[tuple[str, bytes | None], ...]


def old(**changes: Any) -> dict[str, Any]:
    """An event of CloudEvents 0.3."""
    return {**event(**changes), "specversion": "0.3"}


def encoded(data: object) -> str:
    return base64.b64encode(json.dumps(data).encode()).decode()


def read(value: dict[str, Any] | bytes, headers: Headers = ()) -> TouchpointEvent:
    return decode(record(0, value, headers=headers))


def refused(value: dict[str, Any] | bytes, headers: Headers = ()) -> RejectEvent:
    with pytest.raises(RejectEvent) as caught:
        read(value, headers)
    return caught.value


def binary(whole: dict[str, Any]) -> tuple[bytes, Headers]:
    attributes = {name: value for name, value in whole.items() if name != "data"}
    return json.dumps(whole["data"]).encode(), tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())


def test_an_event_of_cloudevents_0_3_is_read_as_one_of_1_0() -> None:
    assert read(old(schemaurl="https://shop/v1")) == read(event(dataschema="https://shop/v1"))


def test_data_in_base64_are_the_json_inside() -> None:
    data = event()["data"]
    assert read(old() | {"datacontentencoding": "base64", "data": encoded(data)}) == read(event())


def test_of_data_that_are_no_string_the_encoding_says_nothing() -> None:
    assert read(old(datacontentencoding="base64")) == read(event())


def test_binary_mode_is_upgraded_too() -> None:
    assert read(*binary(old(schemaurl="s"))) == read(event(dataschema="s"))


def test_what_is_collected_or_published_stays_in_its_version() -> None:
    value = json.dumps(old(schemaurl="s")).encode()
    assert check(Sent(value), NOW).value == value
    data, headers = binary(old())
    assert check(Sent(data, headers), NOW)[:3] == (b"customer-1", data, headers)


def test_a_dataschema_goes_before_an_old_schemaurl() -> None:
    assert read(old(schemaurl="old", dataschema="new")).dataschema == "new"


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"data": "no base64!", "datacontentencoding": "base64"}, Reason.WRONG_TYPE, "not base64"),
        ({"data": "ñ", "datacontentencoding": "base64"}, Reason.WRONG_TYPE, "not base64"),
        ({"data": encoded([])[:4], "datacontentencoding": "base64"}, Reason.WRONG_TYPE, r"`\$.data`"),
        ({"data": "eyI=", "datacontentencoding": "base64"}, Reason.INVALID_JSON, r"inside `\$.data`"),
        ({"data": "Iv8i", "datacontentencoding": "base64"}, Reason.INVALID_UTF8, r"inside `\$.data`"),
        ({"data": encoded({"outcome": "success"}), "datacontentencoding": "base64"}, Reason.MISSING, "touchpoint"),
        ({"data": encoded(event()["data"])}, Reason.WRONG_TYPE, r"got `str` - at `\$.data`"),
        ({"subject": ""}, Reason.OUT_OF_RANGE, r"`\$.subject` \(upgraded from an old version\)"),
        ({"time": "2026-11-21T10:00:00"}, Reason.NAIVE_TIME, "timezone"),
        ({"type": "com.example"}, Reason.UNSUPPORTED_TYPE, r"`\$.type`"),
        ({"specversion": "0.2"}, Reason.UNSUPPORTED_VERSION, r"`\$.specversion`"),
        ({"specversion": 0.3}, Reason.WRONG_TYPE, r"`\$.specversion`"),
    ],
)
def test_an_old_event_that_breaks_the_contract_is_rejected(changes: dict[str, Any], reason: Reason, words: str) -> None:
    error = refused({**old(), **changes})
    assert error.reason is reason
    with pytest.raises(RejectEvent, match=words):
        raise error


def test_what_only_mentions_an_old_version_keeps_its_own_reason() -> None:
    error = refused(event(note="0.3", data={"wait_ms": -1}))
    assert (error.reason, error.detail) == (Reason.OUT_OF_RANGE, "Expected `int` >= 0 - at `$.data.wait_ms`")


def test_a_number_beyond_a_double_in_an_old_event_stands_in_the_way() -> None:
    value = json.dumps(old()).replace("{", '{"ignored": 1e999, ', 1).encode()
    assert refused(value).reason is Reason.UNSUPPORTED_VERSION


def test_deep_nesting_in_an_old_event_is_refused_not_fatal() -> None:
    deep = "[" * 5000 + "]" * 5000
    value = json.dumps(old()).replace("{", f'{{"ignored": {deep}, ', 1).encode()
    assert refused(value).reason in (Reason.TOO_DEEP, Reason.UNSUPPORTED_VERSION)
    inside = base64.b64encode(deep.encode()).decode()
    value = json.dumps(old() | {"datacontentencoding": "base64", "data": inside}).encode()
    assert refused(value).reason is Reason.TOO_DEEP
    assert readable(value, ())["data"] == inside


names = st.text(min_size=1, max_size=12)
datas = st.fixed_dictionaries(
    {
        "touchpoint": names.filter(lambda name: not name.startswith("@")),
        "outcome": st.sampled_from(["success", "failure"]),
    },
    optional={
        "wait_ms": st.integers(0, 2**53),
        "sentiment": st.floats(-1, 1),
        "segment": st.dictionaries(names, names, max_size=3),
        "journey": names,
    },
)


@given(
    datas,
    names,
    names,
    st.none() | st.text(max_size=20),
    st.sampled_from(["plain", "base64", "binary"]),
    st.randoms(use_true_random=False),
)
def test_an_old_event_says_the_same_as_a_new_one(
    data: dict[str, Any], subject: str, event_id: str, schema: str | None, form: str, chance: Any
) -> None:
    new = event(NOW, subject=subject, id=event_id) | {"data": data}
    former = {**new, "specversion": "0.3"}
    if schema is not None:
        new["dataschema"], former["schemaurl"] = schema, schema
    if form == "binary":
        assert read(*binary(former)) == read(new)
        return
    if form == "base64":
        former |= {"datacontentencoding": "base64", "data": encoded(data)}
    fields = list(former.items())
    chance.shuffle(fields)
    assert read(dict(fields)) == read(new)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.dictionaries(st.text(), x)))
def test_upgrading_ends_at_the_current_version_and_changes_nothing_it_is_given(data: Any) -> None:
    for step in STEPS:
        given_event = {step.attribute: step.old, "data": data, "schemaurl": iso(NOW)}
        before = repr(given_event)
        newer = upgraded(given_event)
        assert newer is not None
        assert repr(given_event) == before
        assert upgraded(newer) is None


@given(st.dictionaries(st.text(), st.text()))
def test_an_event_of_no_known_old_version_is_not_touched(other: dict[str, str]) -> None:
    assert upgraded(other | {"specversion": "1.0"}) is None


# -- what can be read of a broken event ---------------------------------------------------------------------------


def test_the_same_can_be_read_of_both_modes() -> None:
    whole = event(data={"outcome": "nonsense"})
    value, headers = binary(whole)
    assert readable(json.dumps(whole).encode(), ()) == whole
    assert readable(value, headers) == whole
    assert readable(json.dumps(whole).encode(), (*headers, ("content-type", b"application/cloudevents+json"))) == whole


def test_broken_parts_are_left_out() -> None:
    headers: Headers = (("ce_id", b"1"), ("CE_Subject", b"\xff"), ("ce_time", None), ("ce_data", b"x"), ("x", b"y"))
    assert readable(b'{"half', headers) == {"id": "1"}
    assert readable(b"null", headers) == {"id": "1", "data": None}
    for nothing in (b"", b"[]", b'{"half', b'{"a": "\xff"}', b"[" * 5000):
        assert readable(nothing, ()) == {}


def test_an_old_event_can_be_read_in_the_current_version() -> None:
    assert readable(json.dumps(old(schemaurl="s", id="")).encode(), ())["dataschema"] == "s"
    broken = old() | {"datacontentencoding": "base64", "data": "!"}
    assert readable(json.dumps(broken).encode(), ()) == broken


@given(st.binary(), st.lists(st.tuples(st.text(), st.none() | st.binary())))
def test_reading_never_raises(value: bytes, headers: list[tuple[str, bytes | None]]) -> None:
    assert isinstance(readable(value, headers), dict)
    assert isinstance(readable(value, [(f"ce_{name}", content) for name, content in headers]), dict)

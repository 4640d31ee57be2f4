from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from schemas.errors import RejectEvent, UsageError
from schemas.event import Expectation, Rating, TouchpointEvent, Value
from schemas.rejection import Reason
from sources.mapping import Mapping, load_mapping

HEAD = """
mapping: shop
timezone: UTC
absent: ["", "?"]
tables:
  orders:
    files: [orders]
    events:
      - id: "{order}:x"
        source: /shop
        subject: "{customer}"
        time: at
        touchpoint: web.purchase
        outcome: success
"""
ROW = {
    "order": "1",
    "customer": "c",
    "at": "2026-01-01 10:00:00",
    "done": "2026-01-03 22:00:00",
    "n": "3",
    "ok": "True",
}


def mapping(tmp_path: Path, text: str) -> Mapping:
    file = tmp_path / "m.yaml"
    file.write_text(text)
    return load_mapping(file)


def one(tmp_path: Path, fields: str, **cells: object) -> TouchpointEvent:
    indented = "".join(f"        {line}\n" for line in fields.strip().splitlines())
    (event,) = mapping(tmp_path, HEAD + indented).events("orders", {**ROW, **cells})
    assert msgspec.json.decode(msgspec.json.encode(event), type=TouchpointEvent) == event
    return event


def test_constants_templates_and_columns_become_an_event(tmp_path: Path) -> None:
    event = one(tmp_path, 'journey: "{order}-{{{n}}}"')
    assert (event.id, event.source, event.subject, event.tenant) == ("1:x", "/shop", "c", "default")
    assert event.data.journey == "1-{3}"
    assert event.time == datetime(2026, 1, 1, 10, tzinfo=UTC)


def test_a_lookup_translates_values_and_refuses_unknown_ones(tmp_path: Path) -> None:
    fields = "channel: {column: via, map: {W: web, 1: app}}"
    assert one(tmp_path, fields.replace("1:", '"1":'), via=1.0).data.channel == "app"
    assert one(tmp_path, "channel: {column: via, map: {W: web}, default: store}", via="?").data.channel == "store"
    with pytest.raises(RejectEvent, match=r"unknown_value: `via` is 'Z'"):
        one(tmp_path, "channel: {column: via, map: {W: web}}", via="Z")


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        ("{column: n, is: 3}", True),
        ("{column: n, not: 3}", False),
        ("{column: n, in: [1, 2]}", False),
        ("{column: n, not_in: [1, 2]}", True),
        ("{column: gone, not: 3}", True),
        ("{column: gone, is: 3}", False),
        ("{column: gone, present: false}", True),
        ("{column: unknown, present: true}", False),
        ("{column: ok, is: true}", True),
        ("{column: ok, is: false}", False),
        ("{column: n, same_as: order}", False),
        ("{column: customer, same_as: customer}", True),
        ("{column: gone, same_as: gone}", False),
        ("{column: done, after: at}", True),
        ("{column: done, after: {column: at, add: 3d}}", False),
        ("{column: gone, after: at}", False),
    ],
)
def test_a_condition_decides_whether_a_row_yields_the_event(tmp_path: Path, test: str, holds: bool) -> None:
    made = mapping(tmp_path, HEAD + f"        when: [{test}]\n").events("orders", {**ROW, "unknown": "?"})
    assert len(made) == int(holds)


def test_numbers_are_scaled_and_default_where_absent(tmp_path: Path) -> None:
    data = one(tmp_path, "attempts: {column: n, add: 1}\ntransfers: {column: gone, default: 2}\nservers: 4").data
    assert (data.attempts, data.transfers, data.servers, data.queue_depth) == (4, 2, 4, None)
    assert one(tmp_path, "sentiment: {column: n, times: 0.5, add: -2}").data.sentiment == -0.5
    with pytest.raises(RejectEvent, match="wrong_type: `n` is 'many', not a number"):
        one(tmp_path, "attempts: n", n="many")
    with pytest.raises(RejectEvent, match="out_of_range"):
        one(tmp_path, "attempts: n", n="-1")
    with pytest.raises(RejectEvent, match="not a finite number"):
        one(tmp_path, "sentiment: n", n="inf")


def test_a_wait_is_the_difference_of_two_times(tmp_path: Path) -> None:
    assert one(tmp_path, "wait_ms: {from: [gone, at], to: done}").data.wait_ms == 60 * 3600 * 1000
    assert one(tmp_path, "wait_ms: {from: gone, to: done}").data.wait_ms is None
    assert one(tmp_path, "wait_ms: {from: done, to: at, negative: zero}").data.wait_ms == 0
    assert one(tmp_path, "wait_ms: {from: done, to: at, negative: absent}").data.wait_ms is None
    with pytest.raises(RejectEvent, match="a wait ends 216000 s before it begins"):
        one(tmp_path, "wait_ms: {from: done, to: at}")


def test_an_expectation_comes_from_times_numbers_or_a_kept_promise(tmp_path: Path) -> None:
    times = "expectation: {since: at, promised: {column: at, add: 1d}, happened: done, unit: d, tolerance: 1}"
    assert one(tmp_path, times).data.expectation == Expectation(1.0, 2.5, 1.0, "d", "lower")
    assert one(tmp_path, times, done="").data.expectation is None
    numbers = "expectation: {expected: 2, actual: n, better: higher}"
    assert one(tmp_path, numbers).data.expectation == Expectation(2.0, 3.0, None, "", "higher")
    kept = "expectation: {kept: ok, unit: breach}"
    assert one(tmp_path, kept).data.expectation == Expectation(0.0, 0.0, 1.0, "breach", "lower")
    assert one(tmp_path, kept, ok="no").data.expectation == Expectation(0.0, 1.0, 1.0, "breach", "lower")
    with pytest.raises(RejectEvent, match="not true or false"):
        one(tmp_path, kept, ok="maybe")


def test_a_rating_keeps_its_scale_and_a_value_its_minor_units(tmp_path: Path) -> None:
    rating = "rating: {column: n, min: 1, max: 5, instrument: stars}"
    assert one(tmp_path, rating).data.rating == Rating(3, 1, 5, "higher", "stars")
    assert one(tmp_path, rating, n=None).data.rating is None
    with pytest.raises(RejectEvent) as caught:
        one(tmp_path, rating, n="6")
    assert caught.value.reason is Reason.OUT_OF_RANGE
    assert one(tmp_path, "value: {amount: n, currency: BRL}", n="19.99").data.value == Value(1999, "BRL")
    assert one(tmp_path, "value: {amount: n, currency: JPY, digits: 0}", n=7).data.value == Value(7, "JPY")


def test_segments_and_aspects_leave_out_what_is_absent(tmp_path: Path) -> None:
    data = one(tmp_path, 'segment: {a: "{n}", b: "{gone}", c: fixed}\naspects: {kindness: n, speed: gone}', n="1").data
    assert data.segment == {"a": "1", "c": "fixed"}
    assert data.aspects == {"kindness": 1.0}
    assert one(tmp_path, 'segment: {b: "{gone}"}').data.segment is None


def test_a_webhook_payload_is_reached_into_by_dots(tmp_path: Path) -> None:
    event = one(tmp_path, 'journey: "{ticket.id}"\nsegment: {a: "{ticket.no.such}"}', ticket={"id": 7})
    assert event.data.journey == "7"
    assert event.data.segment is None


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"customer": ""}, Reason.MISSING),
        ({"customer": "?"}, Reason.MISSING),
        ({"at": None}, Reason.MISSING),
        ({"at": "31/12/2026"}, Reason.INVALID_TIME),
        ({"at": 12.5}, Reason.INVALID_TIME),
        ({"customer": "c" * 300}, Reason.OUT_OF_RANGE),
    ],
)
def test_a_row_that_cannot_be_mapped_says_why(tmp_path: Path, cells: dict[str, object], reason: Reason) -> None:
    with pytest.raises(RejectEvent) as caught:
        one(tmp_path, "", **cells)
    assert caught.value.reason is reason


def test_common_fields_hold_for_every_event_and_segments_add_up(tmp_path: Path) -> None:
    text = """
mapping: m
tables:
  t:
    common: {id: "{i}", source: /s, subject: s, time: at, outcome: success, segment: {a: x}}
    events:
      - {touchpoint: one}
      - {touchpoint: two, id: "{i}:2", segment: {b: y}}
"""
    first, second = mapping(tmp_path, text).events("t", {"i": 1, "at": "2026-01-01T00:00:00+01:00"})
    assert (first.id, first.data.segment) == ("1", {"a": "x"})
    assert (second.id, second.data.segment) == ("1:2", {"a": "x", "b": "y"})
    with pytest.raises(UsageError, match="has no table `u`"):
        mapping(tmp_path, text).events("u", {})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("outcome: success", "outcome: sucess", r"m.yaml:14:\d+: outcome: `sucess` is none of success, partial"),
        ("outcome: success", "outcome: success\n        chanel: web", r"m.yaml:9:9: .*`chanel`"),
        ("timezone: UTC", "timezone: Mars/Base", r"`Mars/Base` is no time zone"),
        ("time: at", "time: {column: at, add: soon}", r"m.yaml:12:\d+: .*\(in `time"),
        ('id: "{order}:x"', 'id: "{order:x"', r"m.yaml:9:\d+: id: "),
        (
            "files: [orders]",
            "files: [orders]\n    joins: [{table: no, on: a, columns: [b]}]",
            r":8:13: .*no table `no`",
        ),
        (
            "files: [orders]",
            "files: [orders]\n    joins: [{table: orders, as: customer, on: a, columns: [b]}]",
            None,
        ),
        ("outcome: success", "outcome: success\n        when: [{column: a}]", r"m.yaml:15:16: .*exactly one of"),
        ("mapping: shop", "mapping: shop\nmapping: twice", r"m.yaml:3:1: duplicate key"),
        ("    events:\n", "    ewents:\n", r"`ewents`"),
    ],
)
def test_a_wrong_mapping_names_file_line_and_fault(tmp_path: Path, old: str, new: str, message: str | None) -> None:
    text = HEAD.replace(old, new)
    if message is None:
        text = text.replace('"{customer}"', '"{customer.id}"')
        message = "`customer.id` is used, but `customer` only gives b"
    with pytest.raises(UsageError, match=message):
        mapping(tmp_path, text)


def test_a_shipped_mapping_goes_by_its_name_and_an_unknown_one_lists_them() -> None:
    assert load_mapping("olist").name == "olist"
    with pytest.raises(UsageError, match="olist, support"):
        load_mapping("nothing")

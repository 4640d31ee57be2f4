"""Slices: what one event adds, the wait histogram's error, and that merging does not care about order."""

from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.event import TouchpointData
from schemas.slice import Slice, Sums
from streams.model.experience import Scorer
from streams.model.slices import WAIT_RATIO, add, bucket_of, merge, wait_key
from tests.builders import corridor

SCORER = Scorer(corridor(), None)
TOLERABLE_MS = 60_000.0


def counted(*events: dict[str, Any], late: bool = False) -> Sums:
    sums = Sums()
    for fields in events:
        data = msgspec.convert({"touchpoint": "any", "outcome": "success", **fields}, TouchpointData)
        add([sums], data, SCORER(data), TOLERABLE_MS, late)
    return sums


def rating(value: float, low: float, high: float, instrument: str | None, better: str = "higher") -> dict[str, Any]:
    return {"rating": {"value": value, "min": low, "max": high, "instrument": instrument, "better": better}}


def test_a_scored_event_adds_to_counts_and_sums() -> None:
    sums = counted({"outcome": "success"}, {"outcome": "partial"}, {"outcome": "failure"}, {"outcome": "abandoned"})
    assert (sums.n, sums.scored, sums.sum_x, sums.sum_xx) == (4, 4, 1.5, 1.25)
    assert (sums.negative, sums.neutral, sums.positive, sums.abandoned) == (2, 1, 1, 1)


def test_a_pending_event_is_counted_and_not_scored() -> None:
    sums = counted({"outcome": "pending", "wait_ms": 1000})
    assert (sums.n, sums.pending, sums.scored, sums.wait_n) == (1, 1, 0, 1)
    assert sums.negative + sums.neutral + sums.positive == 0


def test_a_late_event_is_counted_as_such() -> None:
    assert counted({}, late=True).late == 1
    assert counted({}).late == 0


def test_every_slice_given_counts_the_event() -> None:
    both = [Sums(), Sums()]
    data = TouchpointData("any", "success", wait_ms=5)
    add(both, data, SCORER(data), TOLERABLE_MS, True)
    assert both[0] == both[1] and both[0].n == both[0].wait_n == both[0].late == 1
    assert both[0].waits is not both[1].waits


def test_promises_add_up_with_the_broken_ones() -> None:
    sums = counted(
        *({"expectation": {"expected": 5, "actual": actual}} for actual in (5, 3, 8)), {"outcome": "failure"}
    )
    assert (sums.gap_n, sums.gap_sum, sums.gap_broken) == (3, -1.0, 1)


def test_waits_are_satisfied_up_to_t_and_tolerating_up_to_4_t() -> None:
    sums = counted(*({"wait_ms": wait} for wait in (0, 60_000, 60_001, 240_000, 240_001)))
    assert (sums.wait_n, sums.wait_satisfied, sums.wait_tolerating) == (5, 2, 2)
    assert sums.waits[-1] == 1 and sum(sums.waits.values()) == 5


def test_logarithms_of_waits_start_at_one_millisecond() -> None:
    sums = counted({"wait_ms": 0}, {"wait_ms": 1}, {"wait_ms": 1000})
    assert sums.wait_log_sum == pytest.approx(6.907755278982137, abs=1e-9)
    assert sums.wait_log_sum2 == pytest.approx(47.717082994359, abs=1e-9)


def test_nps_counts_promoters_and_detractors_on_0_to_10() -> None:
    sums = counted(*(rating(value, 0, 10, "nps") for value in range(11)))
    assert (sums.nps_n, sums.nps_promoters, sums.nps_detractors) == (11, 2, 7)


def test_nps_on_another_scale_or_turned_is_brought_to_0_to_10() -> None:
    turned = counted(*(rating(value, 0, 10, "nps", "lower") for value in range(11)))
    assert (turned.nps_promoters, turned.nps_detractors) == (2, 7)
    wider = counted(*(rating(value, 0, 100, "nps") for value in (60, 61, 89, 90)))
    assert (wider.nps_n, wider.nps_promoters, wider.nps_detractors) == (4, 1, 1)


def test_csat_counts_the_top_two_of_five() -> None:
    sums = counted(*(rating(value, 1, 5, "csat") for value in (1, 2, 3, 4, 5)))
    assert (sums.csat_n, sums.csat_top) == (5, 2)


def test_ces_adds_answers_on_1_to_7_with_high_as_easy() -> None:
    sums = counted(rating(7, 1, 7, "ces"), rating(1, 1, 7, "ces"), rating(2, 1, 7, "ces", "lower"))
    assert (sums.ces_n, sums.ces_sum, sums.ces_sum2) == (3, 14.0, 86.0)


@pytest.mark.parametrize("instrument", ["stars", None])
def test_stars_and_nameless_ratings_are_no_survey_metric(instrument: str | None) -> None:
    sums = counted(rating(5, 1, 5, instrument))
    assert sums.nps_n == sums.csat_n == sums.ces_n == 0 and sums.scored == 1


@pytest.mark.parametrize(
    ("at", "bucket"), [(0.0, 0), (9.999999, 0), (10.0, 10), (1_795_255_209.5, 1_795_255_200), (1e9 + 5, 1_000_000_000)]
)
def test_a_bucket_starts_at_a_multiple_of_ten_seconds(at: float, bucket: int) -> None:
    assert bucket_of(at) == bucket


@given(st.integers(1, 2**53) | st.integers(1, 1_000_000))
def test_a_wait_read_from_the_histogram_is_off_by_at_most_2_percent(wait_ms: int) -> None:
    key = wait_key(wait_ms)
    assert WAIT_RATIO ** (key - 1) < wait_ms * (1 + 1e-12) and wait_ms <= WAIT_RATIO**key * (1 + 1e-12)
    read = 2 * WAIT_RATIO**key / (WAIT_RATIO + 1)
    assert abs(read - wait_ms) <= 0.02 * wait_ms * (1 + 1e-9)


def test_waits_of_whole_milliseconds_keep_their_order() -> None:
    keys = [wait_key(wait) for wait in range(20_000)]
    assert keys == sorted(keys) and keys[:2] == [-1, 0]


sentence = st.fixed_dictionaries(
    {"outcome": st.sampled_from(["success", "partial", "failure", "abandoned", "pending"])},
    optional={
        "wait_ms": st.integers(0, 10**7),
        "expectation": st.fixed_dictionaries({"expected": st.floats(-9, 9), "actual": st.floats(-9, 9)}),
        "sentiment": st.floats(-1, 1),
        "rating": st.sampled_from([rating(v, 1, 7, i)["rating"] for v in (1, 4.2, 7) for i in ("nps", "csat", "ces")]),
    },
)
many = st.lists(sentence, max_size=12)


@given(many, st.data())
def test_the_order_of_events_does_not_change_a_bit(events: list[dict[str, Any]], data: st.DataObject) -> None:
    assert counted(*data.draw(st.permutations(events))) == counted(*events)


def merged(*parts: Sums) -> Sums:
    total = Sums()
    for part in parts:
        merge(total, part)
    return total


@given(many, many, many)
def test_merging_is_commutative_and_associative(a: Any, b: Any, c: Any) -> None:
    one, two, three = counted(*a), counted(*b), counted(*c)
    before = deepcopy((one, two, three))
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three)) == counted(*a, *b, *c)
    assert (one, two, three) == before


def test_a_slice_survives_json_with_its_key() -> None:
    sums = counted({"wait_ms": 0, "expectation": {"expected": 1, "actual": 0.9}})
    cell = dict.fromkeys(
        ("tenant", "touchpoint", "channel", "stage", "actor", "contact", "segment", "segment_value"), "é"
    )
    item = Slice(**msgspec.structs.asdict(sums), **cell, bucket=10, origin="touchpoint.events/0", part=3, version=9)
    again = msgspec.json.decode(msgspec.json.encode(item), type=Slice)
    assert again == item and again.key == item.key

"""Transition slices: counted, taken back, published as absolutes, let go and read back."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.slice import Progress, Slice
from schemas.transition import TransitionSlice, TransitionSums
from streams.model.buckets import BUCKET_AGE
from streams.model.transitions import Transitions
from tests.builders import NOW, merged

ORIGIN = "touchpoint.events/3"
NORTH = (("region", "north"),)
BUCKET = int(NOW // 10) * 10


def count(into: Transitions, **changes: Any) -> None:
    given: dict[str, Any] = {
        "tenant": "default",
        "origin": "shop",
        "following": "pay",
        "pairs": (),
        "at": NOW,
        "sign": 1,
        "wait_ms": 1500,
        "resumed": 0,
        **changes,
    }
    into.count(*given.values())


def sums(one: TransitionSums) -> dict[str, Any]:
    return {name: getattr(one, name) for name in TransitionSums.__struct_fields__}


def test_a_transition_counts_over_all_segments_and_in_each_of_its_own() -> None:
    transitions = Transitions(ORIGIN)
    count(transitions, pairs=(("region", "north"), ("carrier", "dove")))
    count(transitions, pairs=NORTH, wait_ms=0)
    found = {(one.segment, one.segment_value): one for one in transitions.snapshot(7)}
    assert {pair: one.n for pair, one in found.items()} == {
        ("", ""): 2,
        ("region", "north"): 2,
        ("carrier", "dove"): 1,
    }
    everyone = found["", ""]
    assert (everyone.tenant, everyone.touchpoint, everyone.following) == ("default", "shop", "pay")
    assert (everyone.bucket, everyone.origin, everyone.part, everyone.version) == (BUCKET, ORIGIN, 7, 7)
    assert (everyone.wait_n, everyone.wait_ms_sum) == (2, 1500)
    # g^183 = 1512 is the first power of 1.02/0.98 from 1500 on.
    assert everyone.waits == {183: 1, -1: 1}
    # ln(1500) = 7.3132...; the wait of 0 adds nothing.
    assert everyone.wait_log_sum == pytest.approx(7.313220387090301, abs=2**-32)
    assert everyone.wait_log_sum2 == pytest.approx(53.483192430085264, abs=2**-32)


def test_the_bucket_is_that_of_the_time_given() -> None:
    transitions = Transitions(ORIGIN)
    for at in (BUCKET, BUCKET + 9.999, BUCKET + 10):
        count(transitions, at=at)
    assert {one.bucket: one.n for one in transitions.snapshot(1)} == {BUCKET: 2, BUCKET + 10: 1}


def test_an_end_has_no_wait_and_a_resumption_is_marked() -> None:
    transitions = Transitions(ORIGIN)
    count(transitions, following="@goal", wait_ms=None)
    count(transitions, resumed=1)
    count(transitions)
    goal, step = transitions.snapshot(1)
    assert (goal.n, goal.wait_n, goal.waits, goal.resumed) == (1, 0, {}, 0)
    assert (step.n, step.wait_n, step.resumed) == (2, 2, 1)


def test_what_is_taken_back_leaves_nothing() -> None:
    transitions = Transitions(ORIGIN)
    for sign in (1, -1):
        count(transitions, pairs=NORTH, sign=sign, resumed=1)
    assert [sums(one) for one in transitions.snapshot(1)] == 2 * [sums(TransitionSums())]


def test_a_snapshot_holds_what_changed_once_and_in_full() -> None:
    transitions = Transitions(ORIGIN)
    assert transitions.snapshot(1) == []
    count(transitions, pairs=NORTH)
    assert len(transitions.snapshot(2)) == 2
    assert transitions.snapshot(3) == []
    count(transitions)
    (changed,) = transitions.snapshot(4)
    assert (changed.segment, changed.n, changed.part, changed.version) == ("", 2, 2, 4)


def test_what_is_idle_leaves_memory_and_a_later_change_opens_a_new_part() -> None:
    transitions = Transitions(ORIGIN)
    count(transitions)
    (first,) = transitions.snapshot(1)
    gone = [key for _ in range(3 * BUCKET_AGE) for key in transitions.let_go()]
    assert gone == [first.key] and len(transitions) == 0
    count(transitions, sign=-1)
    (second,) = transitions.snapshot(9)
    assert (second.part, second.n, second.waits) == (9, -1, {183: -1})
    assert second.key != first.key
    assert sums(merged([first, second])) == sums(TransitionSums())


def test_what_is_in_use_stays_in_memory() -> None:
    transitions = Transitions(ORIGIN)
    for version in range(5 * BUCKET_AGE):
        count(transitions)
        (one,) = transitions.snapshot(version)
        assert transitions.let_go() == []
    assert one.n == 5 * BUCKET_AGE


def test_a_restored_slice_goes_on_where_it_was() -> None:
    transitions = Transitions(ORIGIN)
    count(transitions, pairs=NORTH)
    stored = [msgspec.json.encode(one) for one in transitions.snapshot(5)]
    restored = Transitions(ORIGIN)
    for value in stored:
        restored.restore(msgspec.json.decode(value, type=TransitionSlice))
    assert len(restored) == 2 and restored.snapshot(6) == []
    assert len(restored.since(5)) == 2 and restored.since(6) == []
    count(restored)
    (one,) = restored.snapshot(7)
    assert (one.n, one.part, one.version) == (2, 5, 7)
    assert [one.segment for one in restored.since(6)] == [""]


def test_transition_slices_share_a_topic_with_the_others() -> None:
    transitions = Transitions(ORIGIN)
    count(transitions)
    (one,) = transitions.snapshot(1)
    progress = Progress(ORIGIN, 1, None)
    places = ("default", "shop", "web", "during", "buyer", "direct", "", "")
    names = ("tenant", "touchpoint", "channel", "stage", "actor", "contact", "segment", "segment_value")
    touchpoint = Slice(**dict(zip(names, places, strict=True)), bucket=BUCKET, origin=ORIGIN, part=1, version=1)
    decoder = msgspec.json.Decoder(Slice | Progress | TransitionSlice)
    for message in (one, progress, touchpoint):
        assert decoder.decode(msgspec.json.encode(message)) == message
    assert one.key != touchpoint.key
    assert msgspec.json.decode(one.key) == ["default", "shop", "pay", "", "", BUCKET, ORIGIN, 1]


@settings(deadline=None)
@given(
    waits=st.lists(st.integers(0, 2**40), min_size=1, max_size=30),
    taken_back=st.sets(st.integers(0, 29)),
    snapshots=st.sets(st.integers(0, 59)),
    order=st.randoms(use_true_random=False),
)
def test_any_order_and_any_parts_give_the_same_sums(
    waits: list[int], taken_back: set[int], snapshots: set[int], order: Any
) -> None:
    kept = Transitions(ORIGIN)
    for number, wait in enumerate(waits):
        if number not in taken_back:
            count(kept, wait_ms=wait)
    expected = merged(kept.snapshot(1))

    changes = [(wait, 1) for wait in waits] + [(waits[number], -1) for number in taken_back if number < len(waits)]
    order.shuffle(changes)
    transitions = Transitions(ORIGIN)
    published: dict[bytes, TransitionSlice] = {}
    for number, (wait, sign) in enumerate(changes):
        count(transitions, wait_ms=wait, sign=sign)
        if number in snapshots:
            published.update((one.key, msgspec.convert(one, TransitionSlice)) for one in transitions.snapshot(number))
            for _ in range(3 * BUCKET_AGE):
                transitions.let_go()
    published.update((one.key, one) for one in transitions.snapshot(100))
    assert sums(merged(published.values())) == sums(expected)

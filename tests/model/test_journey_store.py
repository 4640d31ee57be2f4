"""Journeys kept: folded, frozen, thawed, read back, renamed and let go; nothing of it shows in a result."""

from math import inf
from unittest import mock

import msgspec
import pytest

from schemas.corridor import Duration
from streams.model import journey_store
from streams.model.duplicates import is_duplicate
from streams.model.journey_state import JourneyState, name_of, pack, read_label, unpack
from streams.model.journey_store import JourneyStore
from streams.model.shelf import MemoryShelf
from tests.builders import NOW
from tests.model.journeys import HORIZON, KEY, LATENESS, MAP, Partition, partition, visit


def test_a_journey_may_leave_when_nothing_can_change_it() -> None:
    found = partition(visit(0, "pay"))
    found.states[KEY].seen_at = NOW
    found.journeys.observe(NOW + 121 + LATENESS)
    assert found.forget() == [], "its stall is not counted yet"
    found.advance(221)
    found.freeze()
    silent = NOW + 2 * HORIZON
    assert found.store.let_go(silent, 0) == []
    assert found.store.let_go(silent + 1, 0) == [name_of(KEY)]
    assert len(found.store) == 0 and found.store.let_go(inf, 0) == []


def test_a_journey_whose_change_may_not_be_published_stays() -> None:
    for cold in (False, True):
        found = partition(visit(0, "home"), clock=10_000)
        found.states[KEY].changed = 7
        found.journeys.observe(NOW + 1000)
        found.store.hot.age(1)
        if cold:
            found.store.let_go(-inf, 0)
        assert found.store.let_go(inf, 6) == []
        found.store.hot.age(1)
        assert found.store.let_go(inf, 7) == [name_of(KEY)]


def test_an_open_journey_and_one_that_may_be_resumed_stay() -> None:
    found = partition(visit(0, "pay"), visit(0, "home", key=("default", "b", "b")), clock=10_000)
    found.journeys.observe(NOW + 60 + LATENESS)
    assert found.forget() == []
    found.journeys.observe(NOW + 60.1 + LATENESS)
    assert found.forget() == [("default", "b", "b")]


def test_whether_a_journey_left_memory_does_not_show() -> None:
    answers = []
    for forget in (False, True):
        found = partition(visit(0, "pay", x=0.1), clock=10_000)
        found.journeys.observe(NOW + 1000)
        if forget:
            found.forget()
            assert not found.states
        found.add(visit(5, "shop"), NOW + 1000)
        answers.append((found.journey(), found.counts()))
    assert answers[0] == answers[1]


def test_a_journey_that_is_over_starts_anew_also_before_its_silence_was_counted() -> None:
    found = partition(visit(0, "pay"))
    found.add(visit(5, "shop"), NOW + 1000)
    assert found.journey().contacts == 1
    found.advance(1000)
    assert found.counts() == {
        **{("", name): 1 for name in ("pay", "shop")},
        **{(name, node): 1 for name in ("pay", "shop") for node in ("@stalled", "@gone")},
    }


def test_timers_that_were_overtaken_do_not_pile_up() -> None:
    found = Partition()
    for start in range(0, 2000, 40):
        found.add(visit(start, "shop"))
        found.advance(start + 1)
        found.add(visit(start + 2, "wait"))
        found.advance(start + 13)
    # Each round leaves one behind, which goes when it would have rung, 200 s later; one is alive.
    assert len(found.journeys._timers) <= 200 / 40 + 1


def test_a_restart_counts_no_stall_twice_and_forgets_none() -> None:
    found = partition(visit(0, "pay"), visit(0, "wait", key=("default", "b", "b")), clock=11)
    found.restart()
    assert found.advance(61) == [("default", "b", "b"), KEY]
    found.restart()
    assert found.advance(1000) == [KEY]
    assert found.counts() == {
        **{("", name): 1 for name in ("pay", "wait")},
        **{(name, node): 1 for name in ("pay", "wait") for node in ("@stalled", "@gone")},
    }


def test_what_is_read_back_stays_cold_until_it_is_touched() -> None:
    found = partition(visit(0, "pay"), visit(0, "wait", key=("default", "b", "b")))
    found.restart()
    assert (len(found.store), len(found.store.hot), len(found.shelf)) == (2, 0, 2)
    assert found.advance(11) == [("default", "b", "b")]
    assert list(found.shelf) == [name_of(KEY)]
    found.add(visit(12, "pay"))
    assert (len(found.store), len(found.store.hot), len(found.shelf)) == (2, 2, 0)


def test_a_cold_journey_thaws_when_it_stalls_and_not_when_a_timer_of_before_rings() -> None:
    found = partition(visit(0, "pay"), visit(50, "pay"))
    found.freeze()
    assert read_label(found.shelf[name_of(KEY)]).due == NOW + 110
    assert found.advance(100) == [] and len(found.shelf) == 1
    assert found.advance(111) == [KEY] and len(found.shelf) == 0


def test_a_journey_that_was_stored_still_stalls_on_time() -> None:
    found = partition(visit(0, "pay"), visit(50, "pay"))
    value = found.journeys.pack(found.states[KEY])
    assert read_label(value).due == NOW + 110
    assert found.advance(110) == [] and found.advance(111) == [KEY]


def test_journeys_freeze_when_idle_and_when_there_are_too_many() -> None:
    found = partition(visit(0, "pay"))
    found.store.let_go(NOW, 0)
    with mock.patch.object(journey_store, "FREEZE_STEPS", 1):
        found.store.let_go(NOW + 1, 0)
        assert len(found.shelf) == 1, "what was there when the first arrival came is as old as can be"
        found.add(visit(1, "pay"))
        for wait in (2, journey_store.IDLE_S - 1):
            found.store.let_go(NOW + wait, 0)
        assert len(found.shelf) == 0
        found.store.let_go(NOW + journey_store.IDLE_S, 0)
        found.store.let_go(NOW + journey_store.IDLE_S, 0)
        assert len(found.shelf) == 1
        found.add(visit(1, "pay", identity=2))
        with mock.patch.object(journey_store, "MOST_YOUNG", 0):
            found.store.let_go(NOW + journey_store.IDLE_S, 0)
        found.store.let_go(NOW + journey_store.IDLE_S, 0)
        assert len(found.shelf) == 1


def test_a_cold_journey_that_only_waits_to_leave_may_thaw_and_go_on() -> None:
    found = partition(visit(0, "home"))
    found.freeze()
    found.add(visit(1, "pay"))
    with mock.patch.object(journey_store, "LOOK_STEPS", 1):
        for _ in range(2):
            assert found.store.let_go(-inf, 0) == []
    assert (len(found.store.hot), len(found.shelf)) == (1, 0)


def test_a_map_with_other_patience_holds_for_journeys_read_back() -> None:
    found = partition(visit(0, "pay"))
    defaults = msgspec.structs.replace(MAP.defaults, patience=Duration(20))
    found.restart(msgspec.structs.replace(MAP, defaults=defaults))
    assert found.advance(20) == []
    assert found.advance(21) == [KEY]


def test_a_torn_journey_is_an_error() -> None:
    found = partition(visit(0, "pay"))
    found.freeze()
    store = JourneyStore(found.journeys, MemoryShelf({name: value[:-1] for name, value in found.shelf.items()}))
    with pytest.raises(msgspec.DecodeError):
        store.restored(0)


def test_recent_ids_are_recognised_after_a_restart() -> None:
    state = JourneyState()
    assert not is_duplicate(state.ids, 2**64 - 1)
    assert is_duplicate(unpack(pack(state)).ids, 2**64 - 1)


# -- any order, any schedule -----------------------------------------------------------------------------------------

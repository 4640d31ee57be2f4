"""Journeys: placed, ended, stalled, resumed, folded and read back; whatever the order, equal to the offline answer."""

from math import inf, isclose
from typing import Any, NamedTuple
from unittest import mock

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.corridor import CorridorMap, Defaults, Duration, Segment, Touchpoint
from schemas.event import TouchpointData, Value
from schemas.journey import Goal, Journey
from schemas.transition import TransitionSlice
from streams.model import journey_store
from streams.model.duplicates import is_duplicate
from streams.model.journey import DUPLICATE_HORIZON_S, MAX_TAIL, Journeys
from streams.model.journey_state import JourneyKey, JourneyState, key_of, name_of, pack, read_label, unpack
from streams.model.journey_store import JourneyStore
from streams.model.places import Places
from streams.model.shelf import MemoryShelf
from streams.model.transitions import Transitions
from tests.builders import LABEL, NOW, merged
from tests.offline_journeys import Cell, Offline, Visit

LATENESS = 100.0
MAP = CorridorMap(
    "test",
    LABEL,
    (
        Touchpoint("shop", LABEL, "web", "before", patience=Duration(200)),
        Touchpoint("pay", LABEL, "web", "during", importance=3.0),
        Touchpoint("wait", LABEL, "delivery", "during", patience=Duration(10)),
        Touchpoint("home", LABEL, "delivery", "during", goal=True, importance=0.0),
        Touchpoint("thanks", LABEL, "survey", "after", goal=True, patience=Duration(300)),
    ),
    Defaults(patience=Duration(60), recovery=Duration(90), allowed_lateness=Duration(LATENESS)),
    (Segment("region", LABEL), Segment("carrier", LABEL)),
)
PLACES = Places(MAP)
KEY = ("default", "customer-1", "order-1")


def visit(at: float, touchpoint: str = "pay", outcome: str = "success", **changes: Any) -> Visit:
    identity = changes.pop("identity", 1)
    return Visit(*changes.pop("key", KEY), NOW + at, identity, touchpoint, outcome, **changes)


def data_of(one: Visit) -> TouchpointData:
    return TouchpointData(
        one.touchpoint,
        one.outcome,
        channel=one.channel,
        initiator=one.initiator,
        active_ms=one.active_ms,
        wait_ms=one.wait_ms,
        attempts=one.attempts,
        transfers=one.transfers,
        value=Value(one.amount_minor or 0, one.currency) if one.currency else None,
    )


class Partition:
    """A partition as the program keeps it: journeys hot and cold, states and slices stored, slices published."""

    def __init__(self, keep_ended: float | None = None, chart: CorridorMap = MAP) -> None:
        self.version = 0
        self.stored_slices: dict[bytes, TransitionSlice] = {}
        self.published: dict[bytes, TransitionSlice] = {}
        self.start(chart, keep_ended)

    def start(self, chart: CorridorMap, keep_ended: float | None) -> None:
        self.chart, self.keep_ended = chart, keep_ended
        self.transitions = Transitions("touchpoint.events/0")
        self.journeys = Journeys(chart, self.transitions, keep_ended)
        self.shelf = MemoryShelf()
        self.store = JourneyStore(self.journeys, self.shelf)

    @property
    def states(self) -> dict[JourneyKey, JourneyState]:
        """All of them; the cold ones stay cold."""
        cold = {key_of(name): unpack(value) for name, value in self.shelf.items()}
        hot = dict(self.store.hot.items())
        assert not cold.keys() & hot.keys() and len(cold) + len(hot) == len(self.store)
        return {**cold, **hot}

    def add(self, one: Visit, watermark: float = -inf) -> None:
        key = (one.tenant, one.subject, one.journey)
        state = self.store.find(key)
        if state is None:
            state = self.store.hot.young[key] = JourneyState()
        place = PLACES.find(one.tenant, data_of(one))
        contact = self.journeys.rules.contact(one.time, one.identity, place, data_of(one), one.x, one.pairs)
        self.journeys.add(key, state, contact, watermark)

    def advance(self, at: float) -> list[JourneyKey]:
        return [key for key, _ in self.journeys.advance(NOW + at, self.store.ring)]

    def checkpoint(self) -> None:
        self.version += 1
        for state in self.store.hot:
            self.journeys.pack(state)
        for changed in self.transitions.snapshot(self.version):
            copied = msgspec.msgpack.decode(msgspec.msgpack.encode(changed), type=TransitionSlice)
            self.published[changed.key] = self.stored_slices[changed.key] = copied
        for key in self.transitions.let_go():
            del self.stored_slices[key]

    def restart(self, chart: CorridorMap = MAP) -> None:
        self.checkpoint()
        watermark = self.journeys.watermark
        packed = dict(self.shelf) | {name_of(key): self.journeys.pack(state) for key, state in self.store.hot.items()}
        self.start(chart, self.keep_ended)
        self.journeys.observe(watermark)
        self.shelf.update(packed)
        assert self.store.restored(self.version) == []
        for stored in self.stored_slices.values():
            self.transitions.restore(msgspec.structs.replace(stored, waits=stored.waits.copy()))

    def freeze(self) -> None:
        """All journeys become cold, whatever they just did."""
        self.store.hot.age(1)
        self.store.let_go(-inf, self.version)

    def forget(self) -> list[JourneyKey]:
        """What may leave, leaves."""
        self.freeze()
        with mock.patch.object(journey_store, "LOOK_STEPS", 1):
            return [key_of(name) for name in self.store.let_go(inf, self.version)]

    def journey(self, key: JourneyKey = KEY) -> Journey:
        return self.journeys.message(key, self.states[key], self.version, "touchpoint.events/0")

    def sums(self) -> dict[Cell, dict[str, Any]]:
        """What is published, all parts merged; without the cells where everything was taken back."""
        self.checkpoint()
        cells: dict[Cell, list[TransitionSlice]] = {}
        for one in self.published.values():
            cell = (one.tenant, one.touchpoint, one.following, one.segment, one.segment_value, one.bucket)
            cells.setdefault(cell, []).append(one)
        totals = {cell: msgspec.structs.asdict(merged(slices)) for cell, slices in cells.items()}
        return {cell: total for cell, total in totals.items() if any(total.values())}

    def counts(self) -> dict[tuple[str, str], int]:
        """How many transitions there are of each kind, over all buckets."""
        found: dict[tuple[str, str], int] = {}
        for (_, touchpoint, following, segment, _, _), total in self.sums().items():
            if not segment:
                found[touchpoint, following] = found.get((touchpoint, following), 0) + total["n"]
        return found


def partition(*visits: Visit, clock: float | None = None) -> Partition:
    found = Partition()
    for one in visits:
        found.add(one)
    if clock is not None:
        found.advance(clock)
    return found


def at(seconds: float) -> int:
    return int((NOW + seconds) // 10) * 10


# -- transitions -----------------------------------------------------------------------------------------------------


def test_contacts_in_a_row_make_transitions_with_their_waits() -> None:
    found = partition(visit(0, "shop"), visit(12.3456, "pay"), visit(13, "pay"))
    sums = found.sums()
    assert set(sums) == {
        ("default", "", "shop", "", "", at(0)),
        ("default", "shop", "pay", "", "", at(12)),
        ("default", "pay", "pay", "", "", at(13)),
    }
    entry, step, _ = sums.values()
    assert (entry["n"], entry["wait_n"], entry["waits"]) == (1, 0, {})
    assert (step["n"], step["wait_n"], step["wait_ms_sum"], step["resumed"]) == (1, 1, 12_346, 0)


def test_a_contact_between_two_others_takes_their_transition_back() -> None:
    found = partition(visit(0, "shop"), visit(30, "home"))
    assert found.counts() == {("", "shop"): 1, ("shop", "home"): 1, ("home", "@goal"): 1}
    found.add(visit(20, "pay"))
    assert found.counts() == {("", "shop"): 1, ("shop", "pay"): 1, ("pay", "home"): 1, ("home", "@goal"): 1}
    assert found.journey().contacts == 3


def test_a_contact_before_the_first_takes_the_entry_back() -> None:
    found = partition(visit(30, "pay"), visit(0, "shop"))
    assert found.counts() == {("", "shop"): 1, ("shop", "pay"): 1}
    assert (found.journey().started_at, found.journey().first_touchpoint) == (NOW, "shop")


def test_contacts_of_the_same_time_are_ordered_by_identity() -> None:
    for order in ((1, 2, 3), (3, 2, 1), (2, 3, 1)):
        names = {1: "shop", 2: "pay", 3: "wait"}
        found = partition(*(visit(0, names[identity], identity=identity) for identity in order))
        assert found.counts() == {("", "shop"): 1, ("shop", "pay"): 1, ("pay", "wait"): 1}
        assert found.sums()["default", "shop", "pay", "", "", at(0)]["waits"] == {-1: 1}


def test_the_later_contact_names_the_segment_and_the_earlier_one_fills_in() -> None:
    found = partition(
        visit(0, "shop", pairs=(("region", "north"), ("carrier", "dove"))),
        visit(1, "pay", pairs=(("region", "south"),)),
    )
    cells = {cell[3:5] for cell in found.sums() if cell[1:3] == ("shop", "pay")}
    assert cells == {("", ""), ("region", "south"), ("carrier", "dove")}


def test_a_journey_stalls_when_the_patience_of_its_touchpoint_is_over() -> None:
    found = partition(visit(0, "wait"), clock=10)
    assert found.journey().status == "open"
    assert found.advance(10.001) == [KEY]
    assert found.journey().status == "stalled" and found.journey().ended_at is None
    assert found.sums()["default", "wait", "@stalled", "", "", at(10)]["n"] == 1
    assert found.advance(20) == []
    assert found.advance(1000) == [KEY]
    assert (found.journey().status, found.journey().ended_at) == ("abandoned", NOW + 20)
    assert found.counts() == {("", "wait"): 1, ("wait", "@stalled"): 1, ("wait", "@gone"): 1}
    assert found.advance(10_000) == []


def test_patience_is_that_of_the_touchpoint_or_the_map() -> None:
    found = partition(visit(0, "shop"), visit(0, "unmapped", key=("default", "b", "b")), clock=61)
    assert (found.journey().status, found.journey(("default", "b", "b")).status) == ("open", "stalled")
    found.advance(201)
    assert found.journey().status == "stalled"


def test_a_touchpoint_with_less_patience_makes_the_timer_ring_earlier() -> None:
    found = partition(visit(0, "shop"), visit(1, "wait"), clock=12)
    assert found.journey().status == "stalled"


def test_stalls_are_counted_in_the_order_of_their_time() -> None:
    found = Partition()
    for name, touchpoint in (("slow", "shop"), ("fast", "wait"), ("middle", "pay")):
        found.add(visit(0, touchpoint, key=("default", name, name)))
    assert [subject for _, subject, _ in found.advance(300)] == ["fast", "middle", "slow"]


def test_a_journey_that_goes_on_after_a_stall_is_resumed() -> None:
    found = partition(visit(0, "pay"), clock=61)
    found.add(visit(70, "home"))
    assert found.counts() == {("", "pay"): 1, ("pay", "@stalled"): 1, ("pay", "home"): 1, ("home", "@goal"): 1}
    assert found.sums()["default", "pay", "home", "", "", at(70)]["resumed"] == 1
    assert found.journey().status == "reached"


def test_a_stall_counted_too_early_is_taken_back() -> None:
    found = partition(visit(0, "pay"), clock=61)
    found.add(visit(50, "pay"))
    assert found.counts() == {("", "pay"): 1, ("pay", "pay"): 1}
    assert found.journey().status == "open"
    assert found.advance(111) == [KEY]


def test_a_contact_in_the_gap_takes_back_a_stall_that_was_a_fact() -> None:
    found = partition(visit(0, "pay"), visit(100, "home"), clock=200)
    assert found.counts()["pay", "@stalled"] == 1
    found.add(visit(50, "pay"))
    assert found.counts() == {("", "pay"): 1, ("pay", "pay"): 1, ("pay", "home"): 1, ("home", "@goal"): 1}


def test_after_twice_the_patience_the_journey_starts_anew() -> None:
    found = partition(visit(0, "pay", x=0.0), visit(121, "shop", x=1.0))
    assert found.counts() == {("", "pay"): 1, ("pay", "@stalled"): 1, ("pay", "@gone"): 1, ("", "shop"): 1}
    journey = found.journey()
    assert (journey.contacts, journey.started_at, journey.negative, journey.first_touchpoint) == (
        1,
        NOW + 121,
        0,
        "shop",
    )
    found.add(visit(60, "pay"))
    assert found.journey().contacts == 3
    assert found.counts() == {("", "pay"): 1, ("pay", "pay"): 1, ("pay", "@stalled"): 1, ("pay", "shop"): 1}


def test_a_journey_may_reach_one_goal_and_then_another() -> None:
    found = partition(visit(0, "home"), visit(20, "thanks", "partial"), visit(30, "home"), visit(40, "shop"))
    journey = found.journey()
    assert journey.goals == [Goal("home", NOW), Goal("thanks", NOW + 20)]
    assert journey.status == "open"
    sums = found.sums()
    assert sums["default", "home", "thanks", "", "", at(20)]["resumed"] == 1
    assert found.counts()["home", "@goal"] == 2 and found.counts()["thanks", "@goal"] == 1


def test_a_goal_that_failed_is_not_reached() -> None:
    found = partition(visit(0, "home", "failure"), visit(1, "home", "pending"))
    assert found.journey().goals == [] and found.journey().status == "open"


def test_an_abandoned_outcome_ends_the_journey_and_does_not_stall() -> None:
    found = partition(visit(0, "shop"), visit(5, "home", "abandoned"), clock=10_000)
    assert (found.journey().status, found.journey().ended_at) == ("abandoned", NOW + 5)
    assert found.counts() == {("", "shop"): 1, ("shop", "home"): 1, ("home", "@abandoned"): 1}


def test_how_long_an_ended_journey_can_go_on_can_be_set() -> None:
    for keep_ended, entries in ((None, 1), (30.0, 1), (29.0, 2)):
        found = Partition(keep_ended)
        for one in (visit(0, "home"), visit(30, "home")):
            found.add(one)
        assert found.counts().get(("", "home")) == entries


# -- the message -----------------------------------------------------------------------------------------------------


def test_the_message_sums_up_the_contacts() -> None:
    found = partition(
        visit(0, "shop", channel="web", x=0.75, active_ms=100, attempts=3, amount_minor=500, currency="EUR"),
        visit(10, "pay", channel="app", x=0.25, wait_ms=7, pairs=(("region", "north"),)),
        visit(30, "pay", channel="app", x=0.5, transfers=2, amount_minor=-20, currency="EUR", initiator="company"),
        visit(50, "unmapped", channel=None, pairs=(("region", "south"),), amount_minor=1, currency="USD"),
    )
    journey = found.journey()
    assert (journey.contacts, journey.repeats, journey.channels, journey.channel_switches) == (4, 1, ["web", "app"], 1)
    assert (journey.elapsed_s, journey.active_ms, journey.wait_ms, journey.unaccompanied_s) == (50, 100, 7, 30)
    # ln of 5, 2, 3, 2 and 3: contacts, switches, transfers, repeats and retries, each plus one.
    assert isclose(journey.effort, 5.1929568508902104)
    assert (journey.scored, journey.negative) == (3, 1)
    assert (journey.peak_x, journey.last_x, journey.memory, journey.memory_band) == (0.25, 0.5, 0.375, "negative")
    # (1 x 0.75 + 3 x 0.25 + 3 x 0.5) / 7; the variance of the three is 1/24.
    assert isclose(journey.score or 0, 300 / 7)
    assert isclose(journey.consistency or 0, 1 - 2 * (1 / 24) ** 0.5)
    assert (journey.value, journey.segments) == ({"EUR": 480, "USD": 1}, {"region": "south"})
    assert journey.open_negative_at == NOW + 10 and journey.recovered == 0


def test_without_scores_there_is_no_memory_and_no_score() -> None:
    journey = partition(visit(0), visit(1)).journey()
    assert (journey.memory, journey.memory_band, journey.score, journey.consistency) == (None, "unknown", None, None)


def test_equal_scores_are_fully_consistent() -> None:
    assert partition(*(visit(i, x=0.3) for i in range(7))).journey().consistency == 1.0


def test_a_negative_contact_is_recovered_only_within_the_recovery_time() -> None:
    contacts = [visit(0, "shop", x=0.1), visit(50, x=0.2), visit(91, x=0.7), visit(92, x=0.5)]
    journey = partition(*contacts).journey()
    assert (journey.negative, journey.recovered, journey.open_negative_at) == (2, 1, None)
    journey = partition(*contacts, visit(93, x=0.3)).journey()
    assert (journey.recovered, journey.open_negative_at) == (1, NOW + 93)
    journey = partition(*contacts, visit(93, x=0.3), visit(94, x=1.0)).journey()
    assert (journey.negative, journey.recovered, journey.open_negative_at) == (3, 2, None)


def test_sums_stay_within_64_bits() -> None:
    large = 2**53
    found = partition(
        *(visit(i, active_ms=large, amount_minor=-large, currency="EUR", identity=i) for i in range(1100))
    )
    journey = found.journey()
    assert (journey.active_ms, journey.value) == (2**63 - 1, {"EUR": -(2**63 - 1)})
    assert unpack(pack(found.states[KEY])) == found.states[KEY]


def test_the_message_decodes_to_itself() -> None:
    journey = partition(visit(0, "home", x=0.2, currency="EUR", amount_minor=3)).journey()
    assert msgspec.json.decode(msgspec.json.encode(journey), type=Journey) == journey
    assert journey.key == b'["default","customer-1","order-1"]'


def test_a_journey_without_a_contact_has_no_message() -> None:
    with pytest.raises(ValueError, match="no contact"):
        Partition().journeys.message(KEY, JourneyState(), 1, "touchpoint.events/0")


# -- memory ----------------------------------------------------------------------------------------------------------


def test_a_contact_that_belongs_before_what_is_settled_is_late() -> None:
    found = partition(visit(0, "shop"), visit(50, "pay", x=0.75))
    found.add(visit(160, "pay"), NOW + 160)
    before = found.counts()
    found.add(visit(40, "wait", x=0.25, channel="store", active_ms=5), NOW + 160)
    journey = found.journey()
    assert (journey.late, journey.contacts, journey.active_ms, journey.negative) == (1, 4, 5, 1)
    assert (journey.peak_x, journey.open_negative_at, journey.channels) == (0.75, None, ["web"])
    assert found.counts() == before
    found.add(visit(55, "shop"), NOW + 160)
    assert found.journey().late == 1, "a place behind all that is settled is not late"


def test_the_257th_contact_settles_the_first() -> None:
    found = partition(*(visit(2 + i, identity=i) for i in range(MAX_TAIL)))
    assert found.states[KEY].head is None
    found.add(visit(1 + MAX_TAIL, identity=MAX_TAIL))
    head = found.states[KEY].head
    assert head is not None and head.contacts == 1 and len(found.states[KEY].tail) == MAX_TAIL
    found.add(visit(0, "shop"))
    found.add(visit(2.5, "wait"))
    journey = found.journey()
    assert (journey.late, journey.contacts, journey.started_at) == (1, MAX_TAIL + 3, NOW + 2)
    assert found.counts() == {("", "pay"): 1, ("pay", "pay"): MAX_TAIL - 1, ("pay", "wait"): 1, ("wait", "pay"): 1}


def test_a_journey_may_leave_when_nothing_can_change_it() -> None:
    found = partition(visit(0, "pay"))
    found.states[KEY].seen_at = NOW
    found.journeys.observe(NOW + 121 + LATENESS)
    assert found.forget() == [], "its stall is not counted yet"
    found.advance(221)
    found.freeze()
    silent = NOW + 2 * DUPLICATE_HORIZON_S
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


class Step(NamedTuple):
    """What happens besides: how far the clock goes before the next contact, and what else is done."""

    clock: int
    restart: bool
    forget: bool
    checkpoint: bool
    freeze: bool


NAMES = st.sampled_from(("shop", "pay", "wait", "home", "thanks", "unmapped"))
OUTCOMES = st.sampled_from(("success", "success", "partial", "failure", "abandoned", "pending"))
PAIRS = st.sampled_from(((), (("region", "north"),), (("region", "south"), ("carrier", "dove")), (("carrier", "owl"),)))
SMALL = st.none() | st.integers(0, 4)


@st.composite
def visit_lists(draw: st.DrawFn) -> list[Visit]:
    found = []
    for identity in range(draw(st.integers(1, 14))):
        subject = draw(st.sampled_from(("a", "a", "b")))
        found.append(
            visit(
                draw(st.integers(0, 500)) / draw(st.sampled_from((1, 1, 3))),
                draw(NAMES),
                draw(OUTCOMES),
                key=("default", subject, "journey"),
                identity=identity,
                channel=draw(st.sampled_from((None, "web", "app"))),
                initiator=draw(st.sampled_from((None, "customer", "company"))),
                pairs=draw(PAIRS),
                x=draw(st.sampled_from((None, 0.0, 0.1, 0.25, 0.5, 0.75, 1.0))),
                active_ms=draw(SMALL),
                wait_ms=draw(SMALL),
                attempts=draw(SMALL),
                transfers=draw(SMALL),
                currency=draw(st.sampled_from((None, "EUR", "USD"))),
                amount_minor=draw(st.integers(-5, 5)),
            )
        )
    return found


STEPS = st.lists(st.builds(Step, st.integers(0, 900), *[st.booleans()] * 4), max_size=15)
IDLE = Step(0, False, False, False, False)


@settings(max_examples=250, deadline=None)
@given(
    visits=visit_lists(),
    delays=st.lists(st.floats(0, LATENESS), min_size=14, max_size=14),
    steps=STEPS,
    clock=st.integers(0, 1500),
    keep_ended=st.sampled_from((None, 0.0, 25.0)),
    eager=st.booleans(),
)
@example([visit(0), visit(121, identity=2), visit(60, identity=3)], [0.0, 0.0, 61.0], [], 500, None, True)
def test_any_order_and_any_schedule_give_what_the_offline_computation_gives(
    visits: list[Visit], delays: list[float], steps: list[Step], clock: int, keep_ended: float | None, eager: bool
) -> None:
    delayed = sorted(zip(visits, delays, strict=False), key=lambda pair: pair[0].time + pair[1])
    arriving = [one for one, _ in delayed]
    found = Partition(keep_ended)
    for number, one in enumerate(arriving):
        # The newest event seen, or the furthest that no contact still to come is late for.
        watermark = max(before.time for before in arriving[: number + 1])
        if eager:
            watermark = min(after.time for after in arriving[number:]) + LATENESS
        found.add(one, watermark)
        step = steps[number] if number < len(steps) else IDLE
        if step.freeze:
            found.freeze()
        found.advance(step.clock)
        if step.checkpoint:
            found.checkpoint()
        if step.restart:
            found.restart()
        if step.forget:
            found.forget()
    last = max([clock, *(step.clock for step in steps[: len(arriving)])])
    last = max(last, found.journeys.watermark - NOW)
    found.advance(last)

    offline = Offline(MAP, keep_ended)
    assert found.sums() == offline.transitions(visits, NOW + last)
    expected = offline.journeys(visits, NOW + last)
    for key in found.states:
        row = msgspec.structs.asdict(found.journey(key))
        for name, value in expected[key].items():
            if name in ("effort", "consistency"):
                assert row[name] == pytest.approx(value, abs=1e-9 if name == "effort" else 2e-5), name
            else:
                assert row[name] == value, name


@settings(deadline=None)
@given(visits=visit_lists(), clock=st.integers(0, 1500), tail=st.integers(0, 14))
def test_a_journey_that_is_settled_reads_the_same(visits: list[Visit], clock: int, tail: int) -> None:
    ordered = sorted(visits, key=lambda one: (one.time, one.identity))
    one, other = partition(*ordered, clock=clock), Partition()
    for number, each in enumerate(ordered):
        # Everything before the last few is settled; no journey is settled to its end, which would make it start anew.
        other.add(each, min(each.time, ordered[max(number - tail, 0)].time) + LATENESS)
    other.advance(clock)
    assert one.sums() == other.sums()
    for key, state in one.states.items():
        assert one.journey(key) == other.journey(key), state


@settings(deadline=None)
@given(visits=visit_lists(), clock=st.integers(0, 1500))
def test_work_in_progress_follows_from_the_transitions(visits: list[Visit], clock: int) -> None:
    found = partition(*visits, clock=clock)
    work: dict[str, int] = {}
    for (_, touchpoint, following, segment, _, _), total in found.sums().items():
        if segment:
            continue
        if following != "@gone":
            work[touchpoint] = work.get(touchpoint, 0) - total["n"] + total["resumed"]
        if not following.startswith("@"):
            work[following] = work.get(following, 0) + total["n"]
    del work[""]
    last = [found.journey(key) for key in found.states]
    for touchpoint, here in work.items():
        assert here == sum(one.status == "open" and one.last_touchpoint == touchpoint for one in last)

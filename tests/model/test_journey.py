"""Journeys: placed, ended, stalled, resumed and told."""

from math import isclose

import msgspec
import pytest

from schemas.journey import Goal, Journey
from streams.model.journey import MAX_TAIL
from streams.model.journey_state import JourneyState, pack, unpack
from tests.builders import NOW
from tests.model.journeys import KEY, Partition, at, partition, visit


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

"""The corridor of a tenant from its settled buckets: windows, priority, drift, bounds, and the same after a restart."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.corridor import CorridorMap, Defaults, Duration, Label, Touchpoint, Transition
from schemas.standing import Standing, Way
from schemas.transition import ABANDONED, GOAL, GONE, STALLED, START
from streams.model.corridor_counts import DAY_S, HOUR_S, MOST_TOUCHPOINTS, MOST_WAYS, OTHER, CorridorState
from streams.model.corridor_now import CorridorNow
from streams.model.intervals import share

#: A midnight, UTC.
MIDNIGHT = 1_795_219_200
NOON = MIDNIGHT + DAY_S // 2
LABEL = Label(en="a", es="a")


def touchpoint(name: str, **more: Any) -> Touchpoint:
    return Touchpoint(name=name, label=LABEL, channel="web", stage="during", **more)


MAP = CorridorMap(
    corridor="shop",
    label=LABEL,
    touchpoints=(touchpoint("cart"), touchpoint("pay", goal=True, target_score=90.0), touchpoint("help")),
    defaults=Defaults(minimum_n=10, patience=Duration(60)),
    transitions=(Transition("cart", "pay"), Transition("cart", "help")),
)
HOURLY = {
    (START, "cart"): (10, 0),
    ("cart", "pay"): (6, 0),
    ("cart", ABANDONED): (1, 0),
    ("cart", STALLED): (3, 0),
    ("cart", GONE): (3, 0),
    ("pay", GOAL): (5, 0),
    ("pay", STALLED): (1, 0),
}
#: Mean 0.6 with sum of squares 0.5 x n.
SCORES = {"cart": (10, 6.0, 5.0), "pay": (6, 5.25, 4.7)}


def tenant(state: CorridorState | None = None) -> CorridorNow:
    return CorridorNow("default", MAP, state)


def fed(hours: int, until: int = NOON, **more: Any) -> CorridorNow:
    corridor = tenant()
    for start in range(until - hours * HOUR_S, until, HOUR_S):
        corridor.feed(start, SCORES, HOURLY)
    return corridor


def standings(messages: list[Standing | Way]) -> dict[str, Standing]:
    return {one.touchpoint: one for one in messages if isinstance(one, Standing)}


def ways(messages: list[Standing | Way]) -> dict[tuple[str, str], Way]:
    return {(one.touchpoint, one.following): one for one in messages if isinstance(one, Way)}


def test_a_touchpoint_stands_where_its_last_24_hours_put_it() -> None:
    told = standings(fed(30).tell(NOON, 7))
    cart, pay = told["cart"], told["pay"]
    assert (cart.tenant, cart.at, cart.version, cart.window_s) == ("default", NOON, 7, DAY_S)
    assert (cart.arrivals, cart.scored, cart.score) == (240, 240, 60.0)
    assert (pay.arrivals, pay.target_score, cart.target_score) == (144, 90.0, 80.0)
    assert (cart.shortfall, pay.shortfall) == (20.0, 2.5)
    assert cart.goal_chance == pytest.approx(0.6 * 5 / 6)
    assert pay.goal_chance == pytest.approx(5 / 6, abs=1e-6)
    assert (cart.importance, pay.importance) == (1.0, 1.0)
    assert (cart.priority, pay.priority) == (240 * 20.0, 144 * 2.5)
    assert "help" not in told


def test_intervals_hold_their_values_and_priority_is_as_uncertain_as_the_score() -> None:
    cart = standings(fed(30).tell(NOON, 1))["cart"]
    assert cart.priority_low is not None and cart.priority_high is not None
    assert cart.shortfall_low is not None and cart.shortfall_high is not None
    assert cart.shortfall_low < 20.0 < cart.shortfall_high
    # Importance is certain here, so the priority's interval is that of the shortfall, from 200 draws.
    assert cart.priority_low / 240 == pytest.approx(cart.shortfall_low, abs=0.2 * (20 - cart.shortfall_low))
    assert cart.priority_high / 240 == pytest.approx(cart.shortfall_high, abs=0.2 * (cart.shortfall_high - 20))
    assert cart.goal_chance_low is not None and cart.goal_chance_high is not None
    assert cart.goal_chance_low < 0.5 < cart.goal_chance_high


def test_the_window_is_the_hour_so_far_and_the_23_before() -> None:
    corridor = fed(48)
    assert standings(corridor.tell(NOON, 1))["cart"].arrivals == 240
    told = standings(corridor.tell(NOON + 60, 2))["cart"]
    assert (told.arrivals, told.window_s) == (230, 23 * HOUR_S + 60)
    assert standings(corridor.tell(NOON + 25 * HOUR_S, 3))["cart"].arrivals == 0


def test_below_the_minimum_n_the_score_is_unknown_and_so_is_priority() -> None:
    corridor = tenant()
    corridor.feed(NOON - 10, {"cart": (9, 1.0, 0.5)}, HOURLY)
    cart = standings(corridor.tell(NOON, 1))["cart"]
    assert (cart.scored, cart.score, cart.shortfall, cart.priority) == (9, None, None, None)
    assert cart.importance == 1.0


def test_without_a_goal_importance_is_unknown() -> None:
    corridor = tenant()
    corridor.feed(NOON - 10, SCORES, {(START, "cart"): (4, 0), ("cart", STALLED): (4, 0)})
    cart = standings(corridor.tell(NOON, 1))["cart"]
    assert (cart.goal_chance, cart.importance, cart.priority) == (0.0, None, None)


def test_ways_are_told_once_an_hour_with_their_share() -> None:
    corridor = fed(30)
    told = ways(corridor.tell(NOON, 1))
    assert set(told) == {("cart", "pay"), ("cart", "help")}
    taken = told["cart", "pay"]
    assert (taken.n, taken.departures, taken.share, taken.declared, taken.drift) == (144, 240, 0.6, True, "")
    assert (taken.first_seen, taken.last_seen) == (NOON - 30 * HOUR_S, NOON - HOUR_S)
    assert taken.usual_share == 0.6
    never = told["cart", "help"]
    assert (never.n, never.share, never.declared, never.last_seen) == (0, 0.0, True, None)
    later = ways(corridor.tell(NOON + 60, 2))["cart", "pay"]
    assert (later.n, later.departures, later.window_s) == (138, 230, 23 * HOUR_S + 60)
    wilson = share(230, 138)
    assert wilson is not None
    assert (later.share, later.share_low, later.share_high) == pytest.approx(wilson, abs=1e-6)
    assert ways(corridor.tell(NOON + 120, 3)) == {}


def test_a_way_that_the_map_lacks_is_told_when_first_seen() -> None:
    corridor = fed(2)
    corridor.tell(NOON, 1)
    corridor.tell(NOON + 60, 2)
    corridor.feed(NOON + 60, {}, {("pay", "help"): (1, 1)})
    (found,) = ways(corridor.tell(NOON + 120, 3)).values()
    assert (found.touchpoint, found.following, found.declared, found.drift) == ("pay", "help", False, "")


def test_a_map_that_declares_no_way_allows_all() -> None:
    free = msgspec.structs.replace(MAP, transitions=())
    corridor = CorridorNow("default", free)
    corridor.feed(NOON - 10, {}, HOURLY)
    assert ways(corridor.tell(NOON, 1))["cart", "pay"].declared


def test_a_way_taken_now_and_never_in_the_days_before_is_new_until_it_is_usual() -> None:
    corridor = fed(72)
    corridor.feed(NOON, {}, {("cart", "help"): (1, 0)})
    # One in 231: with 480 departures before, two of it might well have been missed.
    assert ways(corridor.tell(NOON + 60, 1))["cart", "help"].drift == ""
    corridor.feed(NOON + 60, {}, {("cart", "help"): (19, 0)})
    assert ways(corridor.tell(NOON + 120, 2))["cart", "help"].drift == "new"
    for hour in range(1, 25):
        corridor.feed(NOON + hour * HOUR_S, SCORES, HOURLY)
    assert ways(corridor.tell(NOON + 24 * HOUR_S + 60, 3))["cart", "help"].drift == ""


def test_a_way_no_longer_taken_while_others_leave_is_vanished() -> None:
    corridor = fed(72)
    without = {way: taken for way, taken in HOURLY.items() if way != ("cart", "pay")}
    for hour in range(24):
        corridor.feed(NOON + hour * HOUR_S, {}, without)
        if hour in (5, 22):
            assert ways(corridor.tell(NOON + hour * HOUR_S + 60, hour))["cart", "pay"].drift == ""
    gone = ways(corridor.tell(NOON + 24 * HOUR_S, 99))["cart", "pay"]
    assert (gone.drift, gone.n, gone.usual_share) == ("vanished", 0, pytest.approx(0.6))


def test_silence_of_all_is_no_drift() -> None:
    corridor = fed(72)
    assert {way.drift for way in ways(corridor.tell(NOON + 2 * DAY_S, 1)).values()} == {""}


def test_nothing_is_new_within_the_first_day() -> None:
    corridor = fed(40)
    corridor.feed(NOON, {}, {("cart", "help"): (50, 0)})
    assert ways(corridor.tell(NOON + 60, 1))["cart", "help"].drift == ""


def test_what_has_not_been_seen_for_eight_days_is_forgotten() -> None:
    corridor = fed(6)
    known = ways(corridor.tell(MIDNIGHT + 9 * DAY_S - HOUR_S, 1))["cart", "pay"]
    assert (known.n, known.usual_share, known.last_seen) == (0, 0.6, NOON - HOUR_S)
    assert corridor.tell(MIDNIGHT + 9 * DAY_S, 2) == []
    assert (corridor.state.hours, corridor.state.days, corridor.state.ways) == ([], [], {})


def test_the_draws_depend_on_tenant_and_minute_alone() -> None:
    def low(name: str, now: int) -> float | None:
        corridor = CorridorNow(name, MAP)
        corridor.feed(NOON - 10, SCORES, HOURLY)
        return standings(corridor.tell(now, 1))["cart"].goal_chance_low

    assert low("north", NOON) == low("north", NOON)
    assert len({low("north", NOON), low("south", NOON), low("north", NOON + 60)}) == 3


def test_the_order_within_a_bucket_and_other_tenants_change_nothing() -> None:
    turned = tenant()
    plain = tenant()
    for start in range(NOON - 5 * HOUR_S, NOON, HOUR_S):
        plain.feed(start, SCORES, HOURLY)
        turned.feed(start, dict(reversed(SCORES.items())), dict(reversed(HOURLY.items())))
    assert msgspec.msgpack.encode(turned.state) == msgspec.msgpack.encode(plain.state)
    assert turned.tell(NOON, 1) == plain.tell(NOON, 1)


TAKEN = st.dictionaries(
    st.tuples(st.sampled_from((START, "cart", "pay", "odd")), st.sampled_from(("cart", "pay", "odd", GOAL, STALLED))),
    st.tuples(st.integers(1, 40), st.integers(0, 1)),
    max_size=6,
)
STEPS = st.lists(st.tuples(st.sampled_from((10, 600, HOUR_S, 5 * HOUR_S, DAY_S)), TAKEN, st.booleans()), max_size=25)


@settings(deadline=None)
@given(STEPS)
def test_a_restart_at_any_point_changes_nothing(steps: list[tuple[int, Any, bool]]) -> None:
    one, other = tenant(), tenant()
    start = NOON
    for version, (gap, taken, restarts) in enumerate(steps):
        start += gap
        now = (start + 10) // 60 * 60 + 60
        for corridor in (one, other):
            corridor.feed(start, {"cart": (1, 0.5, 0.25)}, taken)
        assert one.tell(now, version) == other.tell(now, version)
        start = now
        if restarts:
            stored = msgspec.json.encode(other.state)
            other = tenant(msgspec.json.decode(stored, type=CorridorState))
    assert msgspec.json.encode(one.state) == msgspec.json.encode(other.state)


@settings(deadline=None)
@given(STEPS)
def test_numbers_stay_within_their_scales_and_intervals(steps: list[tuple[int, Any, bool]]) -> None:
    corridor = tenant()
    start = NOON
    for gap, taken, _ in steps:
        start += gap
        corridor.feed(start, {"cart": (20, 10.0, 5.5)}, taken)
    for message in corridor.tell(start // 60 * 60 + 60, 1):
        for name in message.__struct_fields__:
            low, high = getattr(message, f"{name}_low", None), getattr(message, f"{name}_high", None)
            if low is not None and high is not None:
                assert 0.0 <= low <= getattr(message, name) <= high
        assert message == msgspec.json.decode(msgspec.json.encode(message), type=Standing | Way)


def test_beyond_the_bounds_contacts_are_counted_without_their_name() -> None:
    corridor = tenant()
    crowd = {(START, f"x{i:03}"): (1, 0) for i in range(MOST_TOUCHPOINTS + 50)}
    corridor.feed(NOON - 20, {}, crowd)
    corridor.feed(
        NOON - 10, {"y": (30, 1.0, 0.5)}, {("x000", "y"): (1, 0), ("y", "cart"): (1, 0), ("cart", GOAL): (1, 0)}
    )
    assert corridor.state.folded == 52
    told = standings(corridor.tell(NOON, 1))
    assert len(told) == MOST_TOUCHPOINTS + 1
    assert OTHER not in told
    # The map's own touchpoint has its place, and the way through the crowd still reaches the goal.
    assert told["x000"].goal_chance == pytest.approx(1 / 1, abs=1e-6)


def test_beyond_the_bounds_ways_lead_through_other_and_arrivals_still_add_up() -> None:
    corridor = tenant()
    names = [f"x{i:02}" for i in range(60)]
    square = {(a, b): (1, 1) for a in names for b in names}
    corridor.feed(NOON - 10, {}, square)
    told = standings(corridor.tell(NOON, 1))
    assert sum(one.arrivals for one in told.values()) == len(square)
    assert sum(resumed for _, resumed in corridor.state.hours[0].ways.values()) == len(square)
    assert len(corridor.state.ways) <= MOST_WAYS + 2 * len(names)
    assert corridor.state.folded == len(square) - MOST_WAYS
    assert len(msgspec.msgpack.encode(corridor.state)) < 100_000

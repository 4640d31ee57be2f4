"""The views of journeys and transitions: a story of five journeys, through the model into ClickHouse, told by hand.

    s      journey       touchpoint  outcome    what it does
    0      ana           shop
    5      ana           shop                   comes back: a repeat
    20     ana           pay                    promise kept, exactly
    50     ana           home                   goal; promise more than kept
    70     ana           help                   goes on after the goal; stalls at 170, is gone at 270
    2      ben           shop
    12     ben           pay         failure
    15     ben           pay         abandoned  leaves
    4      cleo          shop
    150    cleo          shop        pending    waits still: patience of the shop is 200 s
    10     dan           shop
    30     dan           pay         failure    stalls at 90
    110    dan           pay                    resumed, and recovered within 90 s; arrives after the contact at home
    130    dan           home        partial    goal; promise broken
    150    dan           help                   by the company
    160    dan           help                   stalls at 260
    8      eva           shop                   not known where she lives yet
    95     eva           pay
    140    eva           help        failure    stalls at 240

The clock stops at 300 s. Ana and Cleo live in the north, the others in the south.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import exp, log, sqrt
from statistics import fmean, pstdev
from typing import Any

import pytest
from msgspec.structs import replace

from command.corridor_read import read_corridor
from console.corridor import OpenIncident
from console.figures import Figures
from schemas import topics
from schemas.corridor import CorridorMap, Defaults, Duration, Segment, Touchpoint
from schemas.errors import UsageError
from schemas.incident import Cause, Incident
from sinks.clickhouse import ClickHouse
from streams.model.ingest import Ingest
from tests.builders import LABEL, NOW, event, record
from tests.sinks.rows import lines

#: A minute before the hour.
START = NOW - 60
LATENESS = 200.0
CLOCK = 300
MAP = CorridorMap(
    "test",
    LABEL,
    (
        Touchpoint("shop", LABEL, "web", "before", patience=Duration(200)),
        Touchpoint("pay", LABEL, "web", "during", patience=Duration(60)),
        Touchpoint("home", LABEL, "delivery", "during", goal=True),
        Touchpoint("help", LABEL, "support", "after"),
    ),
    Defaults(patience=Duration(100), recovery=Duration(90), allowed_lateness=Duration(LATENESS)),
    (Segment("region", LABEL), Segment("carrier", LABEL)),
)
NORTH, SOUTH = {"region": "north"}, {"region": "south"}


def promise(actual: float) -> dict[str, float]:
    return {"expected": 10, "actual": actual, "tolerance": 10}


#: In the order of arrival: seconds, journey, touchpoint, outcome, segments, what else the data say.
STORY: tuple[tuple[int, str, str, str, dict[str, str], dict[str, Any]], ...] = (
    (0, "ana", "shop", "success", NORTH, {}),
    (2, "ben", "shop", "success", SOUTH, {}),
    (4, "cleo", "shop", "success", NORTH, {}),
    (5, "ana", "shop", "success", NORTH, {}),
    (8, "eva", "shop", "success", {}, {}),
    (10, "dan", "shop", "success", SOUTH, {}),
    (12, "ben", "pay", "failure", SOUTH, {}),
    (15, "ben", "pay", "abandoned", SOUTH, {}),
    (20, "ana", "pay", "success", NORTH, {"expectation": promise(10)}),
    (30, "dan", "pay", "failure", SOUTH, {}),
    (50, "ana", "home", "success", NORTH, {"expectation": promise(0)}),
    (70, "ana", "help", "success", NORTH | {"carrier": "swift"}, {}),
    (95, "eva", "pay", "success", SOUTH, {}),
    (130, "dan", "home", "partial", SOUTH, {"expectation": promise(15)}),
    (110, "dan", "pay", "success", SOUTH, {}),
    (140, "eva", "help", "failure", SOUTH, {}),
    (150, "cleo", "shop", "pending", NORTH, {}),
    (150, "dan", "help", "success", SOUTH, {"initiator": "company"}),
    (160, "dan", "help", "success", SOUTH, {}),
)
#: Experience of the contacts with a promise: outcome and promise weigh the same.
X_ANA_PAY = (1 + 0.7) / 2
X_ANA_HOME = (1 + 0.7 + 0.3 * (1 - exp(-1))) / 2
X_DAN_HOME = (0.5 + 0.7 * exp(-0.5)) / 2
X_ANA = (1, 1, X_ANA_PAY, X_ANA_HOME, 1)
X_DAN = (1, 0, 1, X_DAN_HOME, 1, 1)

#: From, to: how many, how many of them resumed, waits in seconds.
TRANSITIONS: dict[tuple[str, str], tuple[int, int, list[int]]] = {
    ("", "shop"): (5, 0, []),
    ("shop", "shop"): (2, 0, [5, 146]),
    ("shop", "pay"): (4, 0, [10, 20, 15, 87]),
    ("pay", "pay"): (2, 1, [3, 80]),
    ("pay", "home"): (2, 0, [30, 20]),
    ("pay", "help"): (1, 0, [45]),
    ("pay", "@abandoned"): (1, 0, []),
    ("pay", "@stalled"): (1, 0, []),
    ("home", "@goal"): (2, 0, []),
    ("home", "help"): (2, 2, [20, 20]),
    ("help", "help"): (1, 0, [10]),
    ("help", "@stalled"): (3, 0, []),
    ("help", "@gone"): (1, 0, []),
}


def published(batches: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    """Table and message of everything the model publishes, with a checkpoint after each batch."""
    state = Ingest(0, MAP, lambda _: 0)
    records = [
        record(
            offset,
            event(
                START + at,
                id=f"event-{offset}",
                subject=who,
                data={"touchpoint": touchpoint, "outcome": outcome, "segment": segment, **more},
            ),
            START + 160 + offset,
        )
        for offset, (at, who, touchpoint, outcome, segment, more) in enumerate(STORY)
    ]
    arrived = START + 160 + len(records) - 1
    for size in batches:
        batch, records = records[:size], records[size:]
        outcome = state.apply(topics.EVENTS.name, batch)
        assert outcome.reasons == {}
        yield from _checkpoint(state, None)
    assert records == []
    yield from _checkpoint(state, arrived + CLOCK - 160)


def _checkpoint(state: Ingest, now: float | None) -> Iterator[tuple[str, bytes]]:
    state.advance(now)
    snapshot = state.snapshot()
    yield from (("experience_slices", value) for _, _, value in snapshot.slices)
    for message in snapshot.journeys:
        value = message["value"]
        assert isinstance(value, bytes)
        yield "journeys", value


@pytest.fixture(params=[[len(STORY)], [1] * len(STORY), [14, 1, 4]], ids=["at once", "one by one", "in three parts"])
def told(request: pytest.FixtureRequest, store: ClickHouse) -> ClickHouse:
    """ClickHouse with the story; every version of every message, the oldest last."""
    store.command("TRUNCATE TABLE corredor.journeys")
    rows = defaultdict(list)
    for name, line in published(request.param):
        rows[name].append(line)
    for name, versions in rows.items():
        store.insert(name, b"\n".join(reversed(versions)))
    return store


def table(store: ClickHouse, columns: str, view: str, where: str = "1") -> set[tuple[Any, ...]]:
    rows = store.rows(f"SELECT {columns} FROM corredor.{view} WHERE {where}")
    found = set(rows)
    assert len(found) == len(rows)
    return found


def test_transitions_are_counted_once_with_their_waits(told: ClickHouse) -> None:
    columns = "touchpoint, following, n, resumed, round(wait_mean_ms, 6)"
    assert table(told, columns, "corridor_transitions", "segment = ''") == {
        (*ends, n, resumed, round(1000 * fmean(waits), 6) if waits else None)
        for ends, (n, resumed, waits) in TRANSITIONS.items()
    }


def test_median_and_p95_of_a_wait_are_within_two_percent(told: ClickHouse) -> None:
    rows = told.rows(
        "SELECT touchpoint, following, wait_median_ms, wait_p95_ms FROM corredor.corridor_transitions "
        "WHERE segment = ''"
    )
    for origin, following, median, p95 in rows:
        waits = sorted(1000 * wait for wait in TRANSITIONS[origin, following][2])
        if not waits:
            assert (median, p95) == (None, None)
            continue
        assert median == pytest.approx(waits[(len(waits) + 1) // 2 - 1], rel=0.0201)
        assert p95 == pytest.approx(waits[-1], rel=0.0201)


def test_each_wait_stands_in_the_histogram(told: ClickHouse) -> None:
    rows = told.rows(
        "SELECT touchpoint, following, wait_ms, n FROM corredor.transition_waits WHERE segment = '' ORDER BY wait_ms"
    )
    found = defaultdict(list)
    for origin, following, wait, n in rows:
        found[origin, following] += [wait] * n
    expected = {ends: sorted(1000 * wait for wait in waits) for ends, (_, _, waits) in TRANSITIONS.items() if waits}
    assert found == {ends: pytest.approx(waits, rel=0.0201) for ends, waits in expected.items()}


def test_a_share_is_the_part_of_all_that_followed_a_contact(told: ClickHouse) -> None:
    followed = {"": 5, "shop": 6, "pay": 7, "home": 4, "help": 4}
    assert table(told, "touchpoint, following, share", "corridor_transitions", "segment = ''") == {
        (origin, following, n / followed[origin]) for (origin, following), (n, _, _) in TRANSITIONS.items()
    }
    sums = told.rows(
        "SELECT DISTINCT round(sum(share), 9) FROM corredor.corridor_transitions WHERE following != '@gone' "
        "GROUP BY touchpoint, segment, segment_value"
    )
    assert sums == [(1.0,)]


def test_a_transition_knows_its_first_and_last_time(told: ClickHouse) -> None:
    where = "segment = '' AND touchpoint = 'shop' AND following = 'pay'"
    ((first, last),) = table(told, "toInt64(first_at), toInt64(last_at)", "corridor_transitions", where)
    assert (first, last) == (START + 10, START + 90)


def test_what_was_taken_back_leaves_no_row(told: ClickHouse) -> None:
    rows = table(told, "toInt64(bucket), n, wait_ms_sum", "transitions", "segment = '' AND following = 'home'")
    assert rows == {(int(START) + 50, 1, 30_000), (int(START) + 130, 1, 20_000)}
    # Dan stalled for 20 s, not from 90 until his late contact was known.
    assert table(told, "touchpoint, toInt64(bucket)", "transitions", "segment = '' AND following = '@gone'") == {
        ("help", int(START) + 270)
    }


FLOW = "touchpoint, arrivals, continued, goals, abandoned, stalled, in_progress, continuation"


def test_the_flow_of_a_touchpoint_adds_up(told: ClickHouse) -> None:
    assert table(told, FLOW, "touchpoint_flow", "segment = ''") == {
        ("shop", 7, 6, 0, 0, 0, 1, 1.0),
        ("pay", 6, 5, 0, 1, 1, 0, 4 / 6),
        ("home", 2, 2, 2, 0, 0, 0, 1.0),
        ("help", 4, 1, 0, 0, 3, 0, 1 / 4),
    }
    open_now = dict(told.rows("SELECT last_touchpoint, countIf(status = 'open') FROM corredor.journeys_now GROUP BY 1"))
    flow = dict(told.rows("SELECT touchpoint, in_progress FROM corredor.touchpoint_flow WHERE segment = ''"))
    assert {name: n for name, n in flow.items() if n} == {name: n for name, n in open_now.items() if n} == {"shop": 1}


def test_the_flow_of_a_segment_has_no_work_in_progress(told: ClickHouse) -> None:
    """Eva went on from the shop as a customer of the south, and did not come there as one."""
    assert table(told, FLOW, "touchpoint_flow", "segment = 'region' AND segment_value = 'south'") == {
        ("shop", 2, 3, 0, 0, 0, None, 1.0),
        ("pay", 5, 4, 0, 1, 1, None, 3 / 5),
        ("home", 1, 1, 1, 0, 0, None, 1.0),
        ("help", 3, 1, 0, 0, 2, None, 1 / 3),
    }


def test_continuation_is_unknown_where_only_resumed_journeys_left(told: ClickHouse) -> None:
    """Ana's parcel had no carrier when she reached her goal, and has one when she goes on."""
    assert table(told, FLOW, "touchpoint_flow", "segment = 'carrier'") == {
        ("home", 0, 1, 0, 0, 0, None, None),
        ("help", 1, 0, 0, 0, 1, None, 0.0),
    }


def test_each_journey_is_there_once_as_it_is_now(told: ClickHouse) -> None:
    columns = "journey, status, first_touchpoint, last_touchpoint, contacts, repeats, channel_switches, elapsed_s"
    assert table(told, columns, "journeys_now") == {
        ("ana", "reached", "shop", "help", 5, 1, 2, 70.0),
        ("ben", "abandoned", "shop", "pay", 3, 1, 0, 13.0),
        ("cleo", "open", "shop", "shop", 2, 1, 0, 146.0),
        ("dan", "reached", "shop", "help", 6, 2, 2, 150.0),
        ("eva", "stalled", "shop", "help", 3, 0, 1, 132.0),
    }


def test_memories_are_those_of_the_journeys(told: ClickHouse) -> None:
    columns = "status, memory_band, last_touchpoint, journeys, memory, contacts"
    assert table(told, columns, "journey_memory") == {
        ("reached", "positive", "help", 2, 1.0, 5.5),
        ("abandoned", "negative", "pay", 1, 0.0, 3.0),
        ("open", "positive", "shop", 1, 1.0, 2.0),
        ("stalled", "negative", "help", 1, 0.0, 3.0),
    }
    ((score, effort, consistency),) = table(told, "score, effort, consistency", "journey_memory", "status = 'reached'")
    assert score == pytest.approx(100 * fmean([fmean(X_ANA), fmean(X_DAN)]), abs=1e-6)
    # Contacts, channel switches, repeats.
    assert effort == pytest.approx((log(6) + log(3) + log(2) + log(7) + log(3) + log(3)) / 2, abs=1e-9)
    assert consistency == pytest.approx(1 - (pstdev(X_ANA) + pstdev(X_DAN)) / 2 / 0.5, abs=1e-4)
    # Cleo has one scored contact: no consistency. Ben's x are 1, 0, 0.
    assert table(
        told, "last_touchpoint, round(consistency, 4)", "journey_memory", "status IN ('open', 'abandoned')"
    ) == {
        ("shop", None),
        ("pay", round(1 - sqrt(2 / 9) / 0.5, 4)),
    }


def test_recovery_counts_negative_contacts_and_those_healed(told: ClickHouse) -> None:
    columns = "last_touchpoint, hurt_journeys, negative_contacts, recovered_contacts, recovered_share, still_hurt"
    assert table(told, columns, "recovery") == {
        ("help", 2, 2, 1, 0.5, 1),
        ("pay", 1, 2, 0, 0.0, 1),
        ("shop", 0, 0, 0, None, 0),
    }


def test_accompaniment_is_the_longest_time_left_alone(told: ClickHouse) -> None:
    columns = "status, last_touchpoint, journeys, mean_unaccompanied_s, median_unaccompanied_s, p95_unaccompanied_s"
    assert table(told, columns, "accompaniment") == {
        ("reached", "help", 2, 105.0, 105.0, 136.5),
        ("abandoned", "pay", 1, 13.0, 13.0, 13.0),
        ("open", "shop", 1, 146.0, 146.0, 146.0),
        ("stalled", "help", 1, 132.0, 132.0, 132.0),
    }


def test_the_gap_is_that_of_the_promises_of_an_hour(told: ClickHouse) -> None:
    before, after = int(START) - 3540, int(NOW)
    columns = "touchpoint, segment, segment_value, toInt64(hour), promises, broken, broken_share, gap_mean"
    assert table(told, columns, "promise_gap") == {
        ("pay", "", "", before, 1, 0, 0.0, 0.0),
        ("pay", "region", "north", before, 1, 0, 0.0, 0.0),
        ("home", "", "", before, 1, 0, 0.0, 1.0),
        ("home", "region", "north", before, 1, 0, 0.0, 1.0),
        ("home", "", "", after, 1, 1, 1.0, -0.5),
        ("home", "region", "south", after, 1, 1, 1.0, -0.5),
    }


def test_corredor_status_reads_the_same_corridor(told: ClickHouse) -> None:
    corridor = read_corridor(told, MAP, Figures(), None)
    assert (corridor.tenant, corridor.tenants, corridor.at) == ("default", ["default"], START + 280)
    assert {(place.touchpoint, place.arrivals, place.in_progress, place.change) for place in corridor.places} == {
        ("shop", 7, 1, 1),
        ("pay", 6, 0, 0),
        ("home", 2, 0, 0),
        ("help", 4, 0, 0),
    }
    between = {ends: fact for ends, fact in TRANSITIONS.items() if ends[0] and not ends[1].startswith("@")}
    assert {(way.touchpoint, way.following): way.n for way in corridor.ways} == {
        ends: n for ends, (n, _, _) in between.items()
    }
    waiting = sum(sum(waits) for _, _, waits in between.values())
    for way in corridor.ways:
        waits = sorted(1000 * wait for wait in between[way.touchpoint, way.following][2])
        assert way.wait_median_ms == pytest.approx(waits[(len(waits) + 1) // 2 - 1], rel=0.0201)
        assert way.wait_p95_ms == pytest.approx(waits[-1], rel=0.0201)
        assert way.waiting_share == pytest.approx(sum(waits) / 1000 / waiting)
    with pytest.raises(UsageError, match="no journeys of it; there are default"):
        read_corridor(told, MAP, Figures(), "it's another")


def test_corredor_status_reads_the_incidents_that_are_open(store: ClickHouse) -> None:
    store.command("TRUNCATE TABLE corredor.incidents")
    one = Incident(
        id="1",
        kind="blockage",
        measure="stopped",
        tenant="default",
        touchpoint="shop",
        following="pay",
        status="open",
        severity="page",
        since=int(NOW),
        detected_at=int(NOW) + 20,
        updated_at=int(NOW) + 60,
        before=0.1,
        now=0.4,
        unit="share",
        depth=0.3,
        n=50,
        bad=20,
        hurt=15,
        causes=(Cause("region", "south", 0.9, 0.2, 0.1, 0.1, 0.7, 30),),
        version=1,
    )
    over = replace(one, id="2", status="resolved")
    store.insert("incidents", lines(one, over, replace(one, id="3", tenant="it's another")))
    corridor = read_corridor(store, MAP, Figures(), None)
    assert corridor.incidents == [
        OpenIncident("blockage", "page", "shop", "pay", "", "", int(NOW), 15, first_cause="region=south", id="1")
    ]
    store.command("TRUNCATE TABLE corredor.incidents")

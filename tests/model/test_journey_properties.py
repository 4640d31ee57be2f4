"""Whatever the order and the schedule, journeys equal the offline answer."""

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.builders import NOW
from tests.model.journeys import LATENESS, MAP, Partition, partition, visit
from tests.offline_journeys import Offline, Visit


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

"""The shipped mappings over the real data: golden counts, and what must hold of every event."""

from collections import Counter
from pathlib import Path

import pytest

from schemas.event import TouchpointEvent
from schemas.rejection import Reason
from sources.mapping import load_mapping
from sources.replay import Tally, read_events

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.shared

OLIST = {
    ("web.purchase", "success"): 10458,
    ("payment.approval", "success"): 10410,
    ("seller.handover", "success"): 9857,
    ("seller.handover", "failure"): 259,
    ("seller.handover", "abandoned"): 139,
    ("seller.handover", "pending"): 1,
    ("delivery.handover", "success"): 9430,
    ("delivery.handover", "failure"): 1138,
    ("delivery.handover", "abandoned"): 192,
    ("delivery.handover", "pending"): 1,
    ("survey.sent", "pending"): 10546,
    ("survey.answer", "success"): 10546,
}
SUPPORT = {
    ("ticket.new", "success"): 5580,
    ("ticket.new", "pending"): 7931,
    ("ticket.active", "pending"): 18728,
    ("ticket.awaiting", "pending"): 8284,
    ("ticket.resolved", "success"): 9579,
    ("ticket.closed", "success"): 9236,
}


@pytest.fixture(scope="module", params=["olist", "support"])
def replayed(request: pytest.FixtureRequest) -> tuple[str, list[TouchpointEvent], Tally]:
    tally = Tally()
    return request.param, list(read_events([SHARED / request.param], load_mapping(request.param), tally=tally)), tally


def test_the_counts_by_touchpoint_and_outcome_are_as_recorded(
    replayed: tuple[str, list[TouchpointEvent], Tally],
) -> None:
    name, events, tally = replayed
    counts = Counter((event.data.touchpoint, event.data.outcome) for event in events)
    assert counts == (OLIST if name == "olist" else SUPPORT)
    assert tally.events == len(events)
    # 16 rows of the service desk's log name no caller.
    assert tally.skipped == ({} if name == "olist" else {Reason.MISSING: 16})


def test_ids_are_unique_and_times_in_order(replayed: tuple[str, list[TouchpointEvent], Tally]) -> None:
    _, events, _ = replayed
    assert len({(event.source, event.id) for event in events}) == len(events)
    times = [event.time for event in events]
    assert times == sorted(times)


def test_a_journey_belongs_to_one_customer(replayed: tuple[str, list[TouchpointEvent], Tally]) -> None:
    name, events, _ = replayed
    pairs = {(event.data.journey, event.subject) for event in events}
    journeys = {journey for journey, _ in pairs}
    # In the service desk's log three tickets change their caller.
    assert len(pairs) - len(journeys) == (0 if name == "olist" else 3)


def test_nothing_before_the_answer_knows_the_review(replayed: tuple[str, list[TouchpointEvent], Tally]) -> None:
    name, events, _ = replayed
    rated = {event.data.touchpoint for event in events if event.data.rating is not None}
    assert rated == ({"survey.answer"} if name == "olist" else set())
    sent = [event.data for event in events if event.data.touchpoint == "survey.sent"]
    assert all(data.outcome == "pending" and data.expectation is None and data.value is None for data in sent)


def test_equal_times_of_a_ticket_keep_the_order_of_the_file(
    replayed: tuple[str, list[TouchpointEvent], Tally],
) -> None:
    name, events, _ = replayed
    if name != "support":
        return
    changes: dict[str, list[int]] = {}
    for event in events:
        changes.setdefault(event.data.journey or "", []).append(int(event.id.split(":")[1]))
    # Five tickets count their changes anew in the log itself.
    assert sum(counts != sorted(counts) for counts in changes.values()) == 5


def test_the_service_levels_are_the_files(replayed: tuple[str, list[TouchpointEvent], Tally]) -> None:
    name, events, _ = replayed
    if name != "support":
        return
    promises = Counter(
        (event.data.touchpoint, event.data.expectation.actual) for event in events if event.data.expectation is not None
    )
    assert promises == {("ticket.closed", 1.0): 5509, ("ticket.closed", 0.0): 3727}

"""How far the lanes have come decides what the score agent lets go."""

import pytest

from schemas.slice import Progress
from streams.model.score_partition import ScorePartition
from tests.model.test_windows_edges import DAY, a_slice

LATENESS = 60.0
WEEK = 7 * 86_400


def partition() -> ScorePartition:
    owned = ScorePartition(1, ["events/0", "events/1"])
    for origin in ("events/0", "events/1"):
        owned.apply(Progress(origin, -1, None))
    return owned


def test_a_lane_that_has_said_nothing_holds_everything_back() -> None:
    owned = ScorePartition(1, ["events/0", "events/1"])
    owned.apply(Progress("events/0", 5, float(DAY)))
    assert owned.lanes.watermark() == 0.0


def test_an_idle_lane_holds_no_row_back() -> None:
    owned = partition()
    owned.apply(Progress("events/0", 5, float(DAY)))
    assert owned.lanes.watermark() == DAY


def test_records_that_waited_unread_in_an_idle_lane_still_count() -> None:
    # Lane 1 said that it was idle, then both got records, and lane 0 came first by far.
    owned = partition()
    owned.apply(a_slice(DAY + WEEK, origin="events/0"))
    owned.apply(Progress("events/0", 5, float(DAY + WEEK)))
    owned.forget(LATENESS)
    owned.apply(a_slice(DAY, origin="events/1"))
    assert owned.windows.too_late == 0


@pytest.mark.parametrize("mark", [None, DAY + WEEK + 10.0])
def test_what_no_lane_can_change_any_more_is_let_go(mark: float | None) -> None:
    owned = partition()
    owned.apply(a_slice(DAY, origin="events/0"))
    owned.apply(Progress("events/0", 5, float(DAY + WEEK)))
    owned.apply(Progress("events/1", 5, mark))
    owned.forget(LATENESS)
    owned.apply(a_slice(DAY, origin="events/1"))
    assert owned.windows.too_late == 1


def test_all_idle_lanes_let_nothing_more_go() -> None:
    owned = partition()
    owned.apply(Progress("events/0", 5, float(DAY)))
    owned.apply(Progress("events/0", 5, None))
    owned.apply(Progress("events/1", -1, None))
    owned.forget(LATENESS)
    owned.apply(a_slice(DAY - 10))
    assert owned.windows.too_late == 0

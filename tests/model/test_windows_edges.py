"""Window scores at their edges: boundaries, unknown values, memory, sums beyond what a double holds."""

from typing import Any

import pytest

from schemas.score import WINDOWS, Score
from schemas.slice import Slice, Sums
from streams.model.scores import ScopeKey, score
from streams.model.windows import Windows

#: A day's start, so that it is a multiple of every hop.
DAY = 86_400 * 19_000
SCOPE = ScopeKey("default", "touchpoint", "checkout", "", "")


def a_slice(bucket: int = DAY, version: int = 1, n: int = 1, **fields: Any) -> Slice:
    cell = {"tenant": "default", "touchpoint": "checkout", "channel": "web", "stage": "during", "actor": "buyer"}
    rest = {"contact": "direct", "segment": "", "segment_value": "", "origin": "events/0", "part": 0}
    return Slice(bucket=bucket, version=version, n=n, **{**cell, **rest, **fields})


def rows_of(windows: Windows, window: str, scope: str = "touchpoint") -> dict[int, Score]:
    return {row.at: row for row in windows.take_dirty() if row.window == window and row.scope == scope}


def filled(*slices: Slice, minimum_n: int = 1) -> Windows:
    windows = Windows(version=0, minimum_n=minimum_n)
    for item in slices:
        windows.apply(item)
    return windows


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.name)
def test_an_event_on_the_boundary_belongs_to_the_later_row(window: Any) -> None:
    windows = filled(a_slice(DAY - 10), a_slice(DAY))
    assert {at: row.n for at, row in rows_of(windows, window.name).items()} == {DAY: 1, DAY + window.hop_s: 2}


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.name)
def test_a_bucket_leaves_the_window_exactly_one_length_later(window: Any) -> None:
    last_hop = DAY + window.length_s - window.hop_s
    windows = filled(a_slice(DAY), a_slice(last_hop), a_slice(last_hop + window.hop_s))
    assert {at: row.n for at, row in rows_of(windows, window.name).items()} == {
        DAY + window.hop_s: 1,
        DAY + window.length_s: 2,
        DAY + window.length_s + window.hop_s: 2,
    }


def test_a_late_slice_corrects_the_rows_that_exist_and_adds_its_own() -> None:
    windows = filled(a_slice(DAY + 60), a_slice(DAY + 290), a_slice(DAY + 400))
    windows.take_dirty()
    windows.apply(a_slice(DAY))
    assert {at: row.n for at, row in rows_of(windows, "5m").items()} == {DAY + 10: 1, DAY + 70: 2, DAY + 300: 3}


def test_rows_beyond_the_settled_time_wait_but_for_the_newest() -> None:
    windows = filled(a_slice(DAY), a_slice(DAY + 50), a_slice(DAY + 100), a_slice(DAY + 150))
    taken = {row.at for row in windows.take_dirty(DAY + 60) if row.scope == "corridor" and row.window == "5m"}
    assert taken == {DAY + 10, DAY + 60, DAY + 160}
    windows.apply(a_slice(DAY + 20))
    taken = {row.at: row.n for row in windows.take_dirty(DAY + 110) if row.scope == "corridor" and row.window == "5m"}
    assert taken == {DAY + 30: 2, DAY + 60: 3, DAY + 110: 4, DAY + 160: 5}
    assert not [row for row in windows.take_dirty() if row.window == "5m"]


def test_a_segment_has_rows_only_where_a_metric_is_known() -> None:
    segment = {"segment": "state", "segment_value": "SP"}
    windows = filled(a_slice(scored=1, **segment), a_slice(DAY + 400, wait_n=2, n=2, **segment), minimum_n=2)
    assert {row.at for row in windows.take_dirty() if row.scope == "corridor" and row.window == "5m"} == {DAY + 410}


def test_a_slice_counts_for_touchpoint_channel_stage_and_corridor_of_its_segment_only() -> None:
    windows = filled(a_slice(segment="state", segment_value="SP", scored=1))
    keys = {(row.tenant, row.scope, row.name, row.segment, row.segment_value) for row in windows.take_dirty()}
    assert keys == {
        ("default", "touchpoint", "checkout", "state", "SP"),
        ("default", "channel", "web", "state", "SP"),
        ("default", "stage", "during", "state", "SP"),
        ("default", "corridor", "", "state", "SP"),
    }


def test_actors_contacts_origins_and_parts_add_up_and_versions_replace() -> None:
    windows = filled(
        a_slice(version=5, n=2),
        a_slice(version=9, n=3),
        a_slice(version=9, n=4),
        a_slice(version=7, n=2),
        a_slice(actor="supplier", n=10),
        a_slice(contact="indirect", n=20),
        a_slice(origin="events/1", n=30),
        a_slice(part=8, n=40),
    )
    assert [row.n for row in rows_of(windows, "1h").values()] == [103]


def test_a_slice_without_events_makes_no_row() -> None:
    assert filled(a_slice(n=0)).take_dirty() == []


def test_every_metric_is_unknown_below_its_own_minimum() -> None:
    full = Sums(n=9, scored=3, sum_x=1.5, sum_xx=0.75, neutral=3, gap_n=3, gap_sum=-1.5, gap_broken=2, wait_n=3)
    full.wait_satisfied, full.wait_tolerating, full.nps_n, full.nps_promoters = 1, 1, 3, 3
    full.csat_n, full.csat_top, full.ces_n, full.ces_sum, full.ces_sum2 = 3, 0, 3, 9.0, 27.0
    known = score(SCOPE, WINDOWS[0], DAY, 1, full, 3)
    assert (known.score, known.score_low, known.score_high, known.neutral) == (50, 50, 50, 1)
    assert (known.gap, known.gap_broken, known.apdex) == (-0.5, 2 / 3, 0.5)
    assert (known.nps, known.csat, known.ces) == (100, 0, 3)
    metrics = ("score", "negative", "neutral", "positive", "gap", "nps", "csat", "ces", "apdex")
    bounds = ("score_low", "score_high", "positive_low", "nps_high", "csat_low", "ces_high", "gap_broken")
    unknown = score(SCOPE, WINDOWS[0], DAY, 1, full, 4)
    assert [getattr(unknown, name) for name in metrics + bounds] == [None] * 16
    counts = ("n", "scored", "gap_n", "wait_n", "nps_n", "csat_n", "ces_n")
    assert [getattr(unknown, name) for name in counts] == [9, 3, 3, 3, 3, 3, 3]
    full.scored = 4
    assert score(SCOPE, WINDOWS[0], DAY, 1, full, 4).score is not None
    assert score(SCOPE, WINDOWS[0], DAY, 1, Sums(), 0).score is None


def test_a_silent_scope_is_unknown_with_no_events_until_it_is_forgotten() -> None:
    windows = filled(a_slice(DAY))
    later = DAY + 2 * 86_400
    assert {(row.n, row.score, row.at) for row in windows.current(later - 1)} == {(0, None, later)}
    windows.forget(later)
    assert windows.current(later) == []


def test_what_matters_to_no_later_row_is_counted_as_too_late() -> None:
    windows = filled(a_slice(DAY))
    windows.take_dirty()
    windows.forget(DAY + 86_400 + 1)
    windows.apply(a_slice(DAY + 590, touchpoint="delivery"))
    assert (windows.too_late, windows.take_dirty()) == (1, [])
    windows.apply(a_slice(DAY + 600))
    assert (windows.too_late, windows.take_dirty()) == (1, [])
    windows.apply(a_slice(DAY + 86_400))
    assert rows_of(windows, "24h")[DAY + 87_000].n == 2


def test_a_slice_of_a_bucket_that_is_compressed_replaces_the_older_one() -> None:
    windows = filled(a_slice(DAY, n=3, version=5), a_slice(DAY, n=1, origin="events/1"), a_slice(DAY + 60))
    windows.take_dirty()
    for _ in range(2):
        windows.forget(DAY + 20)
        assert list(windows._newest.open) == [DAY + 60]
        windows.apply(a_slice(DAY, n=9, version=4))
        assert windows.take_dirty() == []
    windows.forget(DAY + 30)
    windows.apply(a_slice(DAY, n=7, version=6))
    assert {at: row.n for at, row in rows_of(windows, "1h").items()} == {DAY + 60: 8, DAY + 120: 9}


def test_rows_that_were_not_taken_before_they_were_forgotten_are_still_given() -> None:
    windows = filled(a_slice(DAY), a_slice(DAY + 60))
    windows.forget(DAY + 5 * 86_400)
    assert {at: row.n for at, row in rows_of(windows, "5m").items()} == {DAY + 10: 1, DAY + 70: 2}


def test_sums_stay_exact_beyond_what_a_double_holds() -> None:
    third = round(2**32 / 3) / 2**32
    million: dict[str, Any] = {"n": 10**6, "scored": 10**6, "sum_x": 10**6 * third, "sum_xx": 0.0, "gap_n": 1}
    big = [a_slice(DAY + 10 * i, gap_sum=-(2.0**20) - third, **million) for i in range(8000)]
    windows = filled(*big)
    expected = 8000 * round(10**6 * third * 2**32) / (8000 * 10**6 * 2**32)
    last = rows_of(windows, "24h", "corridor")[DAY + 80_400]
    assert last.score == 100 * expected
    assert last.gap == -(8000 * round((2**20 + third) * 2**32) / 2**32) / 8000

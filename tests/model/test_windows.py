"""Window scores against a computation without any cleverness over the final slices."""

from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.score import WINDOWS, Score
from schemas.slice import BUCKET_S, Slice, Sums
from streams.model.scores import ScopeKey, score
from streams.model.windows import Windows

MINIMUM_N = 3
#: A day's start, so that it is a multiple of every hop.
DAY = 86_400 * 19_000
Row = dict[str, Any]
METRIC_COUNTS = ("scored", "gap_n", "wait_n", "nps_n", "csat_n", "ces_n")
FIELDS = tuple(name for name in Sums.__struct_fields__ if name != "waits")


def identity(item: Slice) -> tuple[Any, ...]:
    return (*item.cell, item.bucket, item.origin, item.part)


def scopes(item: Slice) -> list[ScopeKey]:
    segment = (item.segment, item.segment_value)
    return [
        ScopeKey(item.tenant, "touchpoint", item.touchpoint, *segment),
        ScopeKey(item.tenant, "channel", item.channel, *segment),
        ScopeKey(item.tenant, "stage", item.stage, *segment),
        ScopeKey(item.tenant, "corridor", "", *segment),
    ]


def plain(row: Score) -> Row:
    """A row without its version."""
    return {name: value for name, value in msgspec.structs.asdict(row).items() if name != "version"}


def place(row: Score) -> tuple[Any, ...]:
    return (row.tenant, row.scope, row.name, row.segment, row.segment_value, row.window, row.at)


def newest(rows: Iterable[Score]) -> dict[tuple[Any, ...], Row]:
    """What a table keeps in which the newest version of a row wins."""
    found: dict[tuple[Any, ...], Score] = {}
    for row in rows:
        if place(row) not in found or found[place(row)].version < row.version:
            found[place(row)] = row
    return {key: plain(row) for key, row in found.items()}


def total(slices: list[Slice], start: int, end: int) -> Sums:
    return Sums(**{name: sum(getattr(item, name) for item in slices if start <= item.bucket < end) for name in FIELDS})


def by_brute_force(slices: Iterable[Slice]) -> dict[tuple[Any, ...], Row]:
    """Every row that must exist, straight from the definition."""
    final: dict[tuple[Any, ...], Slice] = {}
    for item in sorted(slices, key=lambda item: item.version):
        final[identity(item)] = item
    by_scope: dict[ScopeKey, list[Slice]] = {}
    for item in final.values():
        for key in scopes(item):
            by_scope.setdefault(key, []).append(item)
    rows = {}
    for key, items in by_scope.items():
        for window in WINDOWS:
            for at in {(item.bucket // window.hop_s + 1) * window.hop_s for item in items}:
                sums = total(items, at - window.length_s, at)
                if key.segment and all(getattr(sums, name) < MINIMUM_N for name in METRIC_COUNTS):
                    continue
                row = score(key, window, at, 0, sums, MINIMUM_N)
                rows[place(row)] = plain(row)
    return rows


def multiples(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(int(low * 2**32), int(high * 2**32)).map(lambda units: units / 2**32)


scored = {
    "n": st.integers(2, 9),
    "scored": st.integers(2, 9),
    "sum_x": multiples(0, 9),
    "sum_xx": multiples(0, 9),
    **{name: st.integers(0, 2) for name in ("negative", "neutral", "positive")},
}
answered = {
    **{name: st.integers(2, 9) for name in ("gap_n", "wait_n", "nps_n", "csat_n", "ces_n")},
    **{name: st.integers(0, 2) for name in ("gap_broken", "wait_satisfied", "wait_tolerating", "csat_top")},
    "nps_promoters": st.integers(0, 1),
    "nps_detractors": st.integers(0, 1),
    "gap_sum": multiples(-1000, 1000),
    "ces_sum": multiples(9, 45),
    "ces_sum2": multiples(45, 300),
}
#: Sums of some events: without a score, with one, with everything.
events: st.SearchStrategy[dict[str, Any]] = st.one_of(
    *(st.fixed_dictionaries(fields) for fields in ({"n": st.integers(1, 9)}, scored, scored | answered))
)
#: Near each other, an hour apart, a day apart, and on both sides of every boundary.
offsets = st.one_of(
    st.integers(-3, 33),
    st.sampled_from([-360, 59, 60, 61, 359, 360, 361, 8579, 8580, 8581, 8639, 8640, 8641, 9000]),
    st.integers(-9000, 9000),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Slice]:
    """All versions of some slices: the sums of an identity only grow."""
    found: dict[tuple[Any, ...], list[Slice]] = {}
    for _ in range(draw(st.integers(1, 12))):
        fields: dict[str, Any] = {
            "bucket": DAY + BUCKET_S * draw(offsets),
            "touchpoint": draw(st.sampled_from(["checkout", "delivery"])),
            "channel": draw(st.sampled_from(["web", "store"])),
            "actor": draw(st.sampled_from(["buyer", "supplier"])),
            "stage": "during",
            "contact": "direct",
            "tenant": draw(st.sampled_from(["default", "default", "other"])),
            "origin": draw(st.sampled_from(["events/0", "events/1"])),
            "part": draw(st.integers(0, 1)),
            "segment": draw(st.sampled_from(["", "state"])),
        }
        fields["segment_value"] = fields["segment"] and draw(st.sampled_from(["SP", "RJ"]))
        steps = draw(st.lists(events, min_size=1, max_size=3))
        sums = list(accumulate(steps, lambda old, new: {k: old.get(k, 0) + new.get(k, 0) for k in old | new}))
        versions = draw(st.lists(st.integers(0, 2**40), min_size=len(sums), max_size=len(sums), unique=True))
        items = [
            Slice(version=version, **fields, **values) for version, values in zip(sorted(versions), sums, strict=True)
        ]
        found.setdefault(identity(items[0]), items)
    return [item for items in found.values() for item in items]


@settings(max_examples=150, deadline=None)
@given(histories(), st.data())
def test_any_order_and_any_replay_give_the_rows_of_the_final_slices(history: list[Slice], data: st.DataObject) -> None:
    replays = data.draw(st.lists(st.sampled_from(history), max_size=6))
    windows = Windows(version=7, minimum_n=MINIMUM_N)
    given_rows: list[Score] = []
    for item in data.draw(st.permutations(history + replays)):
        windows.apply(item)
        if data.draw(st.booleans()):
            settled = data.draw(st.none() | offsets.map(lambda offset: DAY + BUCKET_S * offset))
            taken = windows.take_dirty(settled, data.draw(st.integers(1, len(WINDOWS))))
            assert len({place(row) for row in taken}) == len(taken)
            given_rows += taken
    given_rows += windows.take_dirty()
    assert newest(given_rows) == by_brute_force(history)
    versions = [row.version for row in given_rows]
    assert versions == sorted(set(versions)) and all(version > 7 for version in versions)
    assert windows.take_dirty() == []
    assert windows.too_late == 0


@settings(max_examples=150, deadline=None)
@given(histories(), offsets, st.data())
def test_forgetting_never_changes_a_row_at_or_after_it(history: list[Slice], offset: int, data: st.DataObject) -> None:
    before = DAY + BUCKET_S * offset + data.draw(st.sampled_from([0.0, 0.5, 300.0]))
    windows = Windows(version=0, minimum_n=MINIMUM_N)
    given_rows: list[Score] = []
    order = data.draw(st.permutations(history))
    forgetting = data.draw(st.integers(0, len(order)))
    for position, item in enumerate(order):
        if position == forgetting:
            windows.forget(before)
        windows.apply(item)
        if data.draw(st.booleans()):
            given_rows += windows.take_dirty()
    windows.forget(before)
    given_rows += windows.take_dirty()
    expected = {key: row for key, row in by_brute_force(history).items() if row["at"] >= before}
    assert {key: row for key, row in newest(given_rows).items() if row["at"] >= before} == expected
    now = before + 1000
    assert {row.at for row in windows.current(now)} <= {-(-int(now + 0.5) // w.hop_s) * w.hop_s for w in WINDOWS}


@settings(max_examples=100, deadline=None)
@given(histories(), offsets)
def test_the_current_score_covers_the_window_up_to_now(history: list[Slice], offset: int) -> None:
    windows = Windows(version=0, minimum_n=MINIMUM_N)
    for item in history:
        windows.apply(item)
    final = {identity(item): item for item in sorted(history, key=lambda item: item.version)}
    now = DAY + BUCKET_S * offset - 3.5
    current = windows.current(now)
    assert len(current) == len(WINDOWS) * len({key for item in history for key in scopes(item)})
    for row in current:
        (window,) = (window for window in WINDOWS if window.name == row.window)
        key = ScopeKey(row.tenant, row.scope, row.name, row.segment, row.segment_value)
        assert row.at - window.hop_s < now <= row.at and row.at % window.hop_s == 0
        items = [item for item in final.values() if key in scopes(item)]
        sums = total(items, row.at - window.length_s, row.at)
        assert row == score(key, window, row.at, row.version, sums, MINIMUM_N)

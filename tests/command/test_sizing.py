"""The sizing model: more load never needs less, and nothing is planned that cannot be."""

from dataclasses import replace
from math import ceil, inf, nan
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command.measured import Bytes, Cpu, Measured, Slices, load, save
from command.sizing import (
    HEADROOM,
    Load,
    changed_places,
    journey_memory,
    occupied,
    plan,
    slices_per_second,
    window_memory,
    worker_cores,
)
from schemas.errors import UsageError

#: Round figures, so that expectations can be worked out by hand.
BY = Measured(
    machine={"date": "2026-11-22 12:00 UTC", "cpu": "a core"},
    command="by hand",
    cpu=Cpu(
        event=100.0, pair=5.0, journey=20.0, late=10.0, slice=50.0, merge=30.0, place=20.0, journey_message=10.0,
        row=20.0, collect=50.0, idle=10_000.0,
    ),
    slices=Slices(touched=2.0, places=10.0, skew=0.8, late=2.0),
    bytes=Bytes(
        event=500.0,
        records={
            "touchpoint.events": 100.0, "touchpoint.scored": 200.0, "experience.slices": 70.0,
            "experience.scores": 200.0, "experience.journeys": 80.0,
        },
        changelog=0.2,
        rows={"touchpoint_events": 70.0, "experience_slices": 11.0, "experience_scores": 50.0, "journeys": 90.0},
        journey=200.0, contact=100.0, journey_memory=400.0, slice_recent=200.0, slice_old=30.0, worker=3e8,
    ),
    scores=2.0,
)  # fmt: skip
LOADS = st.builds(
    Load,
    events_per_second=st.floats(0.1, 3e5),
    journeys=st.floats(0, 1e9),
    touchpoints=st.integers(1, 2000),
    segments=st.floats(0, 8),
    values=st.floats(1, 100),
    contacts=st.floats(1, 100),
    late=st.floats(0, 1),
    tenants=st.integers(1, 500),
    event_bytes=st.floats(100, 60_000),
    peak=st.floats(1, 20),
    retention_days=st.floats(0.05, 400),
    replication=st.integers(1, 5),
    interval=st.floats(0.1, 60),
    growth=st.floats(1, 5),
    installations=st.integers(1, 50),
)
#: What of a load may only add to what is needed.
GROWING = ("events_per_second", "journeys", "touchpoints", "segments", "values", "late")


@given(LOADS, st.sampled_from(GROWING), st.floats(1, 3))
def test_more_load_never_needs_less(small: Load, what: str, times: float) -> None:
    value = getattr(small, what) * times
    most = {"segments": 8.0, "late": 1.0}.get(what, inf)
    # One installation: of several, each has its own rounding.
    small = replace(small, installations=1)
    large = replace(small, **{what: round(value) if what == "touchpoints" else min(value, most)})
    before, after = plan(small, BY), plan(large, BY)
    assert after.cores >= before.cores
    assert after.partitions >= before.partitions
    assert after.slices >= before.slices * (1 - 1e-9)
    for one, other in zip(before.topics, after.topics, strict=True):
        assert other.messages >= one.messages * (1 - 1e-9), one.name
        assert other.disk >= one.disk * (1 - 1e-9), one.name
    for table, other_table in zip(before.tables, after.tables, strict=True):
        assert other_table.rows >= table.rows * (1 - 1e-9), table.name


@given(LOADS)
def test_every_worker_has_a_partition_and_keeps_its_headroom(load: Load) -> None:
    found = plan(load, BY)
    assert found.partitions >= found.worker.processes * load.growth - 1e-6
    for role in (found.worker, found.sink, found.collector):
        assert role.processes >= 1
        assert role.busy <= HEADROOM + 1e-9


@given(LOADS)
def test_no_worker_is_planned_that_is_not_needed(load: Load) -> None:
    found, one = plan(load, BY), load.share(load.installations)
    less = found.worker.processes - 1
    if less:
        # With one fewer, on the fewer partitions that it would have, the others would be too busy.
        slices = slices_per_second(one, BY, ceil(less * one.growth), one.interval)
        assert worker_cores(one, BY, slices) / less + BY.cpu.idle / 1e6 > HEADROOM - 1e-9


@given(LOADS, st.integers(1, 500))
def test_slices_lie_between_those_of_one_partition_and_of_every_event_alone(load: Load, partitions: int) -> None:
    found = slices_per_second(load, BY, partitions, load.interval)
    alone = load.events_per_second * (1 + load.segments) * (BY.slices.touched + load.late * BY.slices.late)
    assert changed_places(load, BY, load.interval) <= found * (1 + 1e-9)
    assert found <= alone * (1 + 1e-9)


@given(LOADS, st.floats(1, 10))
def test_a_longer_interval_makes_no_more_slices(load: Load, times: float) -> None:
    longer = slices_per_second(load, BY, 8, load.interval * times)
    assert longer <= slices_per_second(load, BY, 8, load.interval) * (1 + 1e-9)


@given(st.floats(0.5, 1e6), st.floats(1e-3, 1e8), st.sampled_from((0.0, 0.5, 0.8, 0.95)))
def test_changes_hit_no_more_places_than_there_are_nor_than_changes(places: float, changes: float, skew: float) -> None:
    hit = occupied(places, changes, skew)
    assert 0 <= hit <= min(places, changes) * (1 + 1e-9)


def test_an_even_spread_is_balls_into_bins() -> None:
    assert occupied(1000, 1000) == pytest.approx(632.12, abs=0.01)
    assert occupied(1000, 1000, 0.8) < occupied(1000, 1000, 0.4) < occupied(1000, 1000)


def test_cpu_adds_up_as_its_parts_do() -> None:
    load = Load(1000.0, 0, segments=2.0, contacts=4.0, late=0.1, tenants=1)
    event = 100 + 2 * 5 + 0.1 * 10 + 20 / 4 + 10
    slices = 500.0
    places = changed_places(load, BY, load.interval)
    assert worker_cores(load, BY, slices) == pytest.approx((1000 * event + slices * 50 + places * 20) / 1e6)


def test_memory_of_a_worker_has_room_for_the_journeys_of_one_that_is_gone() -> None:
    found = plan(Load(20_000.0, 9e6, contacts=3.0), BY)
    assert journey_memory(found.load, BY) == 200 + 2 * 100 + 400
    others = found.worker.processes - 1
    assert others > 1
    windows = window_memory(found.load, BY, found.partitions)
    assert found.worker.memory == pytest.approx(3e8 + 9e6 * 800 / others + windows)


def test_memory_of_the_windows_is_that_of_a_days_slices() -> None:
    # So rare that no two events share a slice: a slice an event, an hour of them ready, 23 hours compressed.
    rare = Load(0.001, 10.0, touchpoints=1000, segments=0.0, late=0.0, peak=2.0)
    assert window_memory(rare, BY, 1) == pytest.approx(0.0005 * (200 * 3600 + 30 * 82_800), rel=0.01)
    more = replace(rare, segments=3.0)
    assert window_memory(more, BY, 1) == pytest.approx(4 * window_memory(rare, BY, 1), rel=0.02)


def test_disk_of_events_is_rate_by_size_by_time_by_copies() -> None:
    found = plan(Load(1000.0, 0, event_bytes=1000.0, peak=2.0, retention_days=3.0, replication=2), BY)
    (events,) = (one for one in found.topics if one.name == "touchpoint.events")
    assert events.bytes == 1000 * 200
    assert events.disk == pytest.approx(500 * 200 * 3 * 86_400 * 2)
    (rows,) = (one for one in found.tables if one.name == "touchpoint_events")
    assert (rows.inserted, rows.rows) == (1000, 500 * 86_400)


def test_installations_share_the_load_and_their_cores_add_up() -> None:
    whole = Load(40_000.0, 1e6, installations=4)
    assert plan(whole, BY).cores == 4 * plan(Load(10_000.0, 250_000), BY).cores


def test_a_tenant_too_large_for_the_worker_that_merges_it_is_said_with_what_helps() -> None:
    found = plan(Load(100_000.0, 1e7), BY)
    (limit,) = (one for one in found.limits if one.startswith("**Too much"))
    count = int(limit.partition(" installations")[0].rpartition(" ")[2].replace(",", ""))
    enough = plan(replace(found.load, installations=count), BY)
    assert not [one for one in enough.limits if one.startswith("**Too much")]


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (Load(100.0, 50), "journeys on"),
        (Load(10.0, 10_000), "run two"),
        (Load(10.0, 10_000, replication=1), "Replication 1"),
        (Load(10.0, 10_000, interval=5.0), "up to 5 s later"),
        (Load(5e6, 1e9), "CORREDOR_PARTITIONS takes up to 1,024"),
    ],
)
def test_what_stands_in_the_way_is_said(load: Load, said: str) -> None:
    assert any(said in limit for limit in plan(load, BY).limits)


@pytest.mark.parametrize(
    "bad",
    [
        {"events_per_second": 0.0},
        {"journeys": -1.0},
        {"late": 1.1},
        {"segments": 9.0},
        {"contacts": 0.5},
        {"replication": 0},
        {"interval": nan},
        {"events_per_second": inf},
    ],
)
def test_a_load_that_cannot_be_is_refused_with_its_range(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"--.* has to lie between"):
        replace(Load(1.0, 1.0), **bad)  # type: ignore[arg-type]


def test_constants_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    save(BY, file)
    assert load(file) == BY
    file.write_text("{}")
    with pytest.raises(UsageError, match="cannot be read"):
        load(file)


def test_the_constants_shipped_make_sense() -> None:
    by = load()
    for name, value in msgspec.to_builtins(by.cpu).items():
        assert 0 <= value < 1e6, name
    assert by.cpu.event > 0 < by.cpu.slice
    assert by.cpu.slice >= by.cpu.merge
    assert 0 <= by.slices.skew < 1
    assert set(by.bytes.records) == set(BY.bytes.records)
    assert set(by.bytes.rows) >= set(BY.bytes.rows)

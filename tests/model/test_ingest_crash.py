"""Crashes at any moment of any checkpoint change nothing: published results equal those of a run without crashes.

The world outside the process is simulated: a changelog written in transactions, a results topic where the newest
version of a slice wins, the committed positions. The steps are those of docs/decisions/005: results of single events,
state (all or nothing), slices, commit. How far a checkpoint comes, and what of the results in flight is delivered, is
drawn by Hypothesis. Then a new process reads back, publishes what may not have been, and goes on.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from unittest import mock

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.heard import Heard
from schemas.journey import Journey
from schemas.slice import Slice, Sums
from schemas.transition import TransitionSlice, TransitionSums
from streams.model import buckets, ingest, journey_store
from streams.model.ingest import ORIGIN_HEADER, Ingest, Outcome, Snapshot
from streams.model.slices import merge
from tests.builders import NOW, Record, corridor, event, merged, record

EVENTS, REKEYED = topics.EVENTS.name, topics.REKEYED.name
LANES = (EVENTS, REKEYED)
CORRIDOR = corridor(allowed_lateness=60.0, patience=3600.0)
PARTITION = 3
Log = list[tuple[str, Record]]


def partition_of(key: bytes) -> int:
    return PARTITION + 1 if key.startswith(b"foreign") else PARTITION


@dataclass
class World:
    """Everything that survives a process."""

    changelog: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    committed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LANES, 0))
    slices: dict[bytes, Slice | TransitionSlice] = field(default_factory=dict)
    #: Every value published for a tenant, lane and version; all of them must be the same.
    heard: dict[tuple[bytes, int], set[bytes]] = field(default_factory=dict)
    journeys: dict[bytes, Journey] = field(default_factory=dict)
    #: Every value published for a place; all of them must be the same.
    scored: dict[tuple[int, int], set[bytes]] = field(default_factory=dict)
    rejected: dict[bytes, set[bytes]] = field(default_factory=dict)
    handed_over: set[int] = field(default_factory=set)

    def read_back(self) -> Ingest:
        newest: dict[bytes, bytes] = {}
        for key, value in self.changelog:
            if value is None:
                newest.pop(key, None)
            else:
                newest[key] = value
        state = Ingest(PARTITION, CORRIDOR, partition_of)
        for key, value in newest.items():
            state.restore(key, value)
        return state

    def publish(self, output: tuple[str, Any]) -> None:
        kind, value = output
        if kind == "scored":
            decoded = json.loads(value)
            place = (decoded["source_partition"], decoded["source_offset"])
            self.scored.setdefault(place, set()).add(value)
        elif kind == "rejected":
            key, body = value
            self.rejected.setdefault(key, set()).add(body)
        elif kind == "rekeyed":
            self.handed_over.add(value)
        elif kind == "journey":
            journey = msgspec.json.decode(value, type=Journey)
            known = self.journeys.get(journey.key)
            if known is None or known.version <= journey.version:
                self.journeys[journey.key] = journey
        else:
            new = msgspec.json.decode(value, type=Slice | TransitionSlice | Heard)
            if isinstance(new, Heard):
                self.heard.setdefault((new.key, new.version), set()).add(value)
                return
            old = self.slices.get(new.key)
            if old is None or old.version <= new.version:
                self.slices[new.key] = new

    def sums(self) -> dict[tuple[Any, ...], Sums]:
        """Parts and lanes added up for each cell and bucket."""
        found: dict[tuple[Any, ...], Sums] = {}
        for item in self.slices.values():
            if isinstance(item, Slice):
                merge(found.setdefault((*item.cell, item.bucket), Sums()), item)
        return found

    def transitions(self) -> dict[tuple[Any, ...], TransitionSums]:
        """Parts added up for each transition, segment and bucket; what was taken back leaves nothing."""
        parts: dict[tuple[Any, ...], list[TransitionSlice]] = {}
        for item in self.slices.values():
            if isinstance(item, TransitionSlice):
                place = (item.tenant, item.touchpoint, item.following, item.segment, item.segment_value, item.bucket)
                parts.setdefault(place, []).append(item)
        found = {place: merged(items) for place, items in parts.items()}
        return {place: sums for place, sums in found.items() if sums != TransitionSums()}

    def walks(self) -> dict[bytes, Journey]:
        """The journeys without what names their checkpoint."""
        return {key: msgspec.structs.replace(journey, version=0) for key, journey in self.journeys.items()}


def outputs(outcome: Outcome) -> Iterable[tuple[str, Any]]:
    yield from (("scored", message["value"]) for message in outcome.scored)
    yield from (("rejected", (message["key"], message["value"])) for message in outcome.rejected)
    yield from (("rekeyed", item.offset) for _, item in outcome.rekeyed)


@dataclass
class Checkpoint:
    """What one checkpoint has to bring out, in its order."""

    world: World
    snapshot: Snapshot
    events: list[tuple[str, Any]]
    slices: list[tuple[str, Any]]

    def run(self, steps: int = 4, delivered: Random | None = None) -> None:
        """Do the first steps; with `delivered`, the step after them is done by chance in parts."""
        for done, outputs_of_step in ((steps >= 1, self.events), (steps >= 3, self.slices)):
            partly = delivered is not None and steps == (0 if outputs_of_step is self.events else 2)
            for output in outputs_of_step:
                if done or (partly and delivered is not None and delivered.random() < 0.5):
                    self.world.publish(output)
        if steps >= 2:
            self.world.changelog += self.snapshot.state
        if steps >= 4:
            self.world.committed.update(self.snapshot.positions)


class Process:
    """One life of a worker on one partition."""

    def __init__(self, world: World, log: Log) -> None:
        self.world = world
        self.state = world.read_back()
        #: Slices read back that may not have been published.
        self.unpublished = [value for _, _, value in self.state.restored(world.committed)]
        self.rest = [(lane, item) for lane, item in log if item.offset >= world.committed[lane]]
        #: Given to the producer, not yet known to be delivered.
        self.in_flight: list[tuple[str, Any]] = []

    def apply(self, count: int) -> None:
        """The next records in the order of the log, in batches of one lane each."""
        batch, self.rest = self.rest[:count], self.rest[count:]
        while batch:
            lane = batch[0][0]
            size = next((i for i, (other, _) in enumerate(batch) if other != lane), len(batch))
            self.in_flight += outputs(self.state.apply(lane, [item for _, item in batch[:size]]))
            batch = batch[size:]

    def shuffle(self, data: st.DataObject) -> None:
        """Let the lanes run apart: each keeps its order, how they interleave is drawn anew."""
        queues = {lane: [entry for entry in self.rest if entry[0] == lane] for lane in LANES}
        order = data.draw(st.permutations([lane for lane, _ in self.rest]), label="lanes")
        self.rest = [queues[lane].pop(0) for lane in order]

    def begin_checkpoint(self) -> Checkpoint:
        self.state.advance(None)
        snapshot = self.state.snapshot()
        events, self.in_flight = self.in_flight, []
        slices, self.unpublished = self.unpublished, []
        slices += [value for _, _, value in snapshot.slices]
        derived: list[tuple[str, Any]] = [("slice", value) for value in slices]
        derived += [("journey", message["value"]) for message in snapshot.journeys]
        return Checkpoint(self.world, snapshot, events, derived)

    def crash(self, checkpoint: Checkpoint, data: st.DataObject) -> None:
        """End in the middle of a checkpoint, or just before or after it."""
        delivered = data.draw(st.randoms(use_true_random=False), label="delivered")
        for output in self.in_flight:
            if delivered.random() < 0.5:
                self.world.publish(output)
        checkpoint.run(data.draw(st.integers(0, 3), label="steps done"), delivered)


def run_with_crashes(log: Log, data: st.DataObject, shuffled: bool) -> World:
    world = World()
    process = Process(world, log)
    for _ in range(data.draw(st.integers(0, 14), label="checkpoints")):
        if shuffled:
            process.shuffle(data)
        process.apply(data.draw(st.integers(0, 8), label="before"))
        checkpoint = process.begin_checkpoint()
        process.apply(data.draw(st.integers(0, 3), label="while it is flushed"))
        if data.draw(st.booleans(), label="crash"):
            process.crash(checkpoint, data)
            process = Process(world, log)
        else:
            checkpoint.run()
    process.apply(len(log))
    finish(process)
    return world


def run_without(log: Log) -> World:
    world = World()
    process = Process(world, log)
    process.apply(len(log))
    finish(process)
    return world


def finish(process: Process) -> None:
    """So many checkpoints that all journeys are published; what is let go must not be missed either."""
    for _ in range(9):
        process.begin_checkpoint().run()


@contextmanager
def restless(data: st.DataObject, bucket_age: int) -> Iterator[None]:
    """Buckets leave early; journeys freeze early, are published at times and looked at often, as drawn."""
    idle = data.draw(st.sampled_from([-1.0, 600.0]), label="idle")
    few = data.draw(st.sampled_from([0, 100]), label="few journeys")
    with ExitStack() as stack:
        for module, name, value in (
            (buckets, "BUCKET_AGE", bucket_age),
            (journey_store, "IDLE_S", idle),
            (journey_store, "FREEZE_STEPS", 1),
            (journey_store, "LOOK_STEPS", 1),
            (ingest, "FEW_JOURNEYS", few),
            (ingest, "JOURNEY_WAITS", 3),
            (ingest, "AGAIN_AT_ONCE", 1),
        ):
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def assert_same(crashed: World, smooth: World) -> None:
    assert crashed.scored == smooth.scored
    assert crashed.rejected == smooth.rejected
    assert crashed.handed_over == smooth.handed_over
    assert crashed.sums() == smooth.sums()
    assert all(len(values) == 1 for values in crashed.heard.values())
    assert all(crashed.heard.get(place, values) == values for place, values in smooth.heard.items())


def assert_same_walks(crashed: World, smooth: World) -> None:
    assert crashed.transitions() == smooth.transitions()
    assert crashed.walks() == smooth.walks()


@st.composite
def logs(draw: st.DrawFn, gaps: list[float], shared_journeys: bool) -> Log:
    """Records of both lanes in order of arrival: few customers, ids, sources and buckets, so that they collide."""
    log: Log = []
    offsets = dict.fromkeys(LANES, 0)
    arrival = NOW
    for _ in range(draw(st.integers(1, 40))):
        arrival += draw(st.sampled_from(gaps))
        lane = draw(st.sampled_from([EVENTS, EVENTS, REKEYED]))
        offset = offsets[lane]
        # Compaction and transactions leave gaps.
        offsets[lane] += draw(st.sampled_from([1, 1, 1, 3]))
        headers: tuple[tuple[str, bytes | None], ...] = ()
        if lane == REKEYED:
            headers = ((ORIGIN_HEADER, f"{PARTITION + 2}:{1000 + offset}".encode()),)
        if lane == EVENTS and draw(st.integers(0, 9)) == 0:
            log.append((lane, record(offset, b'{"half', arrival)))
            continue
        customers = ["a", "b"] if shared_journeys or lane == EVENTS else ["x", "y"]
        if lane == EVENTS:
            customers = [*customers, "foreign"]
        fields: dict[str, Any] = {
            "touchpoint": draw(st.sampled_from(["web.checkout", "unmapped"])),
            "outcome": draw(st.sampled_from(["success", "failure", "pending", "abandoned"])),
        }
        for name, values in {
            "wait_ms": st.sampled_from([0, 7, 90_000]),
            "segment": st.sampled_from([{"region": "north"}, {"region": "west", "carrier": "swift"}]),
            "rating": st.just({"value": 3, "min": 0, "max": 7, "instrument": "ces"}),
            "expectation": st.just({"expected": 1, "actual": 1.37}),
        }.items():
            if draw(st.booleans()):
                fields[name] = draw(values)
        at = arrival - draw(st.sampled_from([0, 3, 12, 200]))
        built = event(
            at,
            subject=draw(st.sampled_from(customers)),
            id=draw(st.sampled_from("12345")),
            source=draw(st.sampled_from(["shop", "app"])),
            data=fields,
        )
        log.append((lane, record(offset, built, arrival, headers)))
    return log


LIMITS = settings(
    max_examples=60,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@LIMITS
@given(logs([0.0, 0.4, 11.0, 500.0, 1000.0, 2500.0, 90_000.0], shared_journeys=True), st.integers(1, 3), st.data())
def test_crashes_leave_no_trace_while_buckets_journeys_and_sources_are_let_go(
    log: Log, bucket_age: int, data: st.DataObject
) -> None:
    with restless(data, bucket_age):
        crashed, smooth = run_with_crashes(log, data, shuffled=False), run_without(log)
        assert_same(crashed, smooth)
        assert_same_walks(crashed, smooth)


@LIMITS
@given(logs([0.0, 0.4, 11.0], shared_journeys=False), st.integers(1, 3), st.data())
def test_crashes_leave_no_trace_when_the_lanes_run_apart(log: Log, bucket_age: int, data: st.DataObject) -> None:
    with restless(data, bucket_age):
        assert_same(run_with_crashes(log, data, shuffled=True), run_without(log))


def test_everything_idle_leaves_the_state_and_the_results_stay() -> None:
    with mock.patch.object(buckets, "BUCKET_AGE", 2):
        world = World()
        records = [record(n, event(NOW + n, id=str(n), subject=f"c{n}"), NOW + n) for n in range(30)]
        # One customer comes back every ten minutes for a day, so that arrival time goes on.
        records += [record(30 + n, event(NOW + 600 * n, id=f"x{n}", subject="back"), NOW + 600 * n) for n in range(144)]
        process = Process(world, [(EVENTS, item) for item in records])
        while process.rest:
            process.apply(1)
            process.begin_checkpoint().run()
        for _ in range(10):
            process.begin_checkpoint().run()
        kept = {key[:1] for key, value in _newest(world.changelog).items() if value is not None}
        journeys = [key for key, value in _newest(world.changelog).items() if value is not None and key[:1] == b"j"]
        assert kept == {b"j", b"l", b"p"}
        assert journeys == [b'j["default","back","back"]']
        assert sum(item.n for item in world.sums().values()) == 174
        assert len(world.journeys) == 31


def _newest(changelog: list[tuple[bytes, bytes | None]]) -> dict[bytes, bytes | None]:
    return dict(changelog)

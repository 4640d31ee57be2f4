"""From measured points to the constants that `corredor size` goes by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from bench.vary import VALUES, Variation
from command.measured import Bytes, Cpu, Measured, Slices
from command.sizing import occupied
from streams.runtime.settings import Settings

#: Of `bench.recovery` (docs/performance.md): bytes of a journey in memory beyond those in its changelog.
JOURNEY_MEMORY = 800.0 - 432.0
#: Of `streams.model.newest`, by tracemalloc: bytes of a slice in an open bucket, and in a compressed one.
SLICE_RECENT, SLICE_OLD = 226.0, 35.0
#: Of docs/collect.md: cores over events a second of one collector at its most.
COLLECTOR_CORES, COLLECTOR_RATE = 0.84, 15_155.0
#: What is tried for `Slices.places` and `Slices.skew`.
_PLACES = tuple(0.5 * 1.08**number for number in range(60))
_SKEWS = tuple(number / 20 for number in range(20))


@dataclass(frozen=True, slots=True)
class Point:
    """One measured run: what the events were like; microseconds of CPU and slices for one, bytes of a journey."""

    variation: Variation
    touchpoints: int
    segments: float
    cpu: float
    slices: float
    journey_bytes: float
    peak_rss: int = 0
    #: Events a second.
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Sharing:
    """How many slices one partition published for an event at so many events a checkpoint."""

    variation: Variation
    touchpoints: int
    segments: float
    every: int
    slices: float


#: Where a slice is among them.
SLICE = 4


def _features(point: Point) -> list[float]:
    """What the CPU of an event is the sum of: the order is that of `Cpu`."""
    return [1.0, point.segments, 1.0 / point.variation.contacts, point.variation.late, point.slices]


def cpu_costs(points: Sequence[Point], slices: Slices, known: Mapping[str, float]) -> list[float]:
    """Microseconds for an event, a pair, a journey, a late event and a slice: least squares, none below 0.

    `known` are costs that were measured by themselves and are taken off: `place`, `idle`, and `merge`, which is part of
    that of a slice. A cost that would come out below 0 is set to 0 and the others are fitted anew (active set).
    """
    rows = np.array([_features(point) for point in points])
    wanted = np.array([one.cpu - places(one, slices) * known["place"] - known["idle"] / one.rate for one in points])
    wanted -= rows[:, SLICE] * known["merge"]
    left = list(range(rows.shape[1]))
    while True:
        found, *_ = np.linalg.lstsq(rows[:, left], wanted, rcond=None)
        if (found >= 0).all():
            break
        left.pop(int(np.argmin(found)))
    costs = [0.0] * rows.shape[1]
    for column, cost in zip(left, found, strict=True):
        costs[column] = float(cost)
    costs[SLICE] += known["merge"]
    return costs


def places(point: Point, slices: Slices) -> float:
    """Places that change for an event, each counted once a checkpoint, in however many partitions."""
    events = point.rate * Settings().checkpoint_interval
    units = point.touchpoints * (1 + point.segments * VALUES)
    changes = events * slices.touched * (1 + point.segments)
    return min(occupied(units * slices.places, changes, slices.skew) / events, point.slices)


def said(point: Point, cpu: Cpu, slices: Slices, workers: int = 1) -> float:
    """The CPU that the costs give a point, microseconds for an event."""
    costs = [cpu.event, cpu.pair, cpu.journey, cpu.late, cpu.slice]
    return float(np.dot(_features(point), costs)) + places(point, slices) * cpu.place + workers * cpu.idle / point.rate


def sharing(found: Sequence[Sharing]) -> Slices:
    """How events share slices, from runs with one event a checkpoint, with many, and with many late ones."""
    usual = Variation(late=0.0)
    alone = next(one for one in found if one.variation == usual and one.every == 1)
    touched = alone.slices / (1 + alone.segments)
    several = [one for one in found if one.variation.late == 0 and one.every > 1]
    best = min(
        ((places, skew) for places in _PLACES for skew in _SKEWS),
        key=lambda tried: sum(log(_slices(one, alone.slices, *tried) / one.slices) ** 2 for one in several),
    )
    late = next(one for one in found if one.variation.late)
    on_time = next(one for one in found if one.variation == usual and one.every == late.every)
    more = (late.slices - on_time.slices) / late.variation.late / (1 + late.segments)
    return Slices(touched, *best, max(more, 0.0))


def _slices(one: Sharing, alone: float, places: float, skew: float) -> float:
    units = one.touchpoints * (1 + one.segments * VALUES)
    return occupied(units * places, one.every * alone, skew) / one.every


def constants(
    points: Sequence[Point],
    found: Sequence[Sharing],
    other: Mapping[str, float],
    sizes: Bytes,
    scores: float,
    machine: dict[str, str],
) -> Measured:
    """All constants; `other` has those measured by themselves: merge, place, journey_message, row, idle."""
    slices = sharing(found)
    event, pair, journey, late, piece = cpu_costs(points, slices, other)
    cpu = Cpu(
        event=event,
        pair=pair,
        journey=journey,
        late=late,
        slice=piece,
        merge=other["merge"],
        place=other["place"],
        journey_message=other["journey_message"],
        row=other["row"],
        collect=1e6 * COLLECTOR_CORES / COLLECTOR_RATE,
        idle=other["idle"],
    )
    return Measured(machine, "python -m bench.costs --write", cpu, slices, sizes, scores)

"""The right result, computed offline from the same events, and what is wrong with a contestant's.

Right is: each event that is no duplicate scored once, with the reference's x; for each touchpoint and bucket the same
count; and the same sum of x to within TOLERANCE of it. x is that of streams/model/experience.py, added by math.fsum.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import fsum
from typing import NamedTuple

import msgspec

from bench.feed import Cell
from bench.peers.job import Rules
from schemas.corridor import CorridorMap, Touchpoint
from schemas.event import TouchpointEvent
from streams.model.places import Places
from streams.model.slices import bucket_of

#: Relative.
TOLERANCE = 1e-9
#: Corredor adds multiples of 2^-32, so that sums do not depend on order: each x is rounded by half of that at most.
ROUNDING = 2.0**-33
_decode_event = msgspec.json.Decoder(TouchpointEvent).decode

#: Source and id.
Identity = tuple[str, str]


class Total(NamedTuple):
    """Events of one touchpoint and bucket, and the sum of their x."""

    n: int
    x: float


class Scored(msgspec.Struct, frozen=True, gc=False):
    """What is read of a scored event, the worker's or a peer's."""

    source: str
    id: str
    x: float | None = None


class Part(msgspec.Struct, frozen=True, gc=False):
    """One message of a peer's sums."""

    touchpoint: str
    bucket: int
    n: int
    x: float
    part: int | None = None


class Findings(NamedTuple):
    """What a contestant, or the judge, found."""

    totals: dict[Cell, Total]
    scored: Sequence[tuple[Identity, float | None]]


_decode_scored = msgspec.json.Decoder(Scored).decode
_decode_part = msgspec.json.Decoder(Part).decode


def expected(events: Iterable[bytes], corridor: CorridorMap) -> Findings:
    """The right result for these encoded events."""
    places = Places(corridor)
    scored: dict[Identity, float | None] = {}
    cells: defaultdict[Cell, list[float | None]] = defaultdict(list)
    for value in events:
        event = _decode_event(value)
        if (event.source, event.id) not in scored:
            x = places.find(event.tenant, event.data).scorer(event.data).x
            scored[event.source, event.id] = x
            cells[event.data.touchpoint, bucket_of(event.time.timestamp())].append(x)
    totals = {cell: Total(len(row), fsum(x for x in row if x is not None)) for cell, row in cells.items()}
    return Findings(totals, list(scored.items()))


def scored_in(messages: Iterable[bytes]) -> list[tuple[Identity, float | None]]:
    """The scored events in the messages of a topic. Raises msgspec.DecodeError for others."""
    return [((event.source, event.id), event.x) for event in map(_decode_scored, messages)]


def totals_in(messages: Iterable[bytes]) -> dict[Cell, Total]:
    """The sums that the messages of a peer end with, parts added up. Raises msgspec.DecodeError for others."""
    newest = {(part.part, part.touchpoint, part.bucket): part for part in map(_decode_part, messages)}
    totals: dict[Cell, Total] = {}
    for part in newest.values():
        cell = part.touchpoint, part.bucket
        n, x = totals.get(cell, Total(0, 0.0))
        totals[cell] = Total(n + part.n, x + part.x)
    return totals


def faults(found: Findings, right: Findings, rounding: float = 0.0) -> list[str]:
    """What is wrong, in words; empty if all is right. `rounding` is how far each x may be off before it is added."""
    return [*_scored_faults(found, right), *_total_faults(found.totals, right.totals, rounding)]


def _scored_faults(found: Findings, right: Findings) -> list[str]:
    times = Counter(identity for identity, _ in found.scored)
    wanted = dict(right.scored)
    problems = [
        (len(wanted.keys() - times.keys()), "events not scored"),
        (sum(count - 1 for count in times.values()), "events scored again"),
        (len(times.keys() - wanted.keys()), "scored events that nobody sent"),
        (sum(_differ(x, wanted.get(identity, x)) for identity, x in found.scored), "events with another x"),
    ]
    return [f"{count:,} {what}" for count, what in problems if count]


def _differ(x: float | None, wanted: float | None) -> bool:
    if x is None or wanted is None:
        return x is not wanted
    return not abs(x - wanted) <= TOLERANCE * wanted


def _total_faults(found: dict[Cell, Total], right: dict[Cell, Total], rounding: float) -> list[str]:
    none = Total(0, 0.0)
    counts = sums = 0
    example = ""
    for cell in sorted(found.keys() | right.keys()):
        has, wanted = found.get(cell, none), right.get(cell, none)
        if has.n != wanted.n:
            counts += 1
            example = example or f"{cell[0]} at {cell[1]}: {has.n:,} instead of {wanted.n:,}"
        elif not abs(has.x - wanted.x) <= TOLERANCE * wanted.x + rounding * wanted.n:
            sums += 1
            example = example or f"{cell[0]} at {cell[1]}: sum {has.x!r} instead of {wanted.x!r}"
    problems = [(counts, "counted wrong"), (sums, "summed wrong")]
    text = [f"{count:,} of {len(right):,} buckets {what}" for count, what in problems if count]
    return [f"{', '.join(text)} ({example})"] if text else []


def rules_of(corridor: CorridorMap) -> dict[str, Rules]:
    """What the peers need of the map: the rules of each touchpoint, and under "" those of all others."""
    return {"": _rules(corridor, None), **{each.name: _rules(corridor, each) for each in corridor.touchpoints}}


def _rules(corridor: CorridorMap, touchpoint: Touchpoint | None) -> Rules:
    weights = corridor.weights(touchpoint)
    promise = (touchpoint and touchpoint.promise) or corridor.defaults.promise
    wait = (touchpoint and touchpoint.tolerable_wait) or corridor.defaults.tolerable_wait
    return Rules(
        (
            weights["outcome"],
            weights["promise"],
            weights["rating"],
            weights["sentiment"],
            weights["effort"],
            weights["wait"],
        ),
        promise.tolerance,
        promise.curve.kept,
        promise.curve.gain,
        promise.curve.loss,
        1000.0 * float(wait),
    )

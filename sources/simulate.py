"""A retail corridor, simulated: journeys walk the touchpoints of the retail map and several sources report them.

Everything follows from the arguments: no clock, no I/O, and the same seed gives the same events. Time in here is the
time of the events. Two clocks run: the simulation's, on which events happen, and each journey's own, natural one, on
which a parcel takes days. The pauses between the contacts of a journey are compressed by `pace` (1440: a day passes in
a minute) so that whole journeys can be watched; waits, working times and promises are reported in natural units, and
so is the rhythm of days and weeks, which follows the calendar.
"""

import heapq
from collections.abc import Iterator, Sequence
from random import Random

from schemas.errors import UsageError
from schemas.event import TouchpointEvent
from sources.simulator.corridor import EVENTS_PER_JOURNEY
from sources.simulator.faults import Fault
from sources.simulator.journey import Behaviour, Journey
from sources.simulator.rhythm import BUSIEST, load
from sources.simulator.sending import Sender
from sources.simulator.steady import begin, compressed, under_way

#: A natural day in one minute.
DEFAULT_PACE = 1440.0
DEFAULT_LATE_SHARE = 0.01
DEFAULT_DUPLICATE_SHARE = 0.005


def simulate(
    seed: int,
    start: float,
    rate: float,
    faults: Sequence[Fault] = (),
    *,
    pace: float = DEFAULT_PACE,
    flat: bool = False,
    late_share: float = DEFAULT_LATE_SHARE,
    duplicate_share: float = DEFAULT_DUPLICATE_SHARE,
    invalid_share: float = 0.0,
) -> Iterator[tuple[float, TouchpointEvent]]:
    """Events in the order of their publication, each with its time of publication (epoch seconds), without end.

    `start` is in epoch seconds. `rate` is the mean number of messages per second over a week without faults, duplicates
    and noise included; with `flat` it holds at every hour. Shares are chances per event, in [0, 1]: of being recorded
    seconds to minutes late, of being sent twice, of being followed by a message that breaks the contract.
    Raises UsageError for arguments out of range.
    """
    _require(rate > 0, f"--rate {rate:g}: the rate must be above 0 events per second")
    _require(pace >= 1, f"--pace {pace:g}: the pace is 1 (natural time) or more")
    for name, share in (("late", late_share), ("duplicate", duplicate_share), ("invalid", invalid_share)):
        _require(0 <= share <= 1, f"--{name}-share {share:g}: a share lies between 0 and 1")
    return _events(
        Random(seed),
        start,
        rate / (EVENTS_PER_JOURNEY * (1.0 + duplicate_share + invalid_share)),
        faults,
        pace,
        flat,
        f"{int(start * 1000):x}.{seed:x}",
        (late_share, duplicate_share, invalid_share),
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def _events(
    rng: Random,
    start: float,
    arrivals: float,
    faults: Sequence[Fault],
    pace: float,
    flat: bool,
    run: str,
    shares: tuple[float, float, float],
) -> Iterator[tuple[float, TouchpointEvent]]:
    behaviour = Behaviour(rng, faults, start)
    late, duplicate, invalid = shares
    sender = Sender(rng, faults, start, run, late_share=late, duplicate_share=duplicate, invalid_share=invalid)
    order = 0
    #: Journeys by the time of their next contact; messages by their time of publication. `order` breaks ties.
    journeys: list[tuple[float, int, Journey]] = []
    outbox: list[tuple[float, int, TouchpointEvent]] = []
    for rest, journey in under_way(rng, arrivals * (1.0 if flat else load(start)), pace):
        order += 1
        journey.id = f"{run}-j{order:x}"
        journeys.append((start + rest, order, journey))
    heapq.heapify(journeys)
    arriving = start
    while True:
        arriving += _gap(rng, arriving, arrivals, flat)
        order += 1
        heapq.heappush(journeys, (arriving, order, begin(rng, f"{run}-j{order:x}")))
        while (at := journeys[0][0]) < arriving:
            while outbox and outbox[0][0] <= at:
                published, _, event = heapq.heappop(outbox)
                yield published, event
            journey = journeys[0][2]
            place = journey.place
            assert place is not None, "a journey that is over does not wait for a contact"
            data = behaviour.contact(journey, place, at, 1.0 if flat else load(at))
            for published, event in sender.send(journey, place, data, at):
                order += 1
                heapq.heappush(outbox, (published, order, event))
            if journey.place is None:
                heapq.heappop(journeys)
            else:
                order += 1
                heapq.heapreplace(journeys, (at + compressed(journey.pause_s, pace), order, journey))


def _gap(rng: Random, since: float, arrivals: float, flat: bool) -> float:
    """Seconds to the next arrival: Poisson, thinned to the rhythm (Lewis and Shedler 1979)."""
    if flat:
        return rng.expovariate(arrivals)
    at = since
    while True:
        at += rng.expovariate(arrivals * BUSIEST)
        if rng.random() * BUSIEST < load(at):
            return at - since

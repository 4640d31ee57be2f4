"""Starting in the middle of things: which journeys are under way when the simulation begins.

A corridor that starts empty has no deliveries for its first days. Instead of living through those days, journeys
without faults are walked once, as samples. In a steady state the journeys that wait for their next contact are
arrival rate x waiting time (Little's law), sample by sample, and the rest of the wait is uniform. So the state at the
start is drawn, at a cost that does not depend on how long journeys take.
"""

from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from random import Random

from schemas.errors import UsageError
from sources.simulator.corridor import ENTRIES
from sources.simulator.journey import Behaviour, Journey
from sources.simulator.population import CUSTOMERS, Person, pick

_SAMPLES = 3000
#: More journeys than this at the same time would not fit into memory (each takes about a kilobyte).
MAX_UNDER_WAY = 1_000_000
_ENTRY_NAMES = tuple(name for name, _ in ENTRIES)
_ENTRY_SHARES = tuple(accumulate(share for _, share in ENTRIES))


def begin(rng: Random, id: str) -> Journey:
    """A new journey at one of the entries."""
    entry = pick(_ENTRY_NAMES, _ENTRY_SHARES, rng.random())
    return Journey(id, Person(rng, entry), entry)


def compressed(pause_s: float, pace: float) -> float:
    """A natural pause in the simulation's seconds: 1/`pace` of it, but short ones never shrink below a second."""
    return max(pause_s / pace, min(pause_s, 1.0))


@cache
def waiting() -> tuple[Journey, ...]:
    """The sample journeys before each of their further contacts; the same ones whatever the seed."""
    rng = Random(2016)
    behaviour = Behaviour(rng, (), 0.0)
    snapshots: list[Journey] = []
    for _ in range(_SAMPLES):
        journey = begin(rng, "")
        while (place := journey.place) is not None:
            behaviour.contact(journey, place, 0.0, 1.0)
            if journey.place is not None:
                snapshots.append(journey.copy("", journey.person))
    return tuple(snapshots)


def under_way(rng: Random, arrivals: float, pace: float) -> Iterator[tuple[float, Journey]]:
    """Journeys under way when `arrivals` begin each second, each with the seconds until its next contact.

    Raises UsageError where they would be too many to keep.
    """
    samples = waiting()
    pauses = [compressed(journey.pause_s, pace) for journey in samples]
    expected = arrivals * sum(pauses) / _SAMPLES
    if expected > MAX_UNDER_WAY:
        raise UsageError(
            f"--pace {pace:g} at this rate keeps {expected:,.0f} journeys under way at the same time, more than "
            f"{MAX_UNDER_WAY:,}: lower the rate, or raise the pace"
        )
    chosen = rng.choices(range(len(pauses)), weights=pauses, k=round(expected))
    for index in chosen:
        sample = samples[index]
        yield pauses[index] * rng.random(), sample.copy("", _stranger(rng, sample.person))


def _stranger(rng: Random, person: Person) -> Person:
    """Somebody else in the same situation, from the same region (which goes by the number modulo 1000)."""
    other = person.copy()
    number = (int(person.subject[1:]) + 1000 * int(rng.random() * CUSTOMERS / 1000)) % CUSTOMERS
    other.subject = f"c{number:06}"
    return other

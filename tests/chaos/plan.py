"""The schedule of a chaos run: what breaks when. It follows from the seed alone."""

from dataclasses import dataclass
from random import Random
from typing import Literal

#: A kill -9 each: of a worker at any moment, of all workers while they write state, of the sink, of everything.
Kill = Literal["worker", "checkpoint", "sink", "all"]
#: What else goes wrong, between the kills.
Fault = Literal["zombie", "join", "leave", "clock", "broker restart", "broker kill", "sink paused", "clickhouse away"]

KILLS: dict[Kill, int] = {"worker": 45, "checkpoint": 25, "sink": 20, "all": 10}
FAULTS: dict[Fault, int] = {
    "zombie": 4,
    "join": 4,
    "leave": 3,
    "clock": 3,
    "broker restart": 1,
    "broker kill": 2,
    "sink paused": 1,
    "clickhouse away": 1,
}
#: Chance that a fault of the second kind comes before a round's kill.
FAULT_CHANCE = 0.3


@dataclass(frozen=True, slots=True)
class Round:
    """One kill: once `share` of the round's events are acknowledged, and `delay_s` later."""

    number: int
    events: int
    share: float
    delay_s: float
    kill: Kill
    fault: Fault | None
    #: Chooses among those that there are: modulo their number.
    victim: int
    #: How far a clock is moved, seconds.
    step_s: int


def plan(seed: int, rounds: int, events: int, faults: list[Fault] | None = None) -> list[Round]:
    """`rounds` rounds of about `events` events each. `faults`: exactly these, spread evenly, instead of drawn ones."""
    rng = Random(seed)
    found = []
    for number in range(rounds):
        fault: Fault | None = None
        if faults is None:
            if rng.random() < FAULT_CHANCE:
                fault = rng.choices(list(FAULTS), list(FAULTS.values()))[0]
        elif faults:
            place = number * len(faults) // rounds
            fault = faults[place] if number == -(-place * rounds // len(faults)) else None
        found.append(
            Round(
                number=number,
                events=round(events * rng.uniform(0.5, 1.5)),
                share=rng.uniform(0.0, 0.9),
                delay_s=rng.uniform(0.0, 0.4),
                kill=rng.choices(list(KILLS), list(KILLS.values()))[0],
                fault=fault,
                victim=rng.randrange(6),
                step_s=rng.choice((-86_400, -3_600, -61, 61, 3_600, 86_400)),
            )
        )
    return found

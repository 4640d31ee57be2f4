"""What do the models behind the agents cost, in CPU time per event, and do they still say the same to the last bit?

`python -m bench.detectors` replays simulated histories, a sparse one (an event in two minutes, for four weeks) and a
dense one (five a second), through the models of ingest, score and detect, without Kafka, at the checkpoints that the
agents would make when they catch up. Of each it prints the CPU time and two digests: of all messages published and of
all state written. Same events, same digests: run it before and after a change, side by side. `--replay MAPPING FILES`
takes real history instead.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.report import table
from bench.state_feed import Record
from schemas import topics
from schemas.corridor import CorridorMap
from schemas.errors import StopProcess
from schemas.event import TouchpointEvent
from schemas.loader import load_map
from schemas.score import WINDOWS
from schemas.slice import Progress, Slice
from sources.mapping import load_mapping
from sources.publish import encode
from sources.replay import read_events
from sources.simulate import simulate
from sources.simulator.faults import parse_fault
from streams.model.detect.partition import Detection
from streams.model.ingest import Ingest
from streams.model.score_partition import ScorePartition

MAPS = Path(__file__).resolve().parents[1] / "schemas" / "maps"
#: Monday, 2026-01-05, midnight UTC; and when all events arrive, later than any of them happened.
MONDAY, ARRIVAL_MS = 1_767_571_200, 1_800_000_000_000
#: Events between two checkpoints of ingest; messages between two of the others.
EVENTS_AT_ONCE, MESSAGES_AT_ONCE = 500, 5_000
_LANES = (topics.EVENTS.name, topics.REKEYED.name)
_json = msgspec.json.Encoder().encode
_slice_or_progress = msgspec.json.Decoder(Slice | Progress).decode
Message = tuple[bytes, bytes]


class Kind(NamedTuple):
    """A history to simulate: events per second, how much faster than life journeys go, and what goes wrong."""

    rate: float
    pace: float
    fault: str


KINDS = {
    "sparse": Kind(1.0 / 120.0, 1.0, "delivery.delay[carrier=norte]@15d+5d"),
    "dense": Kind(5.0, 1440.0, "payment.failures@40min+10min"),
}


class Cost:
    """The CPU time of one model, and digests of what it published and of the state it wrote."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self._told, self._state = blake2b(digest_size=6), blake2b(digest_size=6)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """What runs in here is the model's."""
        began = time.process_time()
        yield
        self.cpu_s += time.process_time() - began

    def told(self, messages: Iterable[object]) -> None:
        """Messages that are published, in their order."""
        for message in messages:
            self._told.update(_json(message))

    def state(self, written: Iterable[tuple[bytes, bytes | None]]) -> None:
        """What one checkpoint writes, in any order."""
        for key, value in sorted(written):
            self._state.update(_json((key, value)))

    def row(self, name: str, events: int) -> list[str]:
        """A row of the table."""
        return [name, f"{1e6 * self.cpu_s / events:,.0f}", self._told.hexdigest(), self._state.hexdigest()]


def simulated(kind: Kind, seed: int, count: int) -> list[bytes]:
    """The first `count` events of a history, encoded."""
    events = simulate(seed, MONDAY, kind.rate, [parse_fault(kind.fault)], pace=kind.pace)
    return [encode(event) for _, event in islice(events, count)]


def ingest(corridor: CorridorMap, events: Sequence[bytes], cost: Cost) -> list[Message]:
    """What the ingest agent publishes to `experience.slices`."""
    model, found = Ingest(0, corridor, lambda _: 0), list[Message]()
    for first in range(0, len(events), EVENTS_AT_ONCE):
        values = enumerate(events[first : first + EVENTS_AT_ONCE], first)
        records = [Record(offset, ARRIVAL_MS, None, value) for offset, value in values]
        with cost.counting():
            outcome = model.apply(topics.EVENTS.name, records)
            model.advance(None)
            snapshot = model.snapshot()
        notes = [model.progress(topic, topic != topics.EVENTS.name) for topic in _LANES]
        cost.told((outcome.scored, outcome.rejected, snapshot.slices, snapshot.journeys, notes))
        cost.state(snapshot.state)
        found += [(key, value) for _, key, value in snapshot.slices]
        found += [(note.origin.encode(), _json(note)) for note in notes]
    return found


def score(corridor: CorridorMap, messages: Sequence[Message], cost: Cost) -> None:
    """Put the slices through the model of the score agent, every window at every checkpoint."""
    model = ScorePartition(corridor.defaults.minimum_n, _origins())
    for first in range(0, len(messages), MESSAGES_AT_ONCE):
        values = [value for _, value in messages[first : first + MESSAGES_AT_ONCE]]
        with cost.counting():
            for value in values:
                if not value.startswith((b'{"kind":"transition"', b'{"kind":"heard"')):
                    model.apply(_slice_or_progress(value))
            scores = model.windows.take_dirty(model.lanes.watermark(), len(WINDOWS))
            model.forget(float(corridor.defaults.allowed_lateness))
        cost.told(scores)


def detect(corridor: CorridorMap, messages: Sequence[Message], cost: Cost) -> None:
    """Put the slices through the model of the detect agent, its state being stored at every checkpoint."""
    model = Detection(corridor, _origins())
    for first in range(0, len(messages), MESSAGES_AT_ONCE):
        with cost.counting():
            for offset, (key, value) in enumerate(messages[first : first + MESSAGES_AT_ONCE], first):
                model.apply(offset, key, value)
                while model.settle():
                    pass
            told = model.take_told()
            standings = model.take_corridor()
            state = model.snapshot(told)
        cost.told((told, standings))
        cost.state(state)


def _origins() -> list[str]:
    return [f"{topic}/0" for topic in _LANES]


def measure(name: str, corridor: CorridorMap, events: Sequence[bytes]) -> list[list[str]]:
    """Rows of the table: what each model costs."""
    costs = {"ingest": Cost(), "score": Cost(), "detect": Cost()}
    messages = ingest(corridor, events, costs["ingest"])
    score(corridor, messages, costs["score"])
    detect(corridor, messages, costs["detect"])
    return [[name, f"{len(events):,}", *cost.row(model, len(events))] for model, cost in costs.items()]


def replayed(mapping: str, files: Sequence[str], most: int) -> list[bytes]:
    """The first events of real history, encoded."""
    events: Iterator[TouchpointEvent] = read_events(files, load_mapping(mapping))
    return [encode(event) for event in islice(events, most)]


def _histories(options: argparse.Namespace) -> Iterator[tuple[str, str, list[bytes]]]:
    """The name of each, that of its map, and its events."""
    if options.replay:
        mapping, *files = options.replay
        yield mapping, mapping, replayed(mapping, files, options.events)
        return
    for kind in options.kinds:
        for seed in options.seeds:
            yield f"{kind} {seed}", "retail", simulated(KINDS[kind], seed, options.events)


def _map(name: str) -> CorridorMap:
    return load_map(MAPS / f"{name}.yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.detectors", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="events of each history, at most")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="one history of each kind for each seed")
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=list(KINDS))
    parser.add_argument("--replay", nargs="+", metavar=("MAPPING", "FILES"), help="real history; the map has its name")
    options = parser.parse_args(arguments)
    try:
        rows = [row for name, map_name, events in _histories(options) for row in measure(name, _map(map_name), events)]
    except StopProcess as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(table(("history", "events", "model", "CPU µs an event", "told", "state"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Injected congestion and blockage, and nothing at all: how often is it named right, and how soon?"""

from collections.abc import Callable, Iterator
from math import log
from statistics import median
from typing import NamedTuple

import numpy as np

from bench import faults
from bench.delays import Random
from bench.report import table
from schemas.corridor import CorridorMap, Duration, Label, Touchpoint, Transition
from schemas.incident import Incident
from schemas.slice import BUCKET_S
from schemas.transition import GOAL, STALLED, START
from streams.model.detect.cusum import Line, Run, mean_line, share_line
from streams.model.detect.settled import Settled, Went
from streams.model.detect.tenant import Detectors, Rules
from streams.model.detect.tuning import Tuning

TUNING = Tuning()
#: The detectors learn for so many days, so many times; each run begins with one of those states.
LEARNED_DAYS = 8
LEARNED_STATES = 3
#: A run lasts 80 minutes; the fault comes in the middle.
RUN_S = 4800
PAIR = ("carrier", faults.FAULTY)
Saved = tuple[tuple[bytes, bytes], ...]
_LABEL = Label("a", "a")
MAP = CorridorMap(
    "bench",
    _LABEL,
    (
        Touchpoint("a", _LABEL, "web", "before", patience=Duration(faults.PATIENCE_S)),
        Touchpoint("b", _LABEL, "web", "during", goal=True),
    ),
    transitions=(Transition("a", "b"),),
)


class Fault(NamedTuple):
    """What happens to the journeys of the faulty carrier; `kind` is what it should be called."""

    name: str
    kind: str
    wait_factor: float
    goes_on: float
    #: The optimal test: told the segment and the shift, at the same false-alarm time.
    line: Line | None


class Outcome(NamedTuple):
    """What was told of one run, in seconds after the fault; None: nothing."""

    delay: int | None
    optimal: int | None
    pile_up: int | None
    right: bool
    #: Something was told before the fault, or as the other kind.
    false_alarm: bool


def _detectors(saved: Saved = ()) -> Detectors:
    """All that the detect agent runs for a tenant with this corridor."""
    detectors = Detectors("default", Rules(MAP))
    for name, state in saved:
        detectors.restore(name, state)
    return detectors


def _settled(bucket: faults.Bucket) -> Settled:
    """The bucket as the detect agent has it: who came, who went on after what wait, and who stalled."""
    went = []
    for pair, waits in bucket.waits.items():
        came, stopped = bucket.ends[pair]
        resumed = waits.n + stopped - bucket.flow[pair][1]
        went += [
            Went(START, "a", *pair, n=came),
            Went(
                "a",
                "b",
                *pair,
                n=waits.n,
                resumed=resumed,
                wait_n=waits.n,
                wait_log_sum=waits.s,
                wait_log_sum2=waits.ss,
            ),
            Went("a", STALLED, *pair, n=stopped),
            Went("b", GOAL, *pair, n=waits.n),
        ]
    return Settled(
        bucket.start, [], sorted(went, key=lambda way: (way.touchpoint, way.following, way.segment, way.value))
    )


def _faults() -> tuple[Fault, ...]:
    journeys = faults.PER_SECOND * faults.CARRIERS[faults.FAULTY] * TUNING.false_alarm_s
    waits = mean_line(faults.MU, faults.SIGMA, log(3.0), journeys * faults.GOES_ON)
    ends = share_line(1.0 - faults.GOES_ON, 0.4, journeys)
    return (
        Fault("waits x 3", "congestion", 3.0, faults.GOES_ON, waits),
        Fault("going on 90 % to 60 %", "blockage", 1.0, 0.6, ends),
        Fault("no fault", "", 1.0, faults.GOES_ON, None),
    )


def corridor(runs: int, monday: int, random: Random, tell: Callable[[str], None], misses: list[str]) -> str:
    """The table of all faults, `runs` runs each."""
    learned = []
    for index in range(LEARNED_STATES):
        tell(f"corridor: learning {index + 1} of {LEARNED_STATES}")
        detectors = _detectors()
        for bucket in faults.usual(monday, LEARNED_DAYS * 86_400, random):
            detectors.feed(_settled(bucket))
        learned.append(tuple(detectors.changed()))
    start = monday + LEARNED_DAYS * 86_400
    rows = []
    for fault in _faults():
        outcomes = []
        for run in range(runs):
            tell(f"corridor: {fault.name}, run {run + 1} of {runs}")
            outcomes.append(_run(fault, learned[run % LEARNED_STATES], start, random))
        rows.append(_row(fault, outcomes, misses))
    head = ("fault", "found", "place, kind and segment right", "delay: median (5 % to 95 %)", "told the shift: median")
    return table((*head, "pile-up told: runs, median", "runs with a false alarm or kind"), rows)


def _run(fault: Fault, learned: Saved, start: int, random: Random) -> Outcome:
    at = start + RUN_S // 2
    buckets = list(faults.journeys(start, RUN_S, at, fault.wait_factor, fault.goes_on, random))
    detectors = _detectors(learned)
    told = [message for bucket in buckets for message in detectors.feed(_settled(bucket)) if message.version == 1]
    if not fault.kind:
        return Outcome(None, None, None, False, bool(told))
    piles = [message.detected_at - at for message in told if message.measure == "pile_up"]
    mine = [m for m in told if m.kind == fault.kind and m.measure != "pile_up" and m.detected_at > at]
    return Outcome(
        delay=mine[0].detected_at - at if mine else None,
        optimal=next(_optimal(fault, [bucket for bucket in buckets if bucket.start >= at]), None),
        pile_up=piles[0] if piles else None,
        right=bool(mine) and _named(mine[0]),
        false_alarm=any(
            message.detected_at <= at or message.kind not in (fault.kind, "congestion") for message in told
        ),
    )


def _optimal(fault: Fault, buckets: list[faults.Bucket]) -> Iterator[int]:
    """Seconds after the fault at which the optimal test alarms; it is fed the same numbers."""
    run, late = Run(), faults.PATIENCE_S // BUCKET_S
    for index, bucket in enumerate(buckets):
        n, total = bucket.waits[PAIR][:2]
        if fault.kind == "blockage":
            n = buckets[index - late].ends[PAIR][0] if index >= late else 0
            total = float(bucket.ends[PAIR][1]) if index >= late else 0.0
        if fault.line is not None and run.add(bucket.start, n, total, fault.line):
            yield bucket.start + BUCKET_S - buckets[0].start


def _named(message: Incident) -> bool:
    """Whether its first message names the place, and the faulty segment as its own or as the first cause."""
    if (message.touchpoint, message.following) != ("a", "b" if message.kind == "congestion" else ""):
        return False
    if (message.segment, message.segment_value) == PAIR:
        return True
    return not message.segment and [(cause.segment, cause.value) for cause in message.causes[:1]] == [PAIR]


def _row(fault: Fault, outcomes: list[Outcome], misses: list[str]) -> list[str]:
    runs, false = len(outcomes), sum(outcome.false_alarm for outcome in outcomes)
    if false:
        misses.append(f"{fault.name}: {false} of {runs} runs with an alarm and no fault")
    if not fault.kind:
        return [fault.name, "", "", "", "", "", str(false)]
    delays = [outcome.delay for outcome in outcomes if outcome.delay is not None]
    optimal = [outcome.optimal for outcome in outcomes if outcome.optimal is not None]
    piles = [outcome.pile_up for outcome in outcomes if outcome.pile_up is not None]
    right = sum(outcome.right for outcome in outcomes)
    if not delays or right < 0.95 * runs or median(delays) > 1.5 * median(optimal):
        misses.append(f"{fault.name}: {right} of {runs} right, delays {delays} s against {optimal} s")
    if not delays:
        return [fault.name, f"0 of {runs}", "", "", "", str(len(piles)), str(false)]
    low, high = np.percentile(delays, (5, 95))
    return [
        fault.name,
        f"{len(delays)} of {runs}",
        f"{right}",
        f"{median(delays):.0f} s ({low:.0f} to {high:.0f})",
        f"{median(optimal):.0f} s",
        f"{len(piles)}, {median(piles):.0f} s" if piles else "0",
        f"{false}",
    ]

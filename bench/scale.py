"""Does a second worker cost more than its share: partitions and workers on Apache Kafka, and the calculator's word.

`python -m bench.scale [--events 30000] [--runs 3] [--json FILE] [--write]`

Twice: with a load that grows with the partitions, at a steady rate, as an installation grows; and with the same events
for all, as fast as it goes. They are published when every worker owns its partitions, and timed until the last of them
is committed. CPU is that of all workers together. `corredor size` says beforehand what each set-up should need.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench import machine
from bench.costs_fit import Point, said
from bench.feed import DENSITY
from bench.group_run import GroupRun, run
from bench.report import add_options, finish, table
from bench.vary import VALUES, Paced, Variation, Varied, raw, varied
from command import measured as constants
from command.sizing import Load, journey_memory, kafka_topics, slices_per_second, worker_cores
from schemas import topics
from schemas.errors import StopProcess
from streams.runtime.local import LocalKafka, kafka_version
from streams.runtime.settings import Settings

DEFAULT_EVENTS, DEFAULT_RUNS = 30_000, 3
#: Partitions and the workers that share them; the first is what the others are compared with.
SHAPES = ((1, 1), (2, 2), (4, 1), (4, 2), (4, 4))
#: A load that grows with the partitions: events a second for each of them, for so many seconds.
GROWING, GROWING_RATE, GROWING_S = ((1, 1), (2, 2), (4, 4)), 400.0, 20.0
#: The goal: CPU for a million events of a load that grows, at most so many times that of one worker on one partition.
GOAL = 1.25
#: Of the map as shipped.
TOUCHPOINTS = 23
#: The steady run that a whole plan is checked on: events a second, seconds, partitions and workers.
STEADY_RATE, STEADY_S, STEADY_SHAPE = 1000.0, 40.0, (4, 2)
_SHAPE = ("partitions", "workers")
_COST = ("CPU s per million", "range", "x of the first")
_SHARES = ("of the CPU, busiest worker", "slices per event")
Shape = tuple[int, int]
Tell = Callable[[str], None]


def measure(
    count: int,
    runs: int,
    tell: Tell,
    shapes: Sequence[Shape] = SHAPES,
    steady_s: float = STEADY_S,
    growing: Sequence[Shape] = GROWING,
    growing_s: float = GROWING_S,
) -> tuple[str, str]:
    """The report as Markdown and as JSON. Raises StopProcess where an event was lost or counted twice."""
    tell(f"simulating {count:,} events")
    events = varied(Variation(), raw(count), time.time() - count / DENSITY)
    found: list[GroupRun] = []
    grown: list[GroupRun] = []
    with tempfile.TemporaryDirectory(prefix="corredor-bench-") as folder:
        settings = Settings(data_dir=Path(folder))
        with LocalKafka(Path(folder)) as kafka:
            tell(f"{STEADY_RATE:,.0f} events/s for {steady_s:.0f} s")
            paced = Paced(Variation(), raw(round(STEADY_RATE * steady_s)), STEADY_RATE)
            steady = run(settings, kafka, paced, *STEADY_SHAPE, runs)
            for number in range(runs):
                for partitions, workers in growing:
                    rate = GROWING_RATE * partitions
                    tell(
                        f"run {number + 1} of {runs}: {rate:,.0f} events/s, {partitions} partitions, {workers} workers"
                    )
                    load = Paced(Variation(), raw(round(rate * growing_s)), rate)
                    grown.append(run(settings, kafka, load, partitions, workers, number))
                    tell(f"  {grown[-1].cpu_per_million:,.0f} CPU s per million")
            for number in range(runs):
                for partitions, workers in shapes:
                    tell(f"run {number + 1} of {runs}: {partitions} partitions, {workers} workers")
                    found.append(run(settings, kafka, events.feed, partitions, workers, number))
                    tell(f"  {found[-1].rate:,.0f} events/s, {found[-1].cpu_per_million:,.0f} CPU s per million")
    check(found)
    text = "\n\n".join(
        (_grown(grown, runs, growing), _markdown(found, events, runs, shapes), _planned(steady, events.segments))
    )
    return text, _json([*grown, *found, steady], events)


def check(found: Sequence[GroupRun]) -> None:
    """Raises StopProcess where the merged slices of two runs differ in a single bit."""
    for one in found[1:]:
        if one.slices != found[0].slices:
            raise StopProcess(
                f"the slices of {one.workers} workers on {one.partitions} partitions differ from those of "
                f"{found[0].workers} on {found[0].partitions}"
            )


def median(found: Sequence[GroupRun], shape: Shape) -> GroupRun:
    """The run of that shape with the median of CPU for an event."""
    mine = [one for one in found if (one.partitions, one.workers) == shape]
    middle = statistics.median_low([one.cpu_per_million for one in mine])
    return next(one for one in mine if one.cpu_per_million == middle)


def _shape(shape: Shape) -> tuple[str, str]:
    return str(shape[0]), str(shape[1])


def _cost(found: Sequence[GroupRun], shape: Shape, base: float) -> tuple[str, str, str]:
    """CPU for a million events: the median of a shape's runs, the range, and the median as a multiple of `base`."""
    costs = [each.cpu_per_million for each in found if (each.partitions, each.workers) == shape]
    middle = median(found, shape).cpu_per_million
    return f"{middle:.1f}", f"{min(costs):.1f} to {max(costs):.1f}", f"{middle / base:.2f}"


def _shares(one: GroupRun) -> tuple[str, str]:
    return f"{max(one.cpu_s) / sum(one.cpu_s):.0%}", f"{one.slices_per_event:.2f}"


def _grown(found: Sequence[GroupRun], runs: int, shapes: Sequence[Shape]) -> str:
    base, rows = median(found, shapes[0]).cpu_per_million, []
    for shape in shapes:
        one = median(found, shape)
        rows.append([*_shape(shape), f"{GROWING_RATE * shape[0]:,.0f}", *_cost(found, shape, base), *_shares(one)])
    worst = max(median(found, shape).cpu_per_million for shape in shapes) / base
    columns = (*_SHAPE, "events/s", *_COST, *_SHARES)
    text = (
        f"A load that grows with the partitions: {GROWING_RATE:,.0f} events/s for each. Medians of {runs} interleaved "
        f"runs; Apache Kafka {kafka_version()} on the same machine. {machine.line([])}"
    )
    verdict = (
        f"Goal: at most {GOAL} times the CPU of one worker on one partition: {worst:.2f}, "
        f"{'reached' if worst <= GOAL else '**missed**'}."
    )
    return "\n\n".join((text, table(columns, rows), verdict))


def _markdown(found: Sequence[GroupRun], events: Varied, runs: int, shapes: Sequence[Shape]) -> str:
    base, feed = median(found, shapes[0]), events.feed
    measured, checked = [], []
    for shape in shapes:
        one = median(found, shape)
        speed = (f"{one.rate:,.0f}", f"{one.rate / base.rate:.2f}")
        measured.append([*_shape(shape), *_cost(found, shape, base.cpu_per_million), *speed, *_shares(one)])
        by_size = predicted(one, events)
        checked.append(
            [
                *_shape(shape),
                f"{by_size:.1f}",
                f"{one.cpu_per_million:.1f}",
                f"{by_size / one.cpu_per_million:.2f}",
            ]
        )
    setting = (
        f"The same {len(feed.events):,} events for all, {feed.mean_bytes:.0f} bytes each, as fast as it goes; medians "
        f"of {runs} interleaved runs:"
    )
    columns = (*_SHAPE, *_COST, "events/s", "x of the first", *_SHARES)
    verdict = (
        f"Every run counted each of the {feed.distinct.total():,} events once, and its {len(found[0].slices):,} merged "
        "slices equal those of all others to the last bit."
    )
    size = (*_SHAPE, "`corredor size`: CPU s per million", "measured", "said / measured")
    return "\n\n".join((setting, table(columns, measured), verdict, table(size, checked)))


def predicted(one: GroupRun, events: Varied) -> float:
    """CPU seconds for a million events by the costs of `corredor size`, at the rate and with the slices of the run."""
    by = constants.load()
    point = Point(Variation(), TOUCHPOINTS, events.segments, 0.0, one.slices_per_event, 0.0, rate=one.rate)
    return said(point, by.cpu, by.slices, one.workers)


def _planned(steady: GroupRun, segments: float) -> str:
    """What `corredor size` reckons for the steady run, beside what it was."""
    by, interval = constants.load(), Settings().checkpoint_interval
    rate = steady.rate
    load = Load(rate, steady.journeys, TOUCHPOINTS, segments, VALUES, interval=interval)
    slices = slices_per_second(load, by, steady.partitions, interval)
    cores = worker_cores(load, by, slices) + steady.workers * by.cpu.idle / 1e6
    memory = by.bytes.worker + steady.journeys * journey_memory(load, by) / steady.workers
    rows = [
        ("cores of the workers together", cores, sum(steady.cpu_s) / steady.seconds, ".2f"),
        ("MB of memory of a worker", memory / 1e6, steady.peak_rss / steady.workers / 1e6, ".0f"),
    ]
    for one in kafka_topics(load, by, steady.partitions, slices):
        log = steady.logs[one.name]
        rows.append((f"{one.name}, messages/s", one.messages, log.records / steady.seconds, ",.0f"))
        rows.append((f"{one.name}, kB/s", one.bytes / 1e3, log.bytes / steady.seconds / 1e3, ",.0f"))
    text = (
        f"And a whole plan, checked at a steady {rate:,.0f} events/s for {steady.seconds:.0f} s, {steady.workers} "
        f"workers on {steady.partitions} partitions, {steady.journeys:,} journeys (their messages come 30 s after the "
        "first contact, so not all have come):"
    )
    shown = [
        [name, f"{planned:{form}}", f"{measured:{form}}", f"{planned / measured:.2f}" if measured else ""]
        for name, planned, measured, form in rows
    ]
    return f"{text}\n\n{table(('', '`corredor size`', 'measured', 'said / measured'), shown)}"


def _json(found: Sequence[GroupRun], events: Varied) -> str:
    rows: list[dict[str, Any]] = [
        {
            "partitions": one.partitions,
            "workers": one.workers,
            "events": one.events,
            "seconds": one.seconds,
            "cpu_s": one.cpu_s,
            "peak_rss_bytes": one.peak_rss,
            "slices_published": one.logs[topics.SLICES.name].records,
            "cpu_s_per_million_predicted": predicted(one, events),
        }
        for one in found
    ]
    return msgspec.json.format(msgspec.json.encode({"machine": dict(machine.describe()), "runs": rows})).decode()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--events", type=int, default=DEFAULT_EVENTS)
    parser.add_argument("--runs", type=int, default=DEFAULT_RUNS)
    add_options(parser)
    options = parser.parse_args(arguments)
    return finish(
        "scale",
        options,
        lambda: measure(options.events, options.runs, lambda line: print(line, file=sys.stderr, flush=True)),
    )


if __name__ == "__main__":
    sys.exit(main())

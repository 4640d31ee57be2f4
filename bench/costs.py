"""What one more touchpoint, segment, contact or late event costs: curves, plots, and the constants of `corredor size`.

`python -m bench.costs [--events 30000] [--json FILE] [--write]`

One worker on four partitions of Apache Kafka works through events that differ in one thing at a time. `--write` puts
the tables into docs/performance.md, the plots into docs/plots, the constants into command/measured.json, and what
`corredor size` now answers into docs/sizing.md.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from bench import cost_plots, machine, sized
from bench.cost_plots import Line
from bench.costs_fit import JOURNEY_MEMORY, SLICE_OLD, SLICE_RECENT, Point, Sharing, constants, said
from bench.costs_parts import Merging, Sunk, idle, journey_message, merging, shared, sunk
from bench.feed import DENSITY
from bench.group_run import GroupRun, fresh, run
from bench.report import DOCS, add_options, finish, table
from bench.vary import VALUES, Variation, raw, varied, write_map
from command import measured as constants_file
from command.measured import Bytes, Measured
from command.sizing import occupied
from schemas import topics
from schemas.event import TouchpointEvent
from schemas.loader import load_map
from streams.runtime.local import LocalKafka, kafka_version
from streams.runtime.settings import Settings

DEFAULT_EVENTS = 30_000
PARTITIONS = 4
BASE = Variation()
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Curve:
    """One thing that is varied. `of` gives its value of a point."""

    name: str
    title: str
    label: str
    variations: tuple[Variation, ...]
    of: Callable[[Point], float]


CURVES = (
    Curve(
        "touchpoints",
        "Touchpoints",
        "touchpoints",
        (Variation(copies=4), Variation(copies=16)),
        lambda p: p.touchpoints,
    ),
    Curve(
        "segments",
        "Segment pairs",
        "segment pairs of an event",
        (Variation(segments=0), Variation(segments=5), Variation(segments=8)),
        lambda p: p.segments,
    ),
    Curve(
        "contacts",
        "Length of journeys",
        "contacts of a journey",
        (Variation(contacts=1.0), Variation(contacts=10.0), Variation(contacts=30.0)),
        lambda p: p.variation.contacts,
    ),
    Curve(
        "late",
        "Late events",
        "late events, percent",
        (Variation(late=0.0), Variation(late=0.05), Variation(late=0.2)),
        lambda p: 100 * p.variation.late,
    ),
)
#: How slices are shared: what the events are like, and how many come with a checkpoint.
SHARED = (
    *((Variation(late=0.0), every) for every in (1, 100, 1000, 3000)),
    *((Variation(late=0.0, copies=16), every) for every in (100, 1000, 3000)),
    (Variation(late=0.2), 1000),
)
_SHARED_EVENTS, _MERGED_EVENTS = 6_000, 12_000


@dataclass(slots=True)
class Found:
    """All that was measured."""

    points: list[Point]
    sharing: list[Sharing]
    base: GroupRun
    merging: Merging
    sink: Sunk
    journey_message: float
    idle: float
    event_bytes: float


def measure(count: int, tell: Tell, curves: Sequence[Curve] = CURVES) -> Found:
    """All runs, one after the other; raises StopProcess where an event was lost or counted twice."""
    tell(f"simulating {count:,} events")
    events = raw(count)
    # The usual one at the beginning, in the middle, and at the end, where it leaves its results for the sink.
    variations = [BASE, *(variation for curve in curves for variation in curve.variations)]
    variations.insert(len(variations) // 2, BASE)
    points: list[Point] = []
    with tempfile.TemporaryDirectory(prefix="corredor-bench-") as name:
        folder = Path(name)
        tell("how slices are shared")
        sharing = [_sharing(*each, events[:_SHARED_EVENTS], folder) for each in SHARED]
        with LocalKafka(folder) as kafka:
            for number, variation in enumerate(variations):
                tell(f"run {number + 1} of {len(variations)}: {variation}")
                settings, point, result = _point(variation, events, kafka, folder, number)
                points.append(point)
                tell(f"  {result.rate:,.0f} events/s, {result.cpu_per_million:,.0f} CPU s per million")
            tell("the usual one once more, and its sink")
            settings, point, result = _point(BASE, events, kafka, folder, len(variations), journeys_too=True)
            points.append(point)
            sink = sunk(settings, folder / "sink")
            tell("merging")
            settings = fresh(settings, kafka, PARTITIONS)
            merged = merging(settings, events[:_MERGED_EVENTS])
            tell("an idle worker")
            still = idle(settings)
        message = journey_message(events[:_SHARED_EVENTS], load_map(settings.map))
    return Found(points, sharing, result, merged, sink, message, still, varied(BASE, events, 0.0).feed.mean_bytes)


def _point(
    variation: Variation,
    events: Sequence[TouchpointEvent],
    kafka: LocalKafka,
    folder: Path,
    number: int,
    journeys_too: bool = False,
) -> tuple[Settings, Point, GroupRun]:
    """One run; its settings are those to find the results by."""
    touchpoints = write_map(variation, folder / "map.yaml")
    settings = Settings(data_dir=folder, map=folder / "map.yaml")
    one = varied(variation, events, time.time() - len(events) / DENSITY)
    result = run(settings, kafka, one.feed, PARTITIONS, 1, number, journeys_too)
    point = Point(
        variation,
        touchpoints,
        one.segments,
        result.cpu_per_million,
        result.slices_per_event,
        result.journey_bytes,
        result.peak_rss,
        result.rate,
    )
    update = {"kafka": kafka.bootstrap, "partitions": PARTITIONS, "group": f"bench.{PARTITIONS}.1.{number}"}
    return settings.model_copy(update=update), point, result


def _sharing(variation: Variation, every: int, events: Sequence[TouchpointEvent], folder: Path) -> Sharing:
    touchpoints = write_map(variation, folder / "map.yaml")
    some = events[: min(len(events), max(every, 1000 if every == 1 else 3000))]
    segments = varied(variation, some, 0.0).segments
    slices = shared(variation, some, load_map(folder / "map.yaml"), every)
    return Sharing(variation, touchpoints, segments, every, slices)


def conclude(found: Found) -> Measured:
    """The constants of `corredor size`."""
    logs = found.base.logs
    written = logs[topics.STATE_INGEST.name].records * found.base.state_bytes
    bytes_each = {
        topic.name: logs[topic.name].bytes / logs[topic.name].records
        for topic in (topics.EVENTS, topics.SCORED, topics.SLICES, topics.SCORES)
    }
    # The messages of journeys come after the run: a journey is as long there as it is in the changelog.
    compressed = logs[topics.STATE_INGEST.name].bytes / written
    bytes_each[topics.JOURNEYS.name] = found.base.journey_bytes * compressed
    lengths = [one.variation.contacts for one in found.points]
    slope, start = np.polyfit(np.array(lengths) - 1.0, [one.journey_bytes for one in found.points], 1)
    bases = [one for one in found.points if one.variation == BASE]
    sizes = Bytes(
        event=found.event_bytes,
        records=bytes_each,
        changelog=compressed,
        rows=found.sink.bytes,
        journey=float(start),
        contact=max(float(slope), 0.0),
        journey_memory=JOURNEY_MEMORY,
        slice_recent=SLICE_RECENT,
        slice_old=SLICE_OLD,
        worker=float(statistics.median(one.peak_rss for one in bases)),
    )
    other = {
        "merge": found.merging.slice,
        "place": found.merging.place,
        "journey_message": found.journey_message,
        "row": found.sink.cpu,
        "idle": found.idle,
    }
    return constants(found.points, found.sharing, other, sizes, found.merging.scores, dict(machine.describe()))


def median(points: Sequence[Point], variation: Variation) -> Point:
    """The run of that variation with the median of CPU."""
    mine = [one for one in points if one.variation == variation]
    middle = statistics.median_low([one.cpu for one in mine])
    return next(one for one in mine if one.cpu == middle)


def of_curve(points: Sequence[Point], curve: Curve) -> list[Point]:
    """The points of a curve, in order."""
    return sorted((median(points, each) for each in (BASE, *curve.variations)), key=curve.of)


def render(found: Found, by: Measured) -> str:
    """The report as Markdown."""
    spread = sorted(one.cpu for one in found.points if one.variation == BASE)
    parts = [
        f"One worker, {PARTITIONS} partitions, {found.base.events:,} events a run, each point once and the usual one "
        f"{len(spread)} times ({spread[0]:.0f} to {spread[-1]:.0f} CPU s per million); Apache Kafka {kafka_version()} "
        f"on the same machine. {machine.line([])}"
    ]
    for curve in CURVES:
        rows = [
            [
                f"{curve.of(one):.4g}",
                f"{one.cpu:.1f}",
                f"{said(one, by.cpu, by.slices):.1f}",
                f"{one.slices:.2f}",
                f"{one.journey_bytes:,.0f}",
                f"{one.peak_rss / 2**20:,.0f}",
            ]
            for one in of_curve(found.points, curve)
        ]
        columns = (
            curve.label,
            "CPU s per million events",
            "by the fitted costs",
            "slices per event",
            "bytes of a journey in the changelog",
            "peak MiB",
        )
        parts += [f"![{curve.title}](plots/{curve.name}.svg)", table(columns, rows)]
    shares = [
        [str(one.touchpoints), f"{one.every:,}", f"{one.slices:.2f}", f"{_shared(one, by):.2f}"]
        for one in found.sharing
        if not one.variation.late
    ]
    cpu = by.cpu
    fitted = [
        ["event", f"{cpu.event:.1f}"],
        ["each segment pair of it", f"{cpu.pair:.1f}"],
        ["each journey that begins", f"{cpu.journey:.1f}"],
        ["each late event, beside its slices", f"{cpu.late:.1f}"],
        ["each slice published", f"{cpu.slice:.1f}"],
        ["of it: merged into those of other partitions", f"{cpu.merge:.1f}"],
        ["each place that changed, each checkpoint: windows, detection", f"{cpu.place:.1f}"],
        ["each message of a journey", f"{cpu.journey_message:.1f}"],
        ["a sink, each row (inserting by chDB in it)", f"{cpu.row:.1f}"],
        ["a worker that has nothing to do, each second", f"{cpu.idle:,.0f}"],
    ]
    disk = [[name, f"{size:,.0f}"] for name, size in (*by.bytes.records.items(), *by.bytes.rows.items())]
    parts += [
        "![Slices shared](plots/sharing.svg)",
        table(("touchpoints", "events per partition and checkpoint", "slices per event", "by the formula"), shares),
        "The costs that `corredor size` goes by, fitted to the points above or measured by themselves:",
        table(("CPU", "microseconds"), fitted),
        table(("a record or row of", "bytes on disk"), disk),
    ]
    return "\n\n".join(parts)


def _draw(found: Found, by: Measured, folder: Path) -> None:
    """Write one plot for each curve, and one for how slices are shared."""
    cpu = "CPU s per million events"
    for curve in CURVES:
        points = of_curve(found.points, curve)
        at = [curve.of(one) for one in points]
        fit = Line("fitted costs", at, [said(one, by.cpu, by.slices) for one in points], dashed=True)
        dots = Line("measured", at, [one.cpu for one in points])
        cost_plots.draw(folder / f"{curve.name}.svg", curve.title, (curve.label, cpu), [dots, fit])
    lines = []
    on_time = [one for one in found.sharing if not one.variation.late and one.every > 1]
    for count in sorted({one.touchpoints for one in on_time}):
        mine = [one for one in on_time if one.touchpoints == count]
        every = [float(one.every) for one in mine]
        lines.append(Line(f"{count} touchpoints", every, [one.slices for one in mine]))
        finer = [float(each) for each in np.geomspace(every[0], every[-1], 50)]
        formula = [_shared(replace(mine[0], every=round(each)), by) for each in finer]
        lines.append(Line(f"{count}, by the formula", finer, formula, dashed=True))
    labels = "events per partition and checkpoint", "slices per event"
    cost_plots.draw(folder / "sharing.svg", "Slices shared", labels, lines, log=True)


def _shared(one: Sharing, by: Measured) -> float:
    places = one.touchpoints * (1 + one.segments * VALUES) * by.slices.places
    return occupied(places, one.every * by.slices.touched * (1 + one.segments), by.slices.skew) / one.every


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.costs", description=__doc__)
    parser.add_argument("--events", type=int, default=DEFAULT_EVENTS)
    add_options(parser)
    options = parser.parse_args(arguments)

    def measured() -> tuple[str, str]:
        found = measure(options.events, lambda line: print(line, file=sys.stderr, flush=True))
        by = conclude(found)
        text = render(found, by)
        if options.write:
            constants_file.save(by)
            _draw(found, by, DOCS / "plots")
            sized.write(DOCS / "sizing.md")
        whole = {"machine": by.machine, "points": found.points, "sharing": found.sharing, "measured": by}
        return text, msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()

    return finish("costs", options, measured)


if __name__ == "__main__":
    sys.exit(main())

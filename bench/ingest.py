"""How fast is the ingest agent: against Faust as its guide shows, against the same work by hand, against the least.

`python -m bench.ingest [--events 300000] [--runs 3] [--cluster local|embedded] [--json FILE] [--write]`
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench import machine
from bench.clusters import open_cluster
from bench.contest import BY_HAND, GUIDE, JOURNEY_FREE, KINDS, OWN, OWN_STATE_FREE, Kind, Result, check, median, run
from bench.contestants import SHORT_TOPIC
from bench.feed import DENSITY, Feed, first, simulated
from bench.report import add_options, finish, table
from schemas import topics
from schemas.errors import UsageError
from streams.runtime import local
from streams.runtime.settings import Settings

DEFAULT_EVENTS = 300_000
DEFAULT_RUNS = 3
#: Faust's way gets this many of the events at most: its rate is what counts, and it is slow.
GUIDE_EVENTS = 20_000
#: Goals: own against a, own against b, own in events/s where b is fast enough to tell, own against itself without
#: state, b against itself without journeys.
GOAL_A, GOAL_B, GOAL_RATE, RATE_OF_B, GOAL_STATE, GOAL_JOURNEYS = 25.0, 0.5, 60_000.0, 120_000.0, 0.85, 0.7
_LIMIT_S = 300.0
Tell = Callable[[str], None]


def measure(count: int, runs: int, cluster_kind: str, tell: Tell, kinds: Sequence[Kind] = KINDS) -> tuple[str, str]:
    """Run the contest; returns the report as Markdown and as JSON. Raises StopProcess where results differ."""
    tell(f"simulating {count:,} events")
    feed = simulated(count)
    short = first(feed, min(count, GUIDE_EVENTS))
    with tempfile.TemporaryDirectory(prefix="corredor-bench-") as folder:
        settings = Settings(data_dir=Path(folder))
        feeds = {topics.EVENTS.name: feed, SHORT_TOPIC: short}
        with open_cluster(cluster_kind, feeds, Path(folder)) as cluster:
            results = []
            for number in range(runs):
                for kind in kinds:
                    tell(f"run {number + 1} of {runs}: {kind.label}")
                    results.append(run(kind, cluster, settings, number, _LIMIT_S))
                    tell(f"  {results[-1].rate:,.0f} events/s")
            proven = check(results, feed, short)
            name = cluster.name
    return _markdown(results, feed, runs, name, proven, kinds), _json(results, name)


def best_cluster() -> str:
    """`local` where Java and the jars of Apache Kafka are there (or can be fetched), else `embedded`."""
    try:
        local.java()
        local.fetch_jars()
    except UsageError:
        return "embedded"
    return "local"


def _markdown(
    results: Sequence[Result], feed: Feed, runs: int, cluster: str, proven: Sequence[str], kinds: Sequence[Kind]
) -> str:
    found = {kind: median(results, kind) for kind in kinds}
    own = found[OWN]
    rows = []
    for kind, result in found.items():
        rates = [each.rate for each in results if each.kind is kind]
        rows.append(
            [
                f"**{kind.label}**" if kind is OWN else f"({kind.name}) {kind.label}",
                f"{result.rate:,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{result.cpu_per_million:,.1f}",
                f"{result.peak_rss / 2**20:,.0f}",
                f"{result.mean_batch:,.0f}",
                f"{own.rate / result.rate:.2f}",
                f"{result.events:,}",
            ]
        )
    columns = (
        "contestant",
        "events/s",
        "range",
        "CPU s per million",
        "peak MiB",
        "mean batch",
        "own is x times",
        "events",
    )
    setting = (
        f"Medians of {runs} interleaved runs; {feed.mean_bytes:.0f} bytes an event, {DENSITY:,.0f} events per second "
        f"of event time, lz4; cluster: {cluster}. {machine.line([])}"
    )
    goals = [] if set(found) != set(KINDS) else _goals(found)
    return "\n\n".join((setting, table(columns, rows), *goals, f"Checked in this run: {'; '.join(proven)}."))


def _goals(found: Mapping[Kind, Result]) -> list[str]:
    own, guide, by_hand = found[OWN], found[GUIDE], found[BY_HAND]

    def verdict(reached: bool) -> str:
        return "reached" if reached else "**missed**"

    rows = [
        [f"at least {GOAL_A:.0f} x (a)", f"{own.rate / guide.rate:.1f} x", verdict(own.rate >= GOAL_A * guide.rate)],
        [f"at least {GOAL_B} x (b)", f"{own.rate / by_hand.rate:.2f} x", verdict(own.rate >= GOAL_B * by_hand.rate)],
    ]
    kept = own.rate / found[OWN_STATE_FREE].rate
    rows.append([f"at least {GOAL_STATE} x (own-stateless)", f"{kept:.2f} x", verdict(kept >= GOAL_STATE)])
    kept = by_hand.rate / found[JOURNEY_FREE].rate
    rows.append([f"(b) at least {GOAL_JOURNEYS} x (b-no-journeys)", f"{kept:.2f} x", verdict(kept >= GOAL_JOURNEYS)])
    goal = f"at least {GOAL_RATE:,.0f} events/s where (b) reaches {RATE_OF_B:,.0f}"
    if by_hand.rate >= RATE_OF_B:
        rows.append([goal, f"{own.rate:,.0f}", verdict(own.rate >= GOAL_RATE)])
    else:
        rows.append([goal, f"{own.rate:,.0f}; (b) reaches {by_hand.rate:,.0f} here", "does not apply"])
    return [table(("goal", "measured", ""), rows)]


def _json(results: Sequence[Result], cluster: str) -> str:
    rows: list[dict[str, Any]] = [
        {
            "contestant": result.kind.name,
            "events": result.events,
            "seconds": result.seconds,
            "events_per_s": result.rate,
            "cpu_s_per_million": result.cpu_per_million,
            "peak_rss_bytes": result.peak_rss,
            "mean_batch": result.mean_batch,
        }
        for result in results
    ]
    whole = {"machine": dict(machine.describe()), "cluster": cluster, "runs": rows}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__)
    parser.add_argument("--events", type=int, default=DEFAULT_EVENTS)
    parser.add_argument("--runs", type=int, default=DEFAULT_RUNS)
    parser.add_argument("--cluster", choices=("embedded", "local"), help="default: local where Java is there")
    add_options(parser)
    options = parser.parse_args(arguments)
    return finish(
        "ingest",
        options,
        lambda: measure(
            options.events,
            options.runs,
            options.cluster or best_cluster(),
            lambda line: print(line, file=sys.stderr),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())

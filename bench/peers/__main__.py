"""How fast is the same job in Corredor, Faust, Quix Streams, Bytewax and a loop by hand, and is the result right?

`python -m bench.peers [--runs 3] [--scale 1.0] [--quick] [--only NAME...] [--json FILE] [--write]`; needs Java.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.clusters import open_cluster
from bench.feed import DENSITY, Feed, first, simulated
from bench.peers import environments, judge, race, report
from bench.peers.race import PEERS, Outcome, Peer
from bench.report import add_options, finish
from schemas.errors import UsageError
from schemas.loader import load_map
from streams.runtime import local
from streams.runtime.settings import Settings

#: Of a quick run.
QUICK_EVENTS = 1000
Tell = Callable[[str], None]


def measure(peers: Sequence[Peer], runs: int, events: Callable[[Peer], int], tell: Tell) -> tuple[str, str]:
    """Run every contestant `runs` times, in turns; returns the report as Markdown and as JSON.

    Raises UsageError without Java or where an environment cannot be made, StopProcess where Kafka fails.
    """
    local.java()
    local.fetch_jars()
    names = [name for name in environments.NAMES if name in {peer.environment for peer in peers}]
    for name in names:
        environments.make(name, tell)
    versions = {name: environments.versions(name) for name in names}
    feeds = _feeds({race.topic_of(peer, events(peer)): events(peer) for peer in peers}, tell)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="corredor-peers-") as folder:
        settings = Settings(data_dir=Path(folder))
        corridor = load_map(settings.map)
        tell("computing the right results offline")
        right = {topic: judge.expected((value for _, value in feed.events), corridor) for topic, feed in feeds.items()}
        with open_cluster("local", feeds, Path(folder)) as cluster:
            tell("preloading the events")
            settings = cluster.fresh(settings)
            for number in range(runs):
                for peer in peers:
                    tell(f"run {number + 1} of {runs}: {peer.label}, {events(peer):,} events")
                    topic = race.topic_of(peer, events(peer))
                    outcomes.append(race.run(peer, events(peer), cluster, settings, number, right[topic]))
            name = cluster.name
    longest = max(feeds.values(), key=lambda feed: len(feed.events))
    setting = (
        f"Medians of {runs} interleaved runs; {longest.mean_bytes:.0f} bytes an event, {DENSITY:,.0f} events per "
        f"second of event time, lz4; cluster: {name}."
    )
    return report.markdown(outcomes, setting, versions), report.as_json(outcomes, name, versions)


def _feeds(counts: dict[str, int], tell: Tell) -> dict[str, Feed]:
    """The events of each topic: the first so many of the same."""
    tell(f"simulating {max(counts.values()):,} events")
    longest = simulated(max(counts.values()))
    return {
        topic: longest if count == len(longest.events) else first(longest, count) for topic, count in counts.items()
    }


def _chosen(names: Sequence[str]) -> list[Peer]:
    known = {peer.name: peer for peer in PEERS}
    for name in names:
        if name not in known:
            raise UsageError(f"--only {name}: there is no such contestant; there are {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] or list(PEERS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each; medians are shown")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the usual number of events")
    parser.add_argument("--quick", action="store_true", help=f"one run over {QUICK_EVENTS:,} events, never written")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help=", ".join(peer.name for peer in PEERS))
    add_options(parser)
    options = parser.parse_args(arguments)
    options.write = options.write and not options.quick
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("peers")

        def tell(line: str) -> None:
            progress.update(task, description=line)

        def events(peer: Peer) -> int:
            return QUICK_EVENTS if options.quick else max(1, round(peer.events * options.scale))

        def work() -> tuple[str, str]:
            if options.runs < 1 or options.scale <= 0:
                raise UsageError("--runs is 1 or more, --scale above 0")
            return measure(_chosen(options.only), 1 if options.quick else options.runs, events, tell)

        try:
            return finish("peers", options, work)
        except KeyboardInterrupt:
            progress.console.print("interrupted")
            return 130


if __name__ == "__main__":
    sys.exit(main())

"""A chaos run: rounds of kills and faults during a continuous publication, and a full comparison every few rounds."""

import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from schemas.loader import load_map
from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings, load_settings
from streams.runtime.supervisor import free_port
from streams.runtime.topics_admin import ensure_topics
from tests.chaos import faults
from tests.chaos.feed import Feed
from tests.chaos.judge import Judge, Verdict
from tests.chaos.ledger import Ledger
from tests.chaos.plan import Fault, Round, plan
from tests.chaos.publisher import Publisher
from tests.chaos.system import Death, System
from tests.conftest import TooLateError
from tests.pipeline.drained import wait_until_drained

_PATIENCE_S = 180.0
#: Seconds between two looks at the processes while the last events are on their way.
_TEND_S = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is like. Two runs with equal options do the same to the same input."""

    seed: int
    rounds: int
    #: Events of a round, on average, and how many are published in a second.
    events: int = 1_500
    rate: float = 1_500.0
    partitions: int = 6
    workers: int = 2
    #: Rounds between two comparisons.
    compare_every: int = 20
    #: How long pauses and outages last; the outage of ClickHouse in the middle of the run.
    pause_s: float = 3.0
    outage_s: float = 0.0
    session_timeout: float = 4.0
    checkpoint_interval: float = 0.2
    #: Exactly these faults between the kills, instead of drawn ones.
    faults: list[Fault] | None = None


@dataclass(slots=True)
class Figures:
    """What a run found."""

    rounds: int = 0
    seconds: float = 0.0
    kills: int = 0
    starts: int = 0
    rebalances: int = 0
    #: Seconds from a kill until everything published before it was acknowledged, results included.
    recoveries: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    #: Processes that ended by themselves: name, code and the end of the log.
    deaths: list[Death] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rounds": self.rounds,
            "seconds": self.seconds,
            "done": dict(sorted(self.done.items())),
            "kills": self.kills,
            "starts": self.starts,
            "rebalances": self.rebalances,
            "recovery_s": self.recovery(),
            "recoveries_s": [round(seconds, 2) for seconds in self.recoveries],
            "deaths": [asdict(death) for death in self.deaths],
            "verdict": asdict(self.verdict),
        }

    def recovery(self) -> dict[str, float]:
        """Median and maximum, seconds."""
        if not self.recoveries:
            return {"p50": 0.0, "max": 0.0}
        return {"p50": round(statistics.median(self.recoveries), 2), "max": round(max(self.recoveries), 2)}


Tell = Callable[[Figures, str], None]


def run(options: Options, broker: LocalKafka, folder: Path, tell: Tell = lambda figures, what: None) -> Figures:
    """Run it on an empty broker and stop at the first comparison that fails. Raises AssertionError if nothing moves."""
    settings = settings_for(options, broker, folder)
    ensure_topics(settings)
    figures = Figures()
    feed = Feed(options.seed, options.partitions)
    ledger = Ledger(settings, options.partitions)
    judge = Judge(ledger, feed, load_map(settings.map), settings)
    started = time.monotonic()
    rounds = plan(options.seed, options.rounds, options.events, options.faults)
    with (
        closing(ledger),
        closing(System(settings, broker)) as system,
        closing(Publisher(settings, options.rate)) as publisher,
    ):
        system.start(options.workers)
        for round_ in rounds:
            _round(round_, options, system, publisher, feed, figures, tell)
            figures.rounds += 1
            if options.outage_s and figures.rounds == len(rounds) // 2:
                tell(figures, f"ClickHouse away for {options.outage_s:.0f} s")
                publisher.send(feed.take(options.events))
                faults.fault(system, "clickhouse away", round_, options.outage_s)
                figures.done["clickhouse away (long)"] += 1
            last = figures.rounds == len(rounds)
            if last or figures.rounds % options.compare_every == 0:
                tell(figures, "draining")
                _drain(settings, publisher, system)
                tell(figures, "comparing")
                figures.verdict = judge.judge()
                verdict = figures.verdict
                tell(figures, f"{verdict.published} events, {verdict.faults or 'exact'}")
                if figures.verdict.faults:
                    break
        _count(system, figures)
    figures.seconds = round(time.monotonic() - started, 1)
    return figures


def settings_for(options: Options, broker: LocalKafka, folder: Path) -> Settings:
    """The settings of all processes of the run."""
    return load_settings(
        kafka=broker.bootstrap,
        data_dir=folder.absolute(),
        group="chaos",
        partitions=options.partitions,
        metrics_port=0,
        query_port=free_port(),
        session_timeout=options.session_timeout,
        checkpoint_interval=options.checkpoint_interval,
    )


def _round(
    round_: Round,
    options: Options,
    system: System,
    publisher: Publisher,
    feed: Feed,
    figures: Figures,
    tell: Tell,
) -> None:
    messages = feed.take(round_.events)
    threshold = len(feed.messages) - round(len(messages) * (1.0 - round_.share))
    publisher.send(messages)
    if round_.fault is not None:
        tell(figures, round_.fault)
        faults.fault(system, round_.fault, round_, options.pause_s)
        figures.done[round_.fault] += 1
    tell(figures, f"kill -9: {round_.kill}")
    system.wait(lambda: system.watch.acknowledged() >= threshold, _PATIENCE_S, "events are acknowledged")
    time.sleep(round_.delay_s)
    marks = system.marks()
    killed = time.monotonic()
    faults.kill(system, round_.kill, round_)
    figures.done[f"kill -9: {round_.kill}"] += 1
    tell(figures, "recovering")
    system.wait(lambda: system.watch.passed(marks), _PATIENCE_S, "work goes on after a kill")
    figures.recoveries.append(time.monotonic() - killed)
    _count(system, figures)


def _drain(settings: Settings, publisher: Publisher, system: System) -> None:
    """Wait until everything published is in ClickHouse, and keep the processes alive meanwhile."""
    publisher.flush(_PATIENCE_S)
    marks = system.marks()
    system.wait(lambda: system.watch.passed(marks), _PATIENCE_S, "everything published is acknowledged")
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            wait_until_drained(settings, _TEND_S)
            return
        except TooLateError:
            assert time.monotonic() < deadline, f"not drained\n{system.last_words()}"
            system.tend()


def _count(system: System, figures: Figures) -> None:
    figures.kills = system.counts.kills
    figures.starts = system.counts.starts
    figures.deaths = system.counts.deaths
    figures.rebalances = system.rebalances()

"""How fast and how rarely do the detectors alarm? Against the best possible test, on simulated events.

`python -m bench.detection` prints the tables of docs/detection.md; `--write` puts them there. It takes
some eight minutes on one core.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from math import log, pi
from statistics import median
from typing import NamedTuple

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.delays import Random, share_alarms, share_delay, wait_alarms, wait_delay
from bench.fault_runs import corridor
from bench.report import DOCS, put, table
from bench.run_length import lattice_shift, mean_events
from schemas.errors import StopProcess
from schemas.slice import BUCKET_S
from streams.model.detect.cusum import Line, mean_line, share_line, worse
from streams.model.detect.drop import DropDetector
from streams.model.detect.tuning import DAY_S, Tuning
from streams.model.detect.watch import Watched

TUNING = Tuning()
BASES = (0.005, 0.02, 0.05, 0.1, 0.2)
RATIOS = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
WAIT_RATIOS = (1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
VOLUMES = (0.1, 1.0, 50.0)
#: Monday, 2026-01-05, midnight UTC.
MONDAY = 1_767_571_200
Tell = Callable[[str], None]


class Study(NamedTuple):
    """The Markdown of each part, and whether everything promised was kept."""

    text: str
    misses: list[str]


def lines_for_share(p0: float, gamma: float) -> list[Line]:
    """The detector's lines for a base rate that is known."""
    pairs = zip(TUNING.share_ratios, TUNING.line_weights, strict=True)
    return [share_line(p0, worse(p0, ratio), gamma / weight) for ratio, weight in pairs]


def lines_for_wait(sigma: float, gamma: float) -> list[Line]:
    """The detector's lines for log waits with mean 0 and known sd."""
    pairs = zip(TUNING.wait_ratios, TUNING.line_weights, strict=True)
    return [mean_line(0.0, sigma, log(ratio), gamma / weight) for ratio, weight in pairs]


def thresholds() -> str:
    """The threshold's formula against exact run lengths."""
    rows = []
    for p0, multiple in ((0.005, 160), (0.005, 100), (0.02, 38), (0.02, 20), (0.05, 10), (0.1, 5), (0.2, 3)):
        p1 = lattice_shift(p0, multiple)
        found = [(gamma, share_line(p0, p1, gamma)) for gamma in (2.6e4, 2.6e6, 1.3e8)]
        exact = [f"{mean_events(line, p0) / gamma:.2f}" for gamma, line in found]
        spared = [f"{log(gamma) - line.threshold:.1f}" for gamma, line in found]
        rows.append([f"{p0:.1%}", f"{p1:.1%}", *exact, " / ".join(spared)])
    head = ("base", "shift to", "26,000 events", "2.6 million", "130 million", "below ln gamma by")
    return table(head, rows)


def share_delays(streams: int, random: Random, misses: list[str]) -> str:
    """Mean events to detection: ours, beside the CUSUM that is told the shift."""
    rows = []
    for volume in VOLUMES:
        gamma = TUNING.false_alarm_s * volume
        for p0 in BASES:
            ours = lines_for_share(p0, gamma)
            row = [f"{volume:g}/s", f"{p0:.1%}"]
            for ratio in RATIOS:
                p1 = worse(p0, ratio)
                best = share_delay(p1, [share_line(p0, p1, gamma)], 0, streams, random)
                mean = share_delay(p1, ours, TUNING.min_bad, streams, random)
                row.append(f"{mean / best:.2f} ({best:,.0f})")
                goal = 1.25 if ratio == TUNING.share_ratios[1] else 1.5
                if mean / best > goal:
                    misses.append(f"{volume:g}/s, {p0:.1%}, odds x {ratio:g}: {mean / best:.2f} above {goal}")
            rows.append(row)
    return table(("volume", "base", *(f"odds x {ratio:g}" for ratio in RATIOS)), rows)


def wait_delays(streams: int, random: Random, misses: list[str]) -> str:
    """The same for waits."""
    rows = []
    for volume in VOLUMES:
        gamma = TUNING.false_alarm_s * volume
        for sigma in (0.5, 0.8, 1.2):
            ours = lines_for_wait(sigma, gamma)
            row = [f"{volume:g}/s", f"{sigma:g}"]
            for ratio in WAIT_RATIOS:
                best = wait_delay(log(ratio), sigma, [mean_line(0.0, sigma, log(ratio), gamma)], 0, streams, random)
                mean = wait_delay(log(ratio), sigma, ours, TUNING.min_waits, streams, random)
                row.append(f"{mean / best:.2f} ({best:,.1f})")
                goal = 1.25 if ratio == TUNING.wait_ratios[1] else 1.5
                if mean / best > goal:
                    misses.append(f"waits {volume:g}/s, sd {sigma:g}, x {ratio:g}: {mean / best:.2f} above {goal}")
            rows.append(row)
    return table(("volume", "sd of ln wait", *(f"waits x {ratio:g}" for ratio in WAIT_RATIOS)), rows)


def false_alarms(events: float, random: Random, misses: list[str]) -> str:
    """False alarms with a known base rate or sd."""
    rows = []
    for volume in (0.01, 0.1, 1.0):
        gamma = TUNING.false_alarm_s * volume
        for p0 in BASES:
            alarms, seen = share_alarms(p0, lines_for_share(p0, gamma), events, random)
            rows.append(_rate(f"share, {volume:g}/s", f"{p0:.1%}", alarms, seen, gamma, misses))
    for sigma in (0.5, 1.2):
        gamma = TUNING.false_alarm_s * 0.01
        alarms, seen = wait_alarms(sigma, lines_for_wait(sigma, gamma), events, random)
        rows.append(_rate("wait, 0.01/s", f"sd {sigma:g}", alarms, seen, gamma, misses))
    return table(("what", "base", "events", "allowed", "happened", "of the allowed"), rows)


def _rate(what: str, base: str, alarms: int, seen: float, gamma: float, misses: list[str]) -> list[str]:
    allowed = seen / gamma
    # Three standard deviations of a Poisson count are chance.
    if alarms > allowed + 3.0 * allowed**0.5:
        misses.append(f"{what}, {base}: {alarms} false alarms, {allowed:.1f} allowed")
    return [what, base, f"{seen:.2g}", f"{allowed:,.1f}", f"{alarms}", f"{alarms / allowed:.0%}"]


def learned_alarms(events: float, random: Random, tell: Tell, misses: list[str]) -> str:
    """False alarms of the whole detector that learns its own baseline from nothing, with a knob of one day."""
    rows = []
    tuning = Tuning(false_alarm_s=DAY_S)
    for volume, share in ((50.0, 1.0), (2.0, 0.04)):
        for p0 in (0.005, 0.02, 0.2):
            for swing in (0.0, 0.3):
                name = f"{volume:g}/s, " + (f"rhythm +-{swing:.0%}" if swing else "no rhythm")
                tell(f"learned baseline: {name}, {p0:.1%}")
                opened, seen = _watch(DropDetector("default", "t", tuning), volume, p0, swing, events * share, random)
                rows.append(_rate(name, f"{p0:.1%}", opened, seen, DAY_S * volume, misses))
    return table(("what", "base", "events", "allowed", "happened", "of the allowed"), rows)


def _watch(
    detector: DropDetector, volume: float, p0: float, swing: float, events: float, random: Random
) -> tuple[int, float]:
    opened, seen = 0, 0
    for index, (n, bad) in enumerate(_traffic(volume, p0, swing, round(events / volume / BUCKET_S), random)):
        seen += n
        opened += sum(message.version == 1 for message in detector.feed(MONDAY + index * BUCKET_S, n, bad, {}))
    return opened, float(seen)


def _traffic(volume: float, p0: float, swing: float, buckets: int, random: Random) -> Iterator[tuple[int, int]]:
    """Events and bad ones in each bucket; the share swings over the day, the volume twice as far."""
    for first in range(0, buckets, 8640):
        at = np.arange(first, min(first + 8640, buckets)) * BUCKET_S
        wave = np.sin(2 * pi * at / DAY_S)
        n = random.poisson(volume * BUCKET_S * (1.0 + 2.0 * swing * wave))
        bad = random.binomial(n, p0 * (1.0 + swing * wave))
        yield from zip(n.tolist(), bad.tolist(), strict=True)


def arming(random: Random) -> str:
    """From nothing: how long until a fall of 98 % to 80 % not negative would page, and how fast it does then."""
    rows = []
    for volume in (50.0, 5.0, 0.5):
        row = [f"{volume:g}/s"]
        for age in (900, 3600, 6 * 3600, 86_400, 3 * 86_400):
            detector = DropDetector("default", "t", TUNING)
            for index, (n, bad) in enumerate(_traffic(volume, 0.02, 0.0, age // BUCKET_S, random)):
                detector.feed(MONDAY + index * BUCKET_S, n, bad, {})
            row.append(_seconds_to_page(detector.state, MONDAY + age, volume, random))
        rows.append(row)
    return table(("volume", "after 15 min", "1 h", "6 h", "1 day", "3 days"), rows)


def _seconds_to_page(state: Watched, start: int, volume: float, random: Random) -> str:
    saved, delays = msgspec.msgpack.encode(state), []
    for _ in range(40):
        detector = DropDetector("default", "t", TUNING, msgspec.msgpack.decode(saved, type=Watched))
        # Faults begin anywhere in a bucket.
        into = random.uniform(0.0, BUCKET_S)
        for index in range(720):
            n = int(random.poisson(volume * BUCKET_S))
            chance = 0.2 if index else 0.02 * into / BUCKET_S + 0.2 * (1.0 - into / BUCKET_S)
            found = detector.feed(start + index * BUCKET_S, n, int(random.binomial(n, chance)), {})
            if found:
                delays.append(found[0].detected_at - start - into)
                break
    return f"{median(delays):.0f} s" if len(delays) > 20 else "not armed"


def study(events: float, streams: int, seed: int, tell: Tell) -> Study:
    """All tables as Markdown, with what misses its goal."""
    random, misses = np.random.default_rng(seed), list[str]()
    parts = [f"Seed {seed}; {streams:,} streams for each delay; {events:.0e} events for each false-alarm rate."]
    tell("thresholds")
    parts += ["### Thresholds: exact mean events between false alarms, as a multiple of the knob", thresholds()]
    tell("delays of shares")
    delays = share_delays(streams, random, misses)
    parts += ["### Shares: mean events to detection over the best possible, which is in brackets", delays]
    tell("delays of waits")
    parts += ["### Waits: the same", wait_delays(streams, random, misses)]
    tell("false alarms, known baseline")
    parts += ["### False alarms, the baseline being known", false_alarms(events, random, misses)]
    alarms = learned_alarms(events, random, tell, misses)
    parts += ["### False alarms of the whole detector, learning from nothing, knob 1 day", alarms]
    tell("arming")
    parts += ["### From 2 % to 20 % negative: median time to the page, by age of the baseline", arming(random)]
    kept = "Every goal is kept." if not misses else "Misses its goal:\n\n" + "\n".join(f"- {line}" for line in misses)
    return Study("\n\n".join((*parts, kept)), misses)


def corridor_study(runs: int, seed: int, tell: Tell) -> Study:
    """The corridor's table as Markdown, with what misses its goal."""
    misses = list[str]()
    rows = corridor(runs, MONDAY, np.random.default_rng(seed), tell, misses)
    kept = "Every goal is kept." if not misses else "Misses its goal:\n\n" + "\n".join(f"- {line}" for line in misses)
    return Study("\n\n".join((f"Seed {seed}.", rows, kept)), misses)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: returns the exit code, 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.detection", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/detection.md")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--events", type=float, default=1e8, help="simulated events for each false-alarm rate")
    parser.add_argument("--streams", type=int, default=4000, help="simulated streams for each delay")
    parser.add_argument("--runs", type=int, default=100, help="runs for each fault in the corridor")
    parser.add_argument("--only", choices=("lines", "corridor"), help="only the lines' tables, or only the corridor")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    missed = False
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("detection")

            def tell(line: str) -> None:
                progress.update(task, description=line)

            for name in ("lines", "corridor"):
                if options.only not in (None, name):
                    continue
                if name == "lines":
                    result = study(options.events, options.streams, options.seed, tell)
                else:
                    result = corridor_study(options.runs, options.seed, tell)
                missed = missed or bool(result.misses)
                print(result.text)
                if options.write:
                    put(DOCS / "detection.md", name, result.text)
    except StopProcess as error:
        console.print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""`corredor simulate`: a retail corridor that never existed, published as if it did, with faults to switch on."""

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from command.output import err, out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemas.event import TouchpointEvent
    from sources.simulator.live import Schedule

#: The progress line is written anew this often. Seconds.
_PROGRESS_S = 0.5
#: After Ctrl-C, what is under way has this long to arrive. Seconds.
_GOODBYE_S = 2.0


def command(
    rate: Annotated[float, typer.Option(help="Mean messages per second over a week; see --flat.")] = 50.0,
    seed: Annotated[int, typer.Option(help="The same seed and --start give the same events.")] = 1,
    duration: Annotated[str | None, typer.Option(help="How long, in the time of the events: 60s, 5min, 2h.")] = None,
    speed: Annotated[str, typer.Option(help="1 is real time, N is N times as fast, max as fast as it goes.")] = "1",
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="Switch on a fault, such as 'delivery.delay[carrier=norte]@120s+5min'. Several are possible."
        ),
    ] = None,
    list_faults: Annotated[
        bool, typer.Option("--list-faults", help="Describe every fault, and how to write one.")
    ] = False,
    start: Annotated[
        str | None, typer.Option(help="Time of the first event, with time zone; default: so that it ends now.")
    ] = None,
    flat: Annotated[
        bool, typer.Option("--flat", help="The same rate at every hour: no daily and weekly rhythm.")
    ] = False,
    pace: Annotated[
        float, typer.Option(help="Compression of the pauses inside journeys; 1440: a day passes in a minute.")
    ] = 1440.0,
    late_share: Annotated[float, typer.Option(help="Share of events recorded seconds to minutes late.")] = 0.01,
    duplicate_share: Annotated[float, typer.Option(help="Share of events that their source sends twice.")] = 0.005,
    invalid_share: Annotated[float, typer.Option(help="Messages that break the contract, per event.")] = 0.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the events as NDJSON instead of publishing.")
    ] = False,
) -> None:
    """Publish a simulated retail corridor: web, app, stores, couriers, help desk, surveys, social networks.

    Pauses between the contacts of a journey are compressed (--pace), so that a parcel ordered now arrives within
    minutes. Waits and promises are reported in natural units, and busy hours and days follow the calendar (UTC).
    """
    if list_faults:
        _describe_faults()
        return
    from sources.simulate import simulate
    from sources.simulator.faults import parse_fault
    from sources.simulator.live import paced, parse_duration, parse_speed, parse_start, plan

    faults = [parse_fault(text) for text in fault or ()]
    schedule = plan(
        time.time(),
        parse_speed(speed),
        None if duration is None else parse_duration(duration),
        None if start is None else parse_start(start),
        never_ahead=not dry_run,
    )
    events = simulate(
        seed,
        schedule.start,
        rate,
        faults,
        pace=pace,
        flat=flat,
        late_share=late_share,
        duplicate_share=duplicate_share,
        invalid_share=invalid_share,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = _Report(schedule, [one.text for one in faults])
    try:
        with err.status("") as status:
            if dry_run:
                _print(paced(events, schedule, time.time, time.sleep), report)
            else:
                _publish(events, schedule, report, status.update)
    except KeyboardInterrupt:
        err.print(report.line(), highlight=False)
        raise
    err.print(report.line(), highlight=False)


class _Report:
    """What was published so far, for the progress line and the summary."""

    def __init__(self, schedule: "Schedule", faults: list[str]) -> None:
        self._began = time.monotonic()
        self._faults = f", with {', '.join(faults)}" if faults else ""
        self._from = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(schedule.start))
        self.count = 0

    def line(self) -> str:
        took = max(time.monotonic() - self._began, 1e-9)
        rate = f"{self.count / took:,.1f}/s"
        return escape(f"{self.count:,} messages in {took:.1f} s ({rate}), simulated from {self._from}{self._faults}")


def _publish(
    events: "Iterator[tuple[float, TouchpointEvent]]",
    schedule: "Schedule",
    report: _Report,
    show: "Callable[[str], None]",
) -> None:
    """Publish to Kafka, each event when it is due; `report` counts what Kafka has acknowledged."""
    from sources.publish import Publisher
    from sources.simulator.live import paced
    from streams.runtime.endpoints import resolve
    from streams.runtime.settings import load_settings

    with Publisher(resolve(load_settings())) as publisher:
        next_line = 0.0
        try:
            for event in paced(events, schedule, time.time, publisher.poll):
                publisher.publish(event)
                report.count = publisher.delivered
                if (now := time.monotonic()) >= next_line:
                    next_line = now + _PROGRESS_S
                    show(report.line())
            publisher.flush()
        except KeyboardInterrupt:
            publisher.abandon(_GOODBYE_S)
            raise
        finally:
            report.count = publisher.delivered


def _print(events: "Iterator[TouchpointEvent]", report: _Report) -> None:
    """Print events as they would be published, one a line. A reader that has seen enough (`| head`) is no error."""
    from sources.publish import encode

    stdout = sys.stdout.buffer
    try:
        for event in events:
            stdout.write(encode(event) + b"\n")
            stdout.flush()
            report.count += 1
    except BrokenPipeError:
        # Python flushes standard output once more at its end; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _describe_faults() -> None:
    from sources.simulator.faults import FORM, KINDS

    for kind in KINDS.values():
        out.print(f"[bold]{kind.name}[/]", highlight=False)
        out.print(f"    {kind.text}", highlight=False, soft_wrap=True)
        if kind.touchpoints:
            where, keys = ", ".join(kind.touchpoints), ", ".join(kind.keys)
            out.print(f"    at {where}; can be narrowed by {keys}", highlight=False, soft_wrap=True)
    out.print(escape(f"\nWrite --fault as {FORM}"), highlight=False, soft_wrap=True)

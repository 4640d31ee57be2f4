"""`corredor replay`: exports (CSV, NDJSON, Parquet) become touchpoint events on Kafka, by a declarative mapping."""

import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from command.output import err
from schemas.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sources.mapping_order import Record, TimeOrder
    from sources.replay import Speed, Tally


def command(
    files: Annotated[list[str], typer.Argument(help="Files, folders, or TABLE=FILE.", metavar="FILES...")],
    mapping: Annotated[
        str, typer.Option("--mapping", "-m", help="A mapping (YAML file), or a shipped one: olist, support.")
    ],
    speed: Annotated[str, typer.Option(help="`max`, or a multiple of real time: 1, 60 ...")] = "max",
    shift_to_now: Annotated[
        bool,
        typer.Option(
            "--shift-to-now",
            help="Move all times: at speed 1 the first event is now, at any other speed the last one.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the events as NDJSON, publish nothing.")] = False,
    limit: Annotated[int | None, typer.Option(help="Only the first N events, by time.", min=0)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first row that cannot be mapped.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Tenant of every event, instead of the mapping's.")] = None,
    skipped: Annotated[
        Path | None, typer.Option(help="Write place and reason of every row that cannot be mapped here.")
    ] = None,
) -> None:
    """Turn exports into touchpoint events and publish them in the order of their times."""
    from sources.mapping import load_mapping
    from sources.mapping_order import TimeOrder
    from sources.privacy import Edge
    from sources.replay import Tally, collect
    from streams.runtime.settings import load_settings

    pace = _speed(speed)
    compiled = load_mapping(mapping)
    edge = Edge.of(load_settings())
    with ExitStack() as stack:
        order = TimeOrder()
        stack.callback(order.close)
        run = _Run(Tally(), order, pace, shift_to_now, limit)
        report = _writable(skipped, stack)
        # On the way out the last thing said is how far it came, also after Ctrl-C or an error.
        stack.callback(run.summary, dry_run)
        bar = stack.enter_context(_progress())
        task = bar.add_task("reading rows", total=None, rate="")
        collect(
            files,
            compiled,
            tally=run.tally,
            strict=strict,
            tenant=tenant,
            on_skipped=None if report is None else lambda row: print(row, file=report),
            on_progress=lambda tally: bar.update(task, completed=tally.rows),
            order=order,
            edge=edge,
        )
        bar.remove_task(task)
        if dry_run:
            run.print()
        else:
            run.publish(bar)
        run.finished = True


def _speed(text: str) -> "Speed":
    if text == "max":
        return "max"
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise UsageError(f"--speed {text}: give `max`, or a number above 0 such as 1 (real time) or 60")
    return speed


def _writable(path: Path | None, stack: ExitStack) -> TextIO | None:
    if path is None:
        return None
    try:
        return stack.enter_context(path.open("w", encoding="utf-8", errors="backslashreplace"))
    except OSError as error:
        raise UsageError(f"--skipped {path} cannot be written: {error.strerror}") from None


def _progress() -> Progress:
    """A bar on a terminal, nothing elsewhere."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


@dataclass(slots=True)
class _Run:
    """One replay; what it has done is known at any moment."""

    tally: "Tally"
    order: "TimeOrder"
    speed: "Speed"
    shift_to_now: bool
    limit: int | None
    published: int = 0
    seconds: float = 0.0
    reached_us: int | None = None
    finished: bool = False

    def print(self) -> None:
        """The events as NDJSON. A reader that has seen enough (`| head`) is no error."""
        try:
            for record in self._records():
                sys.stdout.buffer.write(record.value + b"\n")
                self.published += 1
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # Python flushes standard output once more at its end; let that go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def publish(self, bar: Progress) -> None:
        """The events to Kafka, each acknowledged."""
        from sources.publish import Publisher
        from sources.replay import publish
        from streams.runtime.endpoints import resolve
        from streams.runtime.settings import load_settings

        # Larger batches: the embedded cluster hands out one batch for each fetch.
        publisher = Publisher(resolve(load_settings()))
        total = self.order.count if self.limit is None else min(self.limit, self.order.count)
        task = bar.add_task("publishing events", total=total, rate="")
        started = shown = time.monotonic()

        def on_event(record: "Record") -> None:
            nonlocal shown
            self.reached_us = record.time_us
            now = time.monotonic()
            if now - shown > 0.1:
                shown = now
                rate = publisher.delivered / (now - started)
                bar.update(task, completed=publisher.delivered, rate=f"{rate:,.0f}/s")

        try:
            with publisher:
                publish(self._records(), publisher, self.speed, on_event)
        finally:
            self.published, self.seconds = publisher.delivered, time.monotonic() - started

    def summary(self, dry_run: bool) -> None:
        """Rows, events and skipped rows by reason, to standard error."""
        if self.tally.rows == 0:
            return
        said = "" if self.finished else "stopped early: "
        said += f"{self.tally.rows:,} rows read, {self.tally.events:,} events"
        if dry_run:
            said += f", {self.published:,} printed"
        else:
            said += f", {self.published:,} published"
            if self.seconds > 0:
                said += f" in {self.seconds:.1f} s ({self.published / self.seconds:,.0f}/s)"
            if self.reached_us is not None:
                at = datetime.fromtimestamp(self.reached_us / 1e6, UTC)
                said += f", up to event time {at.isoformat(timespec='seconds')}"
        err.print(said, highlight=False)
        for reason, count in self.tally.skipped.most_common():
            err.print(f"{count:,} rows skipped: {reason}", style="yellow", highlight=False)
            examples = [row for row in self.tally.examples if row.reason == reason]
            for row in examples:
                err.print(f"  {row}", markup=False, highlight=False, soft_wrap=True)
            if count > len(examples):
                err.print(f"  and {count - len(examples):,} more: `--skipped FILE` lists all", highlight=False)

    def _records(self) -> "Iterator[Record]":
        from sources.replay import shift, shifted

        records = islice(self.order, self.limit)
        if not self.shift_to_now:
            return records
        by = shift(self.order, self.speed, datetime.now(UTC))
        return (shifted(record, by) for record in records)

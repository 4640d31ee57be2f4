"""`corredor backtest`: what would have paged over a past period. So an objective can be tried before it is used."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from command.output import err, out
from schemas.errors import UsageError

if TYPE_CHECKING:
    from command.backtest_past import Source
    from schemas.corridor import CorridorMap
    from sources.replay import Tally
    from streams.runtime.settings import Settings


def command(
    map_: Annotated[
        Path | None,
        typer.Option(
            "--map", "-m", help="The corridor map; default: the one that the settings name.", show_default=False
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="Event log (NDJSON, an event a line); with --mapping any export, folder or TABLE=FILE. Several may be "
            "given. Default: ClickHouse.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(help="How rows become events: a mapping (YAML), or olist, support.", show_default=False),
    ] = None,
    clickhouse: Annotated[
        str | None,
        typer.Option(
            help="chdb:///path or http://user:password@host:8123/corredor; default: the running system, or the "
            "one that the settings name.",
            metavar="DSN",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Begin of the period, such as 2016-03-07 or 2016-03-07T08:00Z (UTC). Default: all there is."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="End of the period, exclusive.", show_default=False)] = None,
    chart: Annotated[
        Path | None, typer.Option(help="Draw it: FILE.png, .svg or .html.", metavar="FILE", show_default=False)
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List each alert and incident with its times.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON; times are epoch seconds.")] = False,
) -> None:
    """Show what would have paged over a past period: alerts a week, time in incident, budget spent.

    Both detectors run over it as they run live: the burn rates of the map's objectives, and the incidents. What came in
    the eight weeks before --since teaches the detectors what is usual.
    """
    import msgspec

    from command.backtest_past import backtest
    from command.backtest_view import render
    from schemas.loader import load_map
    from streams.runtime.settings import load_settings

    if files and clickhouse:
        raise UsageError("--from and --clickhouse: give one of them")
    if mapping is not None and not files:
        raise UsageError("--mapping says how files become events: name them with --from")
    asked = [None if text is None else _time(option, text) for option, text in (("--since", since), ("--until", until))]
    if chart is not None:
        from command.backtest_chart import check

        check(chart)
    settings = load_settings(clickhouse=clickhouse)
    corridor = load_map(map_ or settings.map)
    with ExitStack() as stack:
        bar = stack.enter_context(_progress())
        source = stack.enter_context(_source(files, mapping, settings, corridor, bar))
        begin, end = _period(source, *asked)
        task = bar.add_task("detecting", total=end - source.since)
        tested = backtest(
            corridor, source, begin, end, lambda reached: bar.update(task, completed=reached - source.since)
        )
    if chart is not None:
        from command.backtest_chart import draw

        draw(tested, corridor, chart)
        err.print(f"drawn: {chart}", highlight=False, soft_wrap=True)
    if as_json:
        sys.stdout.write(
            msgspec.json.format(msgspec.json.encode(tested.past, enc_hook=float), indent=2).decode() + "\n"
        )
    else:
        out.print(render(tested.past, listing=list_))


def _time(option: str, text: str) -> int:
    """Epoch seconds of a date or time, on the border between buckets; without a zone it is UTC."""
    from command.backtest_past import aligned

    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text}: write a date or time such as 2016-03-07 or 2016-03-07T08:00Z") from None
    return aligned((time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp())


def _period(source: "Source", since: int | None, until: int | None) -> tuple[int, int]:
    """The part of the period asked for in which there are contacts. Raises UsageError where that is none."""
    from command.backtest_view import moment

    if since is not None and until is not None and since >= until:
        raise UsageError(f"--until {moment(until)} is not after --since {moment(since)}")
    begin = source.since if since is None else max(since, source.since)
    end = source.until if until is None else min(until, source.until)
    if begin >= end:
        raise UsageError(
            f"nothing happened in that period: the contacts of {source.name} are from {moment(source.since)} "
            f"to {moment(source.until)} (UTC); change --since and --until"
        )
    return begin, end


@contextmanager
def _source(
    files: list[str] | None, mapping: str | None, settings: "Settings", corridor: "CorridorMap", bar: Progress
) -> "Iterator[Source]":
    """Where the past is read from, for as long as it is read."""
    if files:
        from command.backtest_files import open_files
        from sources.mapping_order import TimeOrder
        from sources.replay import Tally

        order, tally = TimeOrder(), Tally()
        task = bar.add_task("reading rows", total=None)
        try:
            source = open_files(
                files,
                mapping,
                corridor,
                order,
                tally,
                lambda: bar.update(task, description=f"reading rows {tally.rows:,}"),
            )
            bar.remove_task(task)
            _tell_skipped(tally)
            yield source
        finally:
            order.close()
        return
    from command.backtest_clickhouse import open_results
    from command.results import connect

    store = connect(settings)
    try:
        yield open_results(store)
    finally:
        store.close()


def _tell_skipped(tally: "Tally") -> None:
    for reason, count in tally.skipped.most_common():
        err.print(f"{count:,} rows skipped: {reason}", style="yellow", highlight=False)
        for row in [row for row in tally.examples if row.reason == reason][:1]:
            err.print(f"  {row}", markup=False, highlight=False, soft_wrap=True)


def _progress() -> Progress:
    """A bar on a terminal, nothing elsewhere."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )

"""`corredor run`: Kafka, workers and sink as one supervised group."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from command.output import err, out

if TYPE_CHECKING:
    from rich.panel import Panel

    from streams.runtime.supervisor import Supervisor


def command(
    workers: Annotated[int | None, typer.Option(help="Worker processes.", min=1, max=64)] = None,
    no_sink: Annotated[bool, typer.Option("--no-sink", help="Start no sink: nothing goes to ClickHouse.")] = False,
    console: Annotated[
        bool | None, typer.Option("--console/--no-console", help="Serve the web page too.", show_default=False)
    ] = None,
    map: Annotated[Path | None, typer.Option(help="The corridor map.")] = None,
) -> None:
    """Start Kafka (embedded unless CORREDOR_KAFKA says otherwise), workers and a sink, and keep them running.

    Ctrl-C ends them in order and loses nothing; a second Ctrl-C hurries.
    """
    from schemas.loader import load_map
    from streams.runtime.settings import load_settings
    from streams.runtime.supervisor import Supervisor

    settings = load_settings(workers=workers, map=map, sink=False if no_sink else None, console=console)
    load_map(settings.map)
    supervisor = Supervisor(settings, tell=lambda line: err.print(line, markup=False, highlight=False, style="yellow"))
    obey_signals(supervisor)
    try:
        with err.status("starting"):
            supervisor.start()
        if not supervisor.stop_asked.is_set():
            out.print(panel(supervisor))
        supervisor.watch()
    finally:
        with err.status("stopping; Ctrl-C again to hurry"):
            supervisor.stop()


def obey_signals(supervisor: "Supervisor") -> None:
    """Ctrl-C and SIGTERM ask the group to stop; a second one hurries."""
    import signal

    def on_signal(*_: object) -> None:
        if supervisor.stop_asked.is_set():
            supervisor.hurry.set()
        supervisor.stop_asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)


def panel(supervisor: "Supervisor") -> "Panel":
    """What a user wants to know of a running group: where to publish, query and look, and how to end it."""
    from rich.panel import Panel
    from rich.table import Table

    settings = supervisor.settings
    grid = Table.grid(padding=(0, 2))
    kind = " (embedded: nothing on disk, 5 MB kept of each partition)" if settings.kafka_paced else ""
    grid.add_row("publish to", f"Kafka at [bold]{settings.kafka}[/], topic [bold]touchpoint.events[/]{kind}")
    if supervisor.clickhouse.startswith("http://127.0.0.1:"):
        grid.add_row("query", f"[bold]{supervisor.clickhouse.rpartition('/')[0]}[/]  or  corredor query 'SELECT ...'")
    elif supervisor.clickhouse:
        grid.add_row("query", "the ClickHouse of CORREDOR_CLICKHOUSE  or  corredor query 'SELECT ...'")
    if supervisor.console:
        grid.add_row("look", f"[bold]{supervisor.console}[/]")
    grid.add_row("metrics", f"[bold]{supervisor.metrics_url}/metrics[/]  or  corredor status")
    grid.add_row("logs", str(settings.data_dir.absolute() / "logs"))
    grid.add_row("stop", "Ctrl-C")
    return Panel(grid, title="Corredor runs", title_align="left", expand=False)

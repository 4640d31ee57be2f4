"""`corredor status`: the corridor as it is now, and processes, lag, events and scores of the running system."""

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from command.output import out
from schemas.errors import RetryLater, StopProcess, UsageError

if TYPE_CHECKING:
    from rich.console import Group

    from command.corridor_words import Language
    from console.corridor import Corridor
    from console.figures import Figures
    from schemas.corridor import CorridorMap
    from sinks.clickhouse import ClickHouse
    from streams.runtime.endpoints import Run

_WINDOWS = ("5m", "1h", "24h")


def command(
    corridor: Annotated[bool, typer.Option(help="Show the corridor map, from ClickHouse.")] = True,
    tenant: Annotated[
        str | None, typer.Option(help="Whose corridor; default: the tenant with the most contacts.", show_default=False)
    ] = None,
    lang: Annotated[str, typer.Option(help="Language of the corridor map: en or es.")] = "en",
    watch: Annotated[
        float | None,
        typer.Option(help="Show it anew every so many seconds, until Ctrl-C.", min=1, show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch an object a line.")] = False,
) -> None:
    """Show what `corredor run` is doing, and the corridor: scores, work in progress, waits, open incidents.

    Exit code 1 if the run is not ready.
    """
    from schemas.loader import load_map
    from streams.runtime.endpoints import find
    from streams.runtime.settings import load_settings

    if lang not in ("en", "es"):
        raise UsageError(f"--lang {lang}: write en or es")
    language: Language = "es" if lang == "es" else "en"
    settings = load_settings()
    run = find(settings)
    if run is None:
        raise UsageError(
            f"nothing runs in {settings.data_dir.absolute()}; start it with `corredor run`, "
            "or set CORREDOR_DATA_DIR to the folder of a run"
        )
    chart = load_map(settings.map)
    reader = Reader(run, chart if corridor else None, tenant)

    def statuses() -> Iterator[dict[str, Any]]:
        yield reader.read()
        while watch is not None:
            time.sleep(watch)
            if find(settings) is None:
                return
            yield reader.read()

    try:
        not_ready = _show(statuses(), chart, language, as_json=as_json, again=watch is not None)
    finally:
        reader.close()
    if not_ready is not None:
        raise typer.Exit(1)


class Reader:
    """Reads the state of a run again and again, over one connection to ClickHouse. Without a map: no corridor."""

    def __init__(self, run: "Run", chart: "CorridorMap | None", tenant: str | None) -> None:
        self._run = run
        self._chart = chart
        self._tenant = tenant
        self._store: ClickHouse | None = None

    def read(self) -> dict[str, Any]:
        """The state as data that msgspec can encode. Raises UsageError for a tenant that the results do not know."""
        from console.figures import Figures, read_figures
        from streams.runtime.federation import get

        ready, reason = get(f"{self._run.metrics}/ready")
        code, text = get(f"{self._run.metrics}/metrics", 10.0)
        figures = read_figures(text) if code == 200 else Figures()
        status = _status(self._run, None if ready == 200 else reason.strip(), figures)
        if self._chart is not None:
            status["corridor"], status["no_corridor"] = self._corridor(self._chart, figures)
        return status

    def close(self) -> None:
        """Close the connection."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _corridor(self, chart: "CorridorMap", figures: "Figures") -> "tuple[Corridor | None, str | None]":
        """The corridor, or why there is none: a run that starts or ends has no ClickHouse, and is worth showing."""
        from command.corridor_read import read_corridor
        from sinks.clickhouse import ClickHouse

        if not self._run.clickhouse:
            return None, "no ClickHouse belongs to this run"
        try:
            if self._store is None:
                self._store = ClickHouse.open(self._run.clickhouse, create=False)
            return read_corridor(self._store, chart, figures, self._tenant), None
        except UsageError:
            raise
        except (RetryLater, StopProcess) as error:
            self.close()
            return None, str(error).splitlines()[0]


def _status(run: "Run", not_ready: str | None, figures: "Figures") -> dict[str, Any]:
    processes = {name: {"up": False, "restarts": 0} for name in run.processes}
    processes |= {name: {"up": one.up, "restarts": one.restarts} for name, one in figures.processes.items()}
    return {
        "not_ready": not_ready,
        "kafka": run.kafka,
        "embedded": run.kafka_paced,
        "clickhouse": "http://" + run.clickhouse.rpartition("@")[2].removeprefix("http://") if run.clickhouse else None,
        "metrics": f"{run.metrics}/metrics",
        "processes": processes,
        "lag": figures.lag,
        "events": figures.events,
        "rejected": figures.rejected,
        "scores": [
            {"tenant": tenant, "scope": scope, "name": name}
            | {window: now.score for window, now in windows.items() if now.score is not None}
            for (tenant, scope, name), windows in sorted(figures.scores.items())
        ],
    }


def _show(
    statuses: Iterator[dict[str, Any]], chart: "CorridorMap", language: "Language", *, as_json: bool, again: bool
) -> str | None:
    """Show one status after another; returns why the last one was not ready, or None."""
    import msgspec
    from rich.live import Live

    not_ready: str | None = None
    if as_json:
        for status in statuses:
            not_ready, line = status["not_ready"], msgspec.json.encode(status)
            sys.stdout.write((line if again else msgspec.json.format(line, indent=2)).decode() + "\n")
            sys.stdout.flush()
    elif again and out.is_terminal:
        with Live(console=out, screen=True, auto_refresh=False) as live:
            for status in statuses:
                not_ready = status["not_ready"]
                live.update(render(status, chart, language, out.width), refresh=True)
    else:
        for status in statuses:
            not_ready = status["not_ready"]
            out.print(render(status, chart, language, out.width))
    return not_ready


def render(status: dict[str, Any], chart: "CorridorMap", language: "Language", width: int) -> "Group":
    """The state for a terminal of `width` columns."""
    from rich.console import Group
    from rich.text import Text

    from command.corridor_view import render_corridor

    state = Text("ready", "green") if status["not_ready"] is None else Text(f"not ready: {status['not_ready']}", "red")
    parts: list[Any] = [state, Text(f"Kafka {status['kafka']}   metrics {status['metrics']}", "dim")]
    for heading, style in (("events", ""), ("rejected", "yellow")):
        if status[heading]:
            counts = [f"{name} {count:,.0f}" for name, count in sorted(status[heading].items())]
            parts.append(Text(f"{heading}   " + "   ".join(counts), style))
    corridor = status.get("corridor")
    if corridor is not None:
        parts += ["", render_corridor(corridor, chart, language, width)]
    elif status.get("no_corridor"):
        parts.append(Text(f"\nno corridor map: {status['no_corridor']}", "yellow"))
    return Group(*parts, *_tables(status, touchpoints=corridor is None))


def _tables(status: dict[str, Any], *, touchpoints: bool) -> Iterator[Any]:
    """Scores (of touchpoints only where the corridor does not show them), processes and lag."""
    from rich.table import Table
    from rich.text import Text

    scored = [row for row in status["scores"] if touchpoints or row["scope"] != "touchpoint"]
    if scored:
        scores = Table("\nscore of", "", *(f"\n{window}" for window in _WINDOWS), box=None)
        for row in scored:
            values = (f"{row[window]:.1f}" if window in row else "unknown" for window in _WINDOWS)
            scores.add_row(row["scope"], row["name"] or "all", *values)
        yield scores
    processes = Table("\nprocess", "\nstate", "\nrestarts", box=None)
    for name, process in status["processes"].items():
        processes.add_row(name, "up" if process["up"] else Text("does not answer", "red"), str(process["restarts"]))
    yield processes
    if status["lag"]:
        lag = Table("\nlag, records", "\nworker", "\nsink", box=None)
        for topic, readers in sorted(status["lag"].items()):
            lag.add_row(
                topic, *(f"{readers[reader]:,.0f}" if reader in readers else "" for reader in ("worker", "sink"))
            )
        yield lag

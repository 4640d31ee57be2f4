"""`corredor status`: processes, lag, events and current scores of the running system."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from command.output import out
from schemas.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Group

    from streams.runtime.endpoints import Run

_EVERY_S = 1.0
_WINDOWS = ("5m", "1h", "24h")


def command(
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every second, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what `corredor run` is doing. Exit code 1 if it is not ready."""
    import msgspec
    from rich.live import Live

    from streams.runtime.endpoints import find
    from streams.runtime.settings import load_settings

    settings = load_settings()
    run = find(settings)
    if run is None:
        raise UsageError(
            f"nothing runs in {settings.data_dir.absolute()}; start it with `corredor run`, "
            "or set CORREDOR_DATA_DIR to the folder of a run"
        )
    status = read(run)
    if watch:
        with Live(render(status), console=out, screen=out.is_terminal) as live:
            while find(settings) is not None:
                time.sleep(_EVERY_S)
                status = read(run)
                live.update(render(status))
    elif as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(status), indent=2).decode() + "\n")
    else:
        out.print(render(status))
    if status["not_ready"] is not None:
        raise typer.Exit(1)


def read(run: "Run") -> dict[str, Any]:
    """The state of a run as plain data, from its metrics: processes, lag by topic, events by state, scores."""
    from prometheus_client.parser import text_string_to_metric_families

    from streams.runtime.federation import LABEL, RESTARTS, UP, get

    ready, reason = get(f"{run.metrics}/ready")
    code, text = get(f"{run.metrics}/metrics", 10.0)
    processes: dict[str, dict[str, Any]] = {name: {"up": False, "restarts": 0} for name in run.processes}
    lag: dict[str, dict[str, float]] = {}
    events: dict[str, float] = {}
    rejected: dict[str, float] = {}
    scores: dict[tuple[str, str, str], dict[str, float]] = {}
    for family in text_string_to_metric_families(text) if code == 200 else ():
        for sample in family.samples:
            label, name, value = sample.labels, sample.name, sample.value
            if name == UP:
                processes.setdefault(label[LABEL], {"restarts": 0})["up"] = value == 1
            elif name == f"{RESTARTS}_total":
                processes.setdefault(label[LABEL], {"up": False})["restarts"] = int(value)
            elif name in ("corredor_lag_records", "corredor_sink_lag_records"):
                reader = "sink" if "sink" in name else "worker"
                topic = lag.setdefault(label["topic"], {})
                topic[reader] = topic.get(reader, 0) + value
            elif name == "corredor_events_total":
                events[label["state"]] = events.get(label["state"], 0) + value
            elif name == "corredor_rejected_events_total":
                rejected[label["reason"]] = rejected.get(label["reason"], 0) + value
            elif name == "corredor_score":
                scores.setdefault((label["tenant"], label["scope"], label["name"]), {})[label["window"]] = value
    return {
        "not_ready": None if ready == 200 else reason.strip(),
        "kafka": run.kafka,
        "embedded": run.kafka_paced,
        "clickhouse": "http://" + run.clickhouse.rpartition("@")[2].removeprefix("http://") if run.clickhouse else None,
        "metrics": f"{run.metrics}/metrics",
        "processes": processes,
        "lag": lag,
        "events": events,
        "rejected": rejected,
        "scores": [
            {"tenant": tenant, "scope": scope, "name": name, **windows}
            for (tenant, scope, name), windows in sorted(scores.items())
        ],
    }


def render(status: dict[str, Any]) -> "Group":
    """The state as tables."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    state = Text("ready", "green") if status["not_ready"] is None else Text(f"not ready: {status['not_ready']}", "red")
    processes = Table("process", "state", "restarts", box=None)
    for name, process in status["processes"].items():
        processes.add_row(name, "up" if process["up"] else Text("does not answer", "red"), str(process["restarts"]))
    parts: list[Any] = [state, Text(f"Kafka {status['kafka']}   metrics {status['metrics']}", "dim"), processes]
    if status["events"]:
        counts = [f"{state} {count:,.0f}" for state, count in sorted(status["events"].items())]
        parts.append(Text("\nevents   " + "   ".join(counts)))
    if status["rejected"]:
        reasons = [f"{reason} {count:,.0f}" for reason, count in sorted(status["rejected"].items())]
        parts.append(Text("rejected   " + "   ".join(reasons), "yellow"))
    if status["lag"]:
        lag = Table("\nlag, records", "\nworker", "\nsink", box=None)
        for topic, readers in sorted(status["lag"].items()):
            lag.add_row(
                topic, *(f"{readers[reader]:,.0f}" if reader in readers else "" for reader in ("worker", "sink"))
            )
        parts.append(lag)
    if status["scores"]:
        scores = Table("\nscore of", "", *(f"\n{window}" for window in _WINDOWS), box=None)
        for row in status["scores"]:
            values = (f"{row[window]:.1f}" if window in row else "unknown" for window in _WINDOWS)
            scores.add_row(row["scope"], row["name"] or "all", *values)
        parts.append(scores)
    return Group(*parts)

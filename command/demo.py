"""`corredor demo`: the whole corridor on embedded servers, with a simulated retailer and faults that show."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from command.output import err, out

if TYPE_CHECKING:
    from rich.console import Group

    from console.figures import ScoreNow
    from schemas.corridor import CorridorMap

#: What goes wrong in a demo: one carrier delivers late, the checkout fails for a while, the call centre overflows.
FAULTS = ("delivery.delay[carrier=norte]@20s", "checkout.errors@35s+60s", "callcentre.congestion@50s+90s")
_EVERY_S = 1.0
_LINE_EVERY_S = 5.0
_BARS = "▁▂▃▄▅▆▇█"
_TREND = 40
#: Points below its best so far at which a score counts as fallen.
_FALLEN = 5.0


def command(
    rate: Annotated[float, typer.Option(help="Mean events per second.", min=1)] = 150.0,
    duration: Annotated[str | None, typer.Option(help="End after this time, such as 90s; default: at Ctrl-C.")] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="Faults instead of the demo's own; see corredor simulate --list-faults.")
    ] = None,
    no_faults: Annotated[bool, typer.Option("--no-faults", help="Let everything go well.")] = False,
    console: Annotated[
        bool | None,
        typer.Option("--console/--no-console", help="Serve the web page; default: if its extra is installed."),
    ] = None,
    language: Annotated[str, typer.Option("--language", help="Labels in en or es.")] = "en",
) -> None:
    """Run everything on embedded servers with a simulated retailer, and watch the scores live.

    Within a minute faults show: a carrier delivers late, the checkout fails, the call centre overflows. Meanwhile
    `corredor query`, `corredor status` and any Kafka client work from another terminal.
    """
    from importlib.util import find_spec

    from rich.live import Live

    from command.run import obey_signals, panel
    from schemas.corridor import Duration
    from schemas.errors import UsageError
    from schemas.loader import load_map
    from sources.simulator.faults import parse_fault
    from streams.runtime.local import listens
    from streams.runtime.settings import load_settings
    from streams.runtime.supervisor import Supervisor

    if language not in ("en", "es"):
        raise UsageError(f"--language {language}: write en or es")
    try:
        seconds = float("inf") if duration is None else float(Duration.parse(duration))
    except ValueError as error:
        raise UsageError(f"--duration: {error}") from None
    faults = [] if no_faults else list(fault or FAULTS)
    for text in faults:
        parse_fault(text)
    settings = load_settings(console=find_spec("jinja2") is not None if console is None else console)
    if settings.console and listens(settings.console_port):
        settings = settings.model_copy(update={"console_port": 0})
    corridor = load_map(settings.map)
    simulator = ["simulate", "--rate", str(rate), "--flat", "--seed", str(int(time.time()))]
    for text in faults:
        simulator += ["--fault", text]

    def tell(line: str) -> None:
        err.print(line, markup=False, highlight=False)

    supervisor = Supervisor(settings, publishers=[simulator], tell=tell)
    obey_signals(supervisor)
    view = View(corridor, language, faults)
    try:
        with err.status("starting Kafka, ClickHouse and the workers"):
            supervisor.start()
        view.started = time.monotonic()
        end = view.started + seconds
        if out.is_terminal:
            out.print(panel(supervisor))
            with Live(view.render(), console=out, auto_refresh=False, vertical_overflow="visible") as live:
                while time.monotonic() < end and not supervisor.stop_asked.wait(_EVERY_S):
                    supervisor.check()
                    view.update(supervisor.metrics_url)
                    live.update(view.render(), refresh=True)
        else:
            look = f", look at {supervisor.console}" if supervisor.console else ""
            out.print(
                f"publish to {supervisor.settings.kafka}, query at {supervisor.clickhouse}{look}",
                highlight=False,
                soft_wrap=True,
            )
            while time.monotonic() < end and not supervisor.stop_asked.wait(min(_LINE_EVERY_S, seconds)):
                supervisor.check()
                view.update(supervisor.metrics_url)
                out.print(view.line(), highlight=False, soft_wrap=True)
    finally:
        with err.status("stopping"):
            supervisor.stop()


@dataclass(slots=True)
class Touchpoint:
    """What the view remembers of one touchpoint. Scores are those of the 5-minute window; None is unknown."""

    label: str
    stage: str
    events: float = 0.0
    score: float | None = None
    low: float | None = None
    high: float | None = None
    negative: float | None = None
    best: float = 0.0
    trend: list[float] = field(default_factory=list)

    def read(self, now: "ScoreNow") -> None:
        """Take over what the metrics say now."""
        self.events = now.events
        self.score, self.low, self.high, self.negative = now.score, now.low, now.high, now.negative
        if self.score is not None:
            self.best = max(self.best, self.score)
            self.trend = [*self.trend[1 - _TREND :], self.score]

    @property
    def fallen(self) -> float:
        """Points below the best score so far."""
        return 0.0 if self.score is None else self.best - self.score


class View:
    """The live view: one row for each touchpoint of the map, from the metrics of the running system."""

    def __init__(self, corridor: "CorridorMap", language: str, faults: list[str]) -> None:
        self.started = time.monotonic()
        self._faults = faults
        self._touchpoints = {
            touchpoint.name: Touchpoint(getattr(touchpoint.label, language), touchpoint.stage)
            for touchpoint in corridor.touchpoints
        }
        self._states: dict[str, float] = {}

    def update(self, metrics_url: str) -> None:
        """Read the metrics once."""
        from console.figures import read_figures
        from streams.runtime.federation import get

        status, text = get(f"{metrics_url}/metrics", 5.0)
        if status != 200:
            return
        figures = read_figures(text)
        self._states = figures.events or self._states
        for (_, scope, name), windows in figures.scores.items():
            if scope == "touchpoint" and name in self._touchpoints and "5m" in windows:
                self._touchpoints[name].read(windows["5m"])

    def line(self) -> str:
        """The state in one line, for output that is not a terminal."""
        known = sorted((t for t in self._touchpoints.values() if t.score is not None), key=lambda t: -t.fallen)
        worst = ", ".join(f"{t.label} {t.score:.0f} (-{t.fallen:.0f})" for t in known[:3] if t.fallen >= _FALLEN)
        accepted = self._states.get("accepted", 0.0)
        seconds = time.monotonic() - self.started
        return f"{seconds:4.0f} s  {accepted:8,.0f} events  {len(known):2} scores  fallen: {worst or 'none'}"

    def render(self) -> "Group":
        """The state as a table, worst fall first within each stage."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="dim", pad_edge=False)
        for heading, justify in (
            ("touchpoint", "left"),
            ("stage", "left"),
            ("score, 5 min", "right"),
            ("95 %", "right"),
            ("negative", "right"),
            ("events", "right"),
            ("", "left"),
        ):
            table.add_column(heading, justify=justify)  # type: ignore[arg-type]
        for touchpoint in self._touchpoints.values():
            table.add_row(*_row(touchpoint))
        seconds = time.monotonic() - self.started
        states = "   ".join(f"{state} {count:,.0f}" for state, count in sorted(self._states.items()))
        head = Text(f"{seconds:5.0f} s   {states}", "bold")
        faults = Text("faults: " + (", ".join(self._faults) or "none"), "dim")
        return Group(head, table, faults)


def _row(touchpoint: Touchpoint) -> list[Any]:
    from rich.text import Text

    if touchpoint.score is None:
        unknown = Text("unknown", "dim")
        return [touchpoint.label, touchpoint.stage, unknown, "", "", f"{touchpoint.events:,.0f}", ""]
    style = "bold red" if touchpoint.fallen >= 2 * _FALLEN else "yellow" if touchpoint.fallen >= _FALLEN else "green"
    spread = f"{touchpoint.low:.0f}-{touchpoint.high:.0f}" if touchpoint.low is not None else ""
    negative = f"{100 * touchpoint.negative:.0f} %" if touchpoint.negative is not None else ""
    trend = "".join(_BARS[min(int(score / 100 * len(_BARS)), len(_BARS) - 1)] for score in touchpoint.trend)
    note = f"  -{touchpoint.fallen:.0f}" if touchpoint.fallen >= _FALLEN else ""
    return [
        touchpoint.label,
        touchpoint.stage,
        Text(f"{touchpoint.score:.1f}", style),
        spread,
        negative,
        f"{touchpoint.events:,.0f}",
        Text(trend + note, style),
    ]

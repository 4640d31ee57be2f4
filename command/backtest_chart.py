"""The backtest as a chart: how well each objective was met, with its target; alerts and incidents shaded."""

import io
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from command.backtest_view import moment
from schemas.errors import UsageError

if TYPE_CHECKING:
    from command.backtest_past import ObjectivePast, Past, Tested
    from schemas.corridor import CorridorMap
    from streams.model.burn import Series

_SUFFIXES = (".png", ".svg", ".html")
#: Colours that colour-blind people can tell apart (Okabe and Ito 2008).
_LINE, _TARGET, _SHADES = "#0072B2", "#444444", {"page": "#D55E00", "ticket": "#E69F00"}
#: A point of the line is one of these lengths of time, seconds: the shortest that gives at most so many points.
_STEPS_S = (10, 60, 300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400)
_POINTS = 150
#: More panels than this cannot be read; those with the most alerts are drawn.
MOST_PANELS = 12
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{margin:2em auto;max-width:1100px;font:16px sans-serif}}svg{{width:100%;height:auto}}</style></head>
<body><h1>{title}</h1><p>{text}</p>
{svg}</body></html>
"""


def check(file: Path) -> None:
    """Raise UsageError, before the work begins, if the chart could not be written there."""
    if file.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"--chart {file}: the name says the format; end it with {', '.join(_SUFFIXES)}")
    if not file.absolute().parent.is_dir():
        raise UsageError(f"--chart {file}: there is no folder {file.absolute().parent}; make it first")
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError("--chart needs matplotlib: install corredor[charts]") from None


def draw(tested: "Tested", corridor: "CorridorMap", file: Path) -> None:
    """Write the chart; the name's end says its format. Raises UsageError if the file cannot be written."""
    suffix = file.suffix.lower()
    picture = _picture(tested, "png" if suffix == ".png" else "svg")
    if suffix == ".html":
        past = tested.past
        text = (
            f"{past.source}, {moment(past.since)} to {moment(past.until)} UTC: {past.contacts:,} scored contacts, "
            f"{past.pages_per_week:.1f} pages and {past.tickets_per_week:.1f} tickets a week."
        )
        svg = picture.decode()
        title = f"{corridor.label.en}: what would have paged"
        page = _PAGE.format(title=escape(title), text=escape(text), svg=svg[svg.index("<svg") :])
        picture = page.encode()
    try:
        file.write_bytes(picture)
    except OSError as error:
        raise UsageError(f"--chart {file} cannot be written: {error.strerror}") from None


def _picture(tested: "Tested", form: str) -> bytes:
    from matplotlib import dates, rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    past, untyped = tested.past, _untyped(dates)
    panels = sorted(past.objectives, key=lambda one: -one.alert_s)[:MOST_PANELS]
    heights = [2.0] * (len(panels) or 1) + [0.6 + 0.3 * len(past.places)]
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "corredor", "font.family": "sans-serif"}):
        figure = Figure(figsize=(11, sum(heights) + 0.9), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle("orange: a page, yellow: a ticket, dashed: the target; times are UTC", fontsize=9)
        *upper, lowest = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for one, axis in zip(panels, upper, strict=False):
            _objective(axis, one, tested)
        if not panels:
            upper[0].set_title("all contacts", loc="left", fontsize=10)
            for series in tested.series.values():
                _line(upper[0], series, past)
        _incidents(lowest, past)
        locator = untyped.AutoDateLocator()
        lowest.xaxis.set_major_locator(locator)
        lowest.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator))
        lowest.set_xlim(_date(past.since), _date(past.until))
        made = io.BytesIO()
        figure.savefig(made, format=form, dpi=120, metadata={"Date": None} if form == "svg" else None)
    return made.getvalue()


def _untyped(module: Any) -> Any:
    """matplotlib's dates have no annotations."""
    return module


def _objective(axis: Any, one: "ObjectivePast", tested: "Tested") -> None:
    goal, past = one.objective, tested.past
    tenant = f"{one.tenant} " if len({each.tenant for each in past.objectives}) > 1 else ""
    axis.set_title(f"{tenant}{goal.name}: target {goal.target:g} %", loc="left", fontsize=10)
    _line(axis, tested.series[one.tenant, goal.name], past)
    axis.axhline(goal.target, color=_TARGET, linestyle="--", linewidth=1)
    for alert in past.alerts:
        if (alert.tenant, alert.objective) == (one.tenant, goal.name):
            color = _SHADES[alert.severity]
            axis.axvspan(_date(alert.since), _date(alert.until), color=color, alpha=0.3, linewidth=0)


def _line(axis: Any, series: "Series", past: "Past") -> None:
    seconds = past.until - past.since
    step = next((step for step in _STEPS_S if seconds <= step * _POINTS), _STEPS_S[-1])
    edges = np.arange(past.since // step * step, past.until + step, step)
    good = 100.0 * (1.0 - series.sums(edges[:-1], edges[1:]).share())
    known = ~np.isnan(good)
    dates = [_date(at + step / 2) for at in edges[:-1][known]]
    axis.plot(dates, good[known], color=_LINE, linewidth=1, marker=".", markersize=2)
    axis.set_ylim(top=100.0 + 0.05 * (100.0 - min(good[known], default=0.0)) + 0.5)
    axis.set_ylabel("not negative, %", fontsize=8)
    axis.grid(alpha=0.3)


def _incidents(axis: Any, past: "Past") -> None:
    """A bar for each incident, a row for each place; paler until it was told."""
    axis.set_title("incidents", loc="left", fontsize=10)
    names = []
    for row, place in enumerate(past.places):
        way = f"{place.touchpoint} → {place.following}" if place.following else place.touchpoint
        names.append(f"{place.kind} {way}")
        for one in past.incidents:
            here = (one.tenant, one.kind, one.measure, one.touchpoint, one.following)
            if here == (place.tenant, place.kind, place.measure, place.touchpoint, place.following):
                end = max(one.ended_at or past.until, one.since)
                told = min(max(one.detected_at, one.since), end)
                for begin, finish, alpha in ((one.since, told, 0.35), (told, end, 0.9)):
                    left, width = _date(begin), _date(finish) - _date(begin)
                    axis.barh(row, width, left=left, height=0.7, color=_SHADES[one.severity], alpha=alpha)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)


def _date(at: float) -> datetime:
    return datetime.fromtimestamp(float(at), UTC)

"""The report as one file of HTML: style and drawings are inside, nothing is fetched from anywhere."""

from datetime import date
from decimal import Decimal
from math import ceil, exp
from pathlib import Path
from typing import NamedTuple

import jinja2
from babel.core import Locale
from babel.dates import format_date
from babel.numbers import format_currency, get_currency_precision

from console import curves
from console.curves import Chart, Value
from console.language import Language, Speech
from console.report.compare import Compared
from console.report.gather import Learned, Report
from console.report.shapes import Plot, plot
from schemas.corridor import CorridorMap
from streams.model.intervals import Estimate

_FOLDER = Path(__file__).parents[1] / "templates"
_CURVE_POINTS = 120


class Words(Speech):
    """Speech with what only the report says: days and money."""

    def day(self, day: date) -> str:
        """A day with its year."""
        return format_date(day, "long", self.language)

    def money(self, minor: float, currency: str) -> str:
        """An amount given in minor units; a currency that is not known has two decimals."""
        digits = get_currency_precision(currency)
        return format_currency(Decimal(round(minor)).scaleb(-digits), currency or "XXX", locale=Locale(self.language))

    def points(self, one: Estimate | None) -> str:
        """A difference with its sign."""
        if one is None:
            return "–"
        return ("+" if one.value > 0 else "") + self.number(one.value, 1)

    def interval(self, one: Estimate | None, digits: int = 1) -> str:
        """The ends of an interval."""
        return "" if one is None else self.between(one.low, one.high, digits)

    def percents(self, one: Estimate | None) -> str:
        """The ends of an interval of a share, in per cent."""
        return "" if one is None else self.between(100 * one.low, 100 * one.high, 1) + " %"


class Drawn(NamedTuple):
    """A change with its chart: dots are scores over the time since the launch, `curve` the fitted line."""

    learned: Learned
    chart: Chart | None
    curve: str


def render(report: Report, chart: CorridorMap, language: Language) -> str:
    """The page in one language; well-formed XML as well as HTML."""
    say = Words(language, chart)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    returns = [(say("band." + one.name), (("now", one.retention),)) for one in report.bands]
    return environment.get_template("report.html").render(
        t=say,
        report=report,
        stages=_stages([report.whole, *report.stages], say),
        moves=_moves([*report.improved, *report.fell], say),
        changes=[_drawn(one, say) for one in report.learned],
        returns=plot(returns, 0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0)),
    )


def stage_name(name: str, say: Speech) -> str:
    """What a stage is called; the empty name is the whole corridor."""
    return say("stage." + name) if name else say("report.whole")


def _stages(stages: list[Compared], say: Speech) -> Plot:
    rows = [
        (
            stage_name(one.name, say),
            (("before", one.before and one.before.score), ("now", one.now and one.now.score)),
        )
        for one in stages
    ]
    return plot(rows, 0.0, 100.0, (0.0, 40.0, 70.0, 100.0))


def _moves(moves: list[Compared], say: Speech) -> Plot:
    widest = max((max(abs(one.difference.low), abs(one.difference.high)) for one in moves if one.difference), default=1)
    edge = max(1, ceil(widest))
    rows = [(say.place(one.name), (("now", one.difference),)) for one in moves]
    return plot(rows, -edge, edge, (-edge, 0, edge))


def _drawn(one: Learned, say: Speech) -> Drawn:
    values = [Value(bin.t, 100 * bin.sum_x / bin.n) for bin in one.bins]
    chart = curves.chart(values, 100.0, (0, 40, 70, 100), lambda at, _: say.seconds(at))
    known = one.curve
    if chart is None or known.tau is None or known.a is None or known.b is None:
        return Drawn(one, chart, "")
    first, last = values[0].at, values[-1].at
    moments = [first + (last - first) * index / (_CURVE_POINTS - 1) for index in range(_CURVE_POINTS)]
    fitted = curves.chart(
        [Value(at, known.b + known.a * exp(-at / known.tau.value)) for at in moments], 100.0, (), lambda *_: ""
    )
    return Drawn(one, chart, fitted.line if fitted else "")

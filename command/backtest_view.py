"""What would have paged, for a terminal."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from command.backtest_past import Alert, ObjectivePast, Past
    from schemas.incident import Incident

_STYLES = {"page": "red", "ticket": "yellow"}
_NO_OBJECTIVES = (
    "The map has no objectives, so only incidents are shown. Try one: add to the map\n"
    "  objectives:\n"
    "    - {name: all-contacts, scope: corridor, target: 95}"
)


def render(past: "Past", *, listing: bool = False) -> "Group":
    """Summary, objectives and incidents; with `listing` each alert and incident too."""
    from rich.console import Group
    from rich.text import Text

    period = f"{moment(past.since)} to {moment(past.until)} UTC, {length(past.until - past.since)}"
    parts: list[Any] = [Text(f"{past.source}: {past.contacts:,} scored contacts, {period}; map {past.map}", "dim")]
    if past.objectives:
        parts.append(_objectives(past))
    else:
        parts += ["", Text(_NO_OBJECTIVES, "yellow")]
    parts.append(_places(past) if past.places else Text("\nno incidents", "green"))
    if listing and (past.alerts or past.incidents):
        parts.append(_list(past))
    return Group(*parts, "", _summary(past))


def _summary(past: "Past") -> "Text":
    from rich.text import Text

    pages, tickets = (_counted(count, noun) for count, noun in ((past.pages, "page"), (past.tickets, "ticket")))
    said = f"{pages} and {tickets} in {length(past.until - past.since)}"
    if past.weeks >= 1:
        said = f"{past.pages_per_week:.1f} pages a week, {past.tickets_per_week:.1f} tickets ({said})"
    return Text(said, "bold red" if past.pages else "bold green")


def _table(*columns: tuple[str, Literal["left", "right"]]) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading, justify in columns:
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=justify == "right", vertical="top")
    return table


def _objectives(past: "Past") -> "Table":
    from rich.text import Text

    table = _table(
        ("\nobjective", "left"),
        ("\ncontacts", "right"),
        ("not negative\n(target)", "right"),
        ("budget\nspent", "right"),
        ("\nat most", "right"),
        (_often("pages", past), "right"),
        (_often("tickets", past), "right"),
        ("time in\nalert", "right"),
    )
    several = len({one.tenant for one in past.objectives}) > 1
    for one in past.objectives:
        goal = one.objective
        spent = Text(f"{100 * one.budget_spent:,.0f} %", "red" if one.budget_spent > 1 else "green")
        most = "" if one.most_spent is None else f"{100 * one.most_spent:,.0f} % in {length(goal.over)}"
        met = f"{100 * (1 - one.share):.2f} % ({goal.target:g})" if one.contacts else "unknown"
        table.add_row(
            Text((f"{one.tenant} " if several else "") + goal.name, "bold"),
            f"{one.contacts:,}",
            met,
            spent,
            most,
            _rate(one.pages, past, "page"),
            _rate(one.tickets, past, "ticket"),
            length(one.alert_s),
        )
        for row in _tiers(one, past):
            table.add_row(*row)
    return table


def _tiers(one: "ObjectivePast", past: "Past") -> Iterator[list[Any]]:
    """The tiers that would have fired."""
    from rich.text import Text

    for tier in one.tiers:
        if tier.alerts:
            name = f"  {tier.burn_rate:g} x in {length(tier.long_s)} and {length(tier.short_s)}"
            often = _rate(tier.alerts, past, "dim")
            where = [often, ""] if tier.severity == "page" else ["", often]
            yield [Text(name, "dim"), "", "", "", "", *where, Text(length(tier.alert_s), "dim")]


def _places(past: "Past") -> "Table":
    from rich.text import Text

    table = _table(
        ("\nincidents", "left"),
        ("\nat", "left"),
        ("\ncount", "right"),
        (_often("pages", past), "right"),
        (_often("tickets", past), "right"),
        ("time in\nincident", "right"),
        ("\nhurt", "right"),
        ("\nthe longest", "left"),
    )
    several = len({one.tenant for one in past.places}) > 1
    for one in past.places:
        way = f"{one.touchpoint} -> {one.following}" if one.following else one.touchpoint
        table.add_row(
            f"{one.kind}, {one.measure.replace('_', ' ')}",
            Text((f"{one.tenant} " if several else "") + way),
            str(one.incidents),
            _rate(one.pages, past, "page"),
            _rate(one.tickets, past, "ticket"),
            length(one.incident_s),
            f"{one.hurt:,}",
            Text(f"{_lasted(one.longest, past.until)} since {moment(one.longest.since)}{_cause(one.longest)}"),
        )
    return table


def _list(past: "Past") -> "Table":
    table = _table(("\ntold", "left"), ("\nuntil", "left"), ("\nas", "left"), ("\nwhat", "left"))
    rows = [*map(_alert_row, past.alerts), *map(_incident_row, past.incidents)]
    for _, row in sorted(rows, key=lambda item: item[0]):
        table.add_row(*row)
    return table


def _alert_row(alert: "Alert") -> tuple[int, list[Any]]:
    what = f"{alert.objective}: burns faster than {alert.burn_rate:g} x, up to {alert.worst:.1f} x"
    return alert.since, _listed(alert.since, None if alert.open else alert.until, alert.severity, what)


def _incident_row(one: "Incident") -> tuple[int, list[Any]]:
    where = f"{one.touchpoint} -> {one.following}" if one.following else one.touchpoint
    if one.segment:
        where += f" [{one.segment} = {one.segment_value}]"
    what = f"{one.kind} at {where}, since {moment(one.since)}, {one.hurt:,} hurt{_cause(one)}"
    return one.detected_at, _listed(one.detected_at, one.resolved_at or None, one.severity, what)


def _listed(told: int, until: int | None, severity: str, what: str) -> list[Any]:
    from rich.text import Text

    end = Text("open", "yellow") if until is None else moment(until)
    return [moment(told), end, Text(severity, _STYLES[severity]), Text(what)]


def _often(noun: str, past: "Past") -> str:
    return f"{noun}\na week" if past.weeks >= 1 else f"\n{noun}"


def _rate(count: int, past: "Past", style: str) -> "Text":
    """So often a week; in less than a week, so often."""
    from rich.text import Text

    often = count / past.weeks
    shown = str(count) if past.weeks < 1 else f"{often:.1f}" if often >= 0.1 or not count else f"{often:.2f}"
    return Text(shown, _STYLES.get(style, style) if count else "dim")


def _lasted(one: "Incident", until: int) -> str:
    return length((one.ended_at or until) - one.since) + ("" if one.ended_at else " and open")


def _cause(one: "Incident") -> str:
    return f": {one.causes[0].segment} = {one.causes[0].value}" if one.causes else ""


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def moment(at: float) -> str:
    """An epoch second as people read it, UTC, to the minute."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


def length(seconds: float) -> str:
    """A length of time in its two largest units: `3 d 4 h`; `0` if there is none."""
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    for (size, name), (next_size, next_name) in pairwise(units):
        if seconds >= size:
            rest = int(seconds % size // next_size)
            return f"{int(seconds // size)} {name}" + (f" {rest} {next_name}" if rest else "")
    return f"{seconds:g} s" if seconds else "0"

"""The corridor map in a terminal: touchpoints by stage, the ways between them, open incidents. Data in, rich out."""

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from command.corridor_words import WORDS, Language
from console.corridor import Corridor, OpenIncident, Place, Way
from schemas.corridor import CorridorMap

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

MAX_PLACES = 30
MAX_WAYS = 12
MAX_INCIDENTS = 8
_BAR = 8
#: From this width on (columns) the transitions stand beside the touchpoints, which then have `_PLACES_WIDTH`.
_BESIDE = 170
_PLACES_WIDTH = 88
_GAP = 4
#: Widths of all columns but the names, with the gaps between columns.
_PLACE_FIGURES = 43
_WAY_FIGURES = 36
_SHORTEST_NAME, _LONGEST_NAME = 12, 41
_EIGHTHS = " ▏▎▍▌▋▊▉█"
#: Below 40 a score is negative, from 70 on positive: DOMAIN's bands of x.
_NEGATIVE, _POSITIVE = 40.0, 70.0
GROWS, LONG, INCIDENT = "▲", "◆", "●"


def render_corridor(corridor: Corridor, chart: CorridorMap, language: Language, width: int) -> "Group":
    """The map for a terminal of `width` columns: transitions beside the touchpoints where both fit, else below."""
    return _Drawing(corridor, chart, language).whole(width)


#: Up to which wait (milliseconds) a unit is used, its length, its name.
_UNITS = (
    (950.0, 1.0, "ms"),
    (59.5e3, 1e3, "s"),
    (59.5 * 60e3, 60e3, "min"),
    (23.5 * 3600e3, 3600e3, "h"),
    (math.inf, 86400e3, "d"),
)


def duration(ms: float) -> str:
    """A wait with two or three digits: `350 ms`, `1.2 s`, `21 s`, `3.5 min`, `2.1 h`, `12 d`."""
    _, length, unit = next(row for row in _UNITS if ms < row[0])
    value = ms / length
    return f"{value:.1f} {unit}" if value < 9.95 and length > 1 else f"{value:.0f} {unit}"


def bar(share: float, width: int = _BAR) -> str:
    """A bar of `share` (0 to 1) of `width` characters, in eighths of a character; never empty above 0."""
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


class _Drawing:
    def __init__(self, corridor: Corridor, chart: CorridorMap, language: Language) -> None:
        self._corridor = corridor
        self._labels = {
            touchpoint.name: touchpoint.label.es if language == "es" else touchpoint.label.en
            for touchpoint in chart.touchpoints
        }
        self._words = WORDS[language]

    def whole(self, width: int) -> "Group":
        from rich.console import Group
        from rich.table import Table

        parts: list[Any] = [self._head()]
        if width >= _BESIDE:
            beside = Table.grid(padding=(0, _GAP, 0, 0))
            beside.add_row(self._places(_PLACES_WIDTH - _GAP), self._ways(width - _PLACES_WIDTH))
            parts.append(beside)
        else:
            parts.append(self._places(width))
            parts += ["", self._ways(width)] if self._corridor.ways else []
        return Group(*parts, *self._notes(), *self._incidents())

    def _head(self) -> "Text":
        from rich.text import Text

        corridor = self._corridor
        head = Text(f"{self._words['tenant']} {corridor.tenant}", "bold")
        if corridor.at:
            head.append(f"   {datetime.fromtimestamp(corridor.at, UTC):%Y-%m-%d %H:%M:%S} UTC", "not bold")
        others = [name for name in corridor.tenants if name != corridor.tenant]
        if others:
            head.append(f"   {self._words['also'].format(', '.join(others))} (--tenant)", "not bold dim")
        return head

    def _places(self, width: int) -> "Table":
        from rich.text import Text

        shown = self._busiest()
        kinds = {place.touchpoint: self._kinds(place) for place in shown}
        name_width = width - _PLACE_FIGURES - max(map(len, kinds.values()), default=0)
        table = self._table(
            max(min(name_width, _LONGEST_NAME), _SHORTEST_NAME),
            ("", "left"),
            ("score", "right"),
            ("interval", "right"),
            ("progress", "right"),
            ("change", "left"),
            ("going_on", "right"),
            ("", "left"),
        )
        stage: str | None = None
        for place in shown:
            if place.stage != stage:
                stage = place.stage
                table.add_row(Text(self._words[stage], "bold"))
            table.add_row(*self._place(place), Text(kinds[place.touchpoint], "bold red"))
        return table

    def _table(self, name_width: int, *columns: tuple[str, Literal["left", "right"]]) -> "Table":
        """A table whose first columns, those of names, are cut at `name_width`; figures never are."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False)
        for number, (name, justify) in enumerate(columns):
            limit = name_width if number == 0 or name == "to" else None
            heading = Text(self._words[name] if name else "")
            table.add_column(heading, justify=justify, max_width=limit, no_wrap=True, overflow="ellipsis")
        return table

    def _kinds(self, place: Place) -> str:
        kinds = dict.fromkeys(one.kind for one in self._corridor.incidents if one.touchpoint == place.touchpoint)
        return " ".join(f"{INCIDENT} {self._words[kind]}" for kind in kinds)

    def _busiest(self) -> list[Place]:
        """In the map's order, those with the most contacts in the last hour where there are too many."""
        places = self._corridor.places
        kept = sorted(range(len(places)), key=lambda number: -places[number].arrivals)[:MAX_PLACES]
        return [places[number] for number in sorted(kept)]

    def _place(self, place: Place) -> list[Any]:
        from rich.text import Text

        unknown = Text(self._words["unknown"], "dim")
        score, interval = unknown, ""
        if place.score is not None:
            style = "red" if place.score < _NEGATIVE else "yellow" if place.score < _POSITIVE else "green"
            score = Text(f"{place.score:.1f}", style)
        if place.score_low is not None and place.score_high is not None:
            interval = f"{place.score_low:.0f}-{place.score_high:.0f}"
        change = Text(f" {place.change:+,}" if place.change else "")
        if place.grows:
            change = Text(f" {place.change:+,} {GROWS}", "bold yellow")
        going_on = f"{100 * place.going_on:.0f} %" if place.going_on is not None else ""
        name = Text(" " + self._label(place.touchpoint))
        return [name, score, interval, f"{place.in_progress:,}", change, going_on]

    def _ways(self, width: int) -> "Table":
        from rich.text import Text

        table = self._table(
            max(min((width - _WAY_FIGURES) // 2, _LONGEST_NAME), _SHORTEST_NAME),
            ("from", "left"),
            ("to", "left"),
            ("n", "right"),
            ("", "left"),
            ("median", "right"),
            ("p95", "right"),
            ("", "left"),
        )
        shown, hurt = self._most_used(), self._hurt
        for way in shown:
            waits = (way.wait_median_ms, way.wait_p95_ms)
            marks = Text()
            if way.long:
                marks.append(LONG, "bold yellow")
            if (way.touchpoint, way.following) in hurt:
                marks.append(INCIDENT, "bold red")
            table.add_row(
                Text(self._label(way.touchpoint)),
                Text(self._label(way.following)),
                f"{way.n:,}",
                Text(bar(way.n / shown[0].n), "cyan"),
                *(duration(wait) if wait is not None else "" for wait in waits),
                marks,
            )
        return table

    @property
    def _hurt(self) -> set[tuple[str, str]]:
        return {(one.touchpoint, one.following) for one in self._corridor.incidents if one.following}

    def _most_used(self) -> list[Way]:
        """The most used transitions, and with them all that are marked."""
        return [
            way
            for number, way in enumerate(self._corridor.ways)
            if number < MAX_WAYS or way.long or (way.touchpoint, way.following) in self._hurt
        ]

    def _notes(self) -> list["Text"]:
        from rich.text import Text

        corridor, words = self._corridor, self._words
        shown, ways = self._busiest(), self._most_used()
        notes = []
        if not corridor.ways:
            notes.append(words["nothing"])
        if len(corridor.places) > len(shown):
            notes.append(words["places_out"].format(len(corridor.places) - len(shown)))
        if len(corridor.ways) > len(ways):
            notes.append(words["ways_out"].format(len(corridor.ways) - len(ways)))
        if any(place.grows for place in shown):
            notes.append(f"{GROWS} {words['grows']}")
        if any(way.long for way in ways):
            notes.append(f"{LONG} {words['long']}")
        return [Text(note, "dim") for note in notes]

    def _incidents(self) -> list["Text"]:
        from rich.text import Text

        incidents = self._corridor.incidents
        if not incidents:
            return []
        lines = [Text(f"\n{self._words['incidents']}", "bold")]
        lines += [self._incident(one) for one in incidents[:MAX_INCIDENTS]]
        if len(incidents) > MAX_INCIDENTS:
            lines.append(Text(self._words["more"].format(len(incidents) - MAX_INCIDENTS), "dim"))
        return lines

    def _incident(self, one: OpenIncident) -> "Text":
        from rich.text import Text

        words = self._words
        where = self._label(one.touchpoint) + (f" → {self._label(one.following)}" if one.following else "")
        if one.segment:
            where += f" ({one.segment}={one.segment_value})"
        since = f"{words['since']} {datetime.fromtimestamp(one.since, UTC):%m-%d %H:%M}"
        style = "red" if one.severity == "page" else "yellow"
        line = Text(f"{INCIDENT} {words[one.severity]} {words[one.kind]}  ", style)
        cause = f"  {one.first_cause}" if one.first_cause else ""
        line.append(f"{where}{cause}  {since}  {one.hurt:,} {words['hurt']}", "default")
        return line

    def _label(self, name: str) -> str:
        return self._labels.get(name, name)

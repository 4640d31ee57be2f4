"""The corridor map as shapes: what the template writes as SVG. Data in, geometry and words out."""

import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from console.corridor import Corridor, OpenIncident, Place, Way
from console.graph import Layout, Spot, lay_out
from console.language import Speech
from schemas.corridor import CorridorMap

#: Pixels.
BOX_W, BOX_H = 168.0, 66.0
ACROSS, DOWN, MARGIN = 196.0, 118.0, 14.0
_NARROWEST, _WIDEST = 1.0, 9.0
_LINE_CHARS = 22
#: No more ways are drawn than this, the most used and the marked ones; the table has all.
MOST_WAYS = 60
#: A way is drawn when so many of a thousand journeys of the busiest way take it, or when the map declares it.
_FEWEST = 0.01


class Box(NamedTuple):
    """A touchpoint on the map. x and y are its upper left corner."""

    place: Place
    x: float
    y: float
    lines: list[str]
    #: `s0` (worst) to `s4` (best), or `unknown`.
    tone: str
    symbol: str
    incidents: list[OpenIncident]
    said: str


class Line(NamedTuple):
    """A way on the map: an SVG path, its width in pixels, and where its wait is written."""

    way: Way
    path: str
    width: float
    label: str
    label_at: Spot
    incidents: list[OpenIncident]
    #: Not taken in the last hour; the map declares it.
    unused: bool
    said: str


class Drawing(NamedTuple):
    """The whole map; width and height in pixels. `left_out` ways are only in the table."""

    boxes: list[Box]
    lines: list[Line]
    width: float
    height: float
    left_out: int


def tone(score: float | None) -> str:
    """The class of a score: `s0` below 40 (negative), `s1` and `s2` below 70 (neutral), `s3`, `s4` from 85 on."""
    if score is None:
        return "unknown"
    return f"s{sum(score >= step for step in (40, 55, 70, 85))}"


#: What tells the bands apart without colour.
SYMBOLS = {"unknown": "?", "s0": "▼", "s1": "◆", "s2": "◆", "s3": "▲", "s4": "▲"}


def draw(corridor: Corridor, chart: CorridorMap, speech: Speech) -> Drawing:
    """The map of a corridor. Touchpoints stay where they are as long as the map and its touchpoints do."""
    names = tuple(place.touchpoint for place in corridor.places)
    declared = [(one.origin, one.to) for one in chart.transitions]
    hurt = {(one.touchpoint, one.following) for one in corridor.incidents if one.following}
    drawn = _drawn(corridor.ways, declared, hurt)
    layout = lay_out(names, frozenset(declared or [(way.touchpoint, way.following) for way in drawn]))
    return Drawing(
        [_box(place, layout, corridor.incidents, speech) for place in corridor.places],
        _lines(drawn, layout, corridor.incidents, speech),
        ACROSS * max((spot.x for spot in layout.spots.values()), default=0.0) + BOX_W + 2 * MARGIN,
        DOWN * max((spot.y for spot in layout.spots.values()), default=0.0) + BOX_H + 2 * MARGIN,
        sum((way.touchpoint, way.following) not in {(one.touchpoint, one.following) for one in drawn}
            for way in corridor.ways),
    )  # fmt: skip


def _drawn(ways: Sequence[Way], declared: Iterable[tuple[str, str]], hurt: set[tuple[str, str]]) -> list[Way]:
    """Those worth drawing, the most used first, and unused ones that the map declares."""
    busiest = max((way.n for way in ways), default=0)
    wanted = set(declared)
    known = [
        way
        for way in ways
        if (way.touchpoint, way.following) in wanted | hurt or way.long or way.n >= _FEWEST * busiest
    ]
    marked = [way for way in known if way.long or (way.touchpoint, way.following) in hurt]
    chosen = (marked + [way for way in known if way not in marked])[:MOST_WAYS]
    there = {(way.touchpoint, way.following) for way in ways}
    for touchpoint, following in sorted(wanted - there):
        chosen.append(
            Way(
                touchpoint=touchpoint,
                following=following,
                n=0,
                wait_median_ms=None,
                wait_p95_ms=None,
                waiting_share=0.0,
                long=False,
            )
        )
    return chosen


def _middle(spot: Spot) -> Spot:
    return Spot(MARGIN + BOX_W / 2 + ACROSS * spot.x, MARGIN + BOX_H / 2 + DOWN * spot.y)


def _box(place: Place, layout: Layout, incidents: Sequence[OpenIncident], speech: Speech) -> Box:
    middle = _middle(layout.spots[place.touchpoint])
    here = [one for one in incidents if one.touchpoint == place.touchpoint]
    label = speech.place(place.touchpoint)
    lines = textwrap.wrap(label, _LINE_CHARS, max_lines=2, placeholder="…")
    said = [label, score_words(place, speech)]
    said += [f"{speech('kind.' + one.kind)} ({speech('severity.' + one.severity)})" for one in here]
    said += [speech("map.grows")] if place.grows else []
    shade = tone(place.score)
    return Box(place, middle.x - BOX_W / 2, middle.y - BOX_H / 2, lines, shade, SYMBOLS[shade], here, ". ".join(said))


def score_words(place: Place, speech: Speech) -> str:
    """A score with its interval in words, or that it is unknown."""
    if place.score is None:
        return speech("map.unknown_said", n=speech.number(place.scored))
    interval = speech.between(place.score_low, place.score_high)
    return speech("map.score_said", score=speech.number(place.score), interval=interval)


def _lines(ways: Sequence[Way], layout: Layout, incidents: Sequence[OpenIncident], speech: Speech) -> list[Line]:
    busiest = max((way.n for way in ways), default=0)
    return [_line(way, busiest, layout, incidents, speech) for way in ways]


def _line(way: Way, busiest: int, layout: Layout, incidents: Sequence[OpenIncident], speech: Speech) -> Line:
    points = _points(way, layout)
    here = [one for one in incidents if (one.touchpoint, one.following) == (way.touchpoint, way.following)]
    width = _NARROWEST + (_WIDEST - _NARROWEST) * math.sqrt(way.n / busiest) if way.n and busiest else _NARROWEST
    names = f"{speech.place(way.touchpoint)} → {speech.place(way.following)}"
    said = [names, speech("map.way_said", n=speech.number(way.n), wait=speech.ms(way.wait_median_ms))]
    said += [speech("kind." + one.kind) for one in here]
    said += [speech("map.long")] if way.long else []
    marks = ("! " if here else "") + ("◷ " if way.long else "")
    label = marks + speech.ms(way.wait_median_ms) if way.wait_median_ms is not None else marks.strip()
    if way.touchpoint == way.following and not marks:
        # There is no room for it beside the box; the table says it.
        label = ""
    path, label_at = _curve(points)
    return Line(way, path, round(width, 1), label, label_at, here, way.n == 0, ". ".join(said))


def _points(way: Way, layout: Layout) -> list[Spot]:
    """From the edge of one box to the edge of the other, through the bends."""
    origin, target = layout.spots[way.touchpoint], layout.spots[way.following]
    a, b = _middle(origin), _middle(target)
    if way.touchpoint == way.following:
        right = a.x + BOX_W / 2
        return [Spot(right, a.y - 12), Spot(right + 12, a.y), Spot(right, a.y + 12)]
    if origin.y == target.y:
        side = math.copysign(BOX_W / 2, b.x - a.x)
        return [Spot(a.x + side, a.y), Spot(b.x - side, b.y)]
    down = math.copysign(1.0, b.y - a.y)
    # The way there and the way back stand side by side.
    aside = 14 * down
    bends = [_middle(spot) for spot in layout.bends.get((way.touchpoint, way.following), ())]
    return [Spot(a.x + aside, a.y + down * BOX_H / 2), *bends, Spot(b.x + aside, b.y - down * (BOX_H / 2 + 5))]


def _curve(points: Sequence[Spot]) -> tuple[str, Spot]:
    """A smooth path through the points, and the middle of it."""
    path = [f"M{points[0].x:.0f},{points[0].y:.0f}"]
    for one, other in itertools.pairwise(points):
        half = (one.y + other.y) / 2
        path.append(f"C{one.x:.0f},{half:.0f} {other.x:.0f},{half:.0f} {other.x:.0f},{other.y:.0f}")
    before, after = points[(len(points) - 1) // 2], points[len(points) // 2]
    if len(points) % 2:
        return " ".join(path), before
    return " ".join(path), Spot((before.x + after.x) / 2, (before.y + after.y) / 2)

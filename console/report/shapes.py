"""Values with their intervals, one under another on a common axis: geometry only."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from streams.model.intervals import Estimate

#: Pixels: the whole, the room for labels, for an axis below, the height of a row.
WIDTH, LEFT, RIGHT, TOP, BOTTOM, ROW = 720.0, 210.0, 16.0, 8.0, 24.0, 34.0


class Dot(NamedTuple):
    """A value and its interval, pixels; `kind` is a class of the style sheet."""

    x: float
    low: float
    high: float
    y: float
    kind: str


class Line(NamedTuple):
    """A row with its label."""

    label: str
    y: float
    dots: list[Dot]


class Plot(NamedTuple):
    """The rows, the ticks of the axis (pixels and value), the height."""

    lines: list[Line]
    ticks: list[tuple[float, float]]
    height: float


def plot(
    rows: Sequence[tuple[str, Sequence[tuple[str, Estimate | None]]]],
    lowest: float,
    highest: float,
    ticks: Iterable[float],
) -> Plot:
    """Rows of a label and its values, each with its class; a value that is None is left out. `lowest` < `highest`."""

    def x(value: float) -> float:
        part = (min(max(value, lowest), highest) - lowest) / (highest - lowest)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * part, 1)

    lines = []
    for index, (label, values) in enumerate(rows):
        middle = TOP + ROW * (index + 0.5)
        step = ROW / (len(values) + 1)
        dots = [
            Dot(x(one.value), x(one.low), x(one.high), round(TOP + ROW * index + step * (place + 1), 1), kind)
            for place, (kind, one) in enumerate(values)
            if one is not None
        ]
        lines.append(Line(label, middle, dots))
    return Plot(lines, [(x(value), value) for value in ticks], TOP + ROW * len(rows) + BOTTOM)

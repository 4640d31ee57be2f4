"""Charts over time as shapes: a score with its band, and the emotional curve of a journey. Geometry only."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

#: Pixels: the plot, and the room for its axes.
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720.0, 220.0, 40.0, 14.0, 34.0, 28.0
_TICKS = 6


class Value(NamedTuple):
    """A value at a moment (epoch seconds) with the ends of its interval; None is unknown and leaves a gap."""

    at: float
    value: float | None
    low: float | None = None
    high: float | None = None


class Tick(NamedTuple):
    """A place on an axis, pixels, and what is written there."""

    at: float
    text: str


class Dot(NamedTuple):
    """A value as a point, pixels; `number` is its place among the values."""

    x: float
    y: float
    number: int


class Chart(NamedTuple):
    """A chart: SVG paths of line and band, dots, axes, vertical marks with their names."""

    line: str
    band: str
    dots: list[Dot]
    across: list[Tick]
    up: list[Tick]
    marks: list[Tick]


def chart(
    values: Sequence[Value],
    top: float,
    up: Iterable[float],
    tick: Callable[[float, float], str],
    marks: Iterable[tuple[float, str]] = (),
) -> Chart | None:
    """Values from 0 to `top` over time. `tick` writes a moment for a chart that covers so many seconds.

    None where no value is known: there is nothing to draw.
    """
    if not any(one.value is not None for one in values):
        return None
    marks = list(marks)
    first, last = values[0].at, values[-1].at
    span = max(last - first, 1e-9)

    def x(at: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (at - first) / span, 1)

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(max(value / top, 0.0), 1.0)), 1)

    line, band = [], []
    for run in _runs(values):
        line.append("M" + " L".join(f"{x(at)},{y(value)}" for at, value, _, _ in run))
        if all(low is not None and high is not None for _, _, low, high in run):
            upper = [f"{x(at)},{y(high)}" for at, _, _, high in run]  # type: ignore[arg-type]
            lower = [f"{x(at)},{y(low)}" for at, _, low, _ in reversed(run)]  # type: ignore[arg-type]
            band.append("M" + " L".join(upper + lower) + "Z")
    moments = [first + span * number / (_TICKS - 1) for number in range(_TICKS)] if last > first else [first]
    return Chart(
        " ".join(line),
        " ".join(band),
        [Dot(x(one.at), y(one.value), index) for index, one in enumerate(values) if one.value is not None],
        [Tick(x(moment), tick(moment, span)) for moment in moments],
        [Tick(y(value), f"{value:g}") for value in up],
        [Tick(x(at), name) for at, name in marks if first <= at <= last],
    )


def _runs(values: Sequence[Value]) -> list[list[tuple[float, float, float | None, float | None]]]:
    """The stretches without a gap."""
    runs: list[list[tuple[float, float, float | None, float | None]]] = []
    fresh = True
    for at, value, low, high in values:
        if value is None:
            fresh = True
            continue
        if fresh:
            runs.append([])
        runs[-1].append((at, value, low, high))
        fresh = False
    return runs

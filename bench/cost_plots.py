"""The cost curves as SVG. A plot brings its own paper and ink, light or dark as the reader's system is."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What matplotlib draws with, and what stands for it in the SVG: name, colour on light paper, on dark paper.
INK, PAPER, FIRST, SECOND = "#010203", "#fdfcfb", "#040506", "#070809"
COLOURS = {
    INK: ("ink", "#1f2328", "#e6edf3"),
    PAPER: ("paper", "#ffffff", "#0d1117"),
    # Blue and vermilion of Okabe and Ito 2008, lighter on dark paper.
    FIRST: ("first", "#0060a0", "#56b4e9"),
    SECOND: ("second", "#b34700", "#f0a060"),
}
_DRAWN: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "corredor",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.facecolor": PAPER,
    "legend.edgecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot: dots, or dashes between them. Lines take the colours in turn, one for each pair."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


def draw(file: Path, title: str, labels: tuple[str, str], lines: Sequence[Line], log: bool = False) -> None:
    """Write one plot; `labels` are those of the axes, `log` makes x logarithmic."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    file.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(_DRAWN):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        for number, line in enumerate(lines):
            colour = (FIRST, SECOND)[number // 2 % 2]
            style, marker = ("--", None) if line.dashed else ("none", "o")
            axes.plot(line.x, line.y, color=colour, label=line.label, linestyle=style, marker=marker)
        axes.set(title=title, xlabel=labels[0], ylabel=labels[1], ylim=(0, None))
        if log:
            axes.set_xscale("log")
        axes.legend()
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    file.write_text(two_papers(svg.getvalue()), encoding="utf-8")


def two_papers(svg: str) -> str:
    """The SVG with colours that follow the reader's system."""
    for colour, (name, _, _) in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    light = "".join(f"--{name}:{on_light};" for name, on_light, _ in COLOURS.values())
    dark = "".join(f"--{name}:{on_dark};" for name, _, on_dark in COLOURS.values())
    style = f"<style>svg{{{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    start = svg.index(">", svg.index("<svg")) + 1
    lines = (line.rstrip() for line in (svg[:start] + style + svg[start:]).splitlines())
    return "\n".join(lines) + "\n"

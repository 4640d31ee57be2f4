"""`corredor check`: is this corridor map right? If not: file, line, column, what is wrong and what to do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from command.output import out
from schemas.errors import UsageError

if TYPE_CHECKING:
    from schemas.corridor import CorridorMap


def command(
    maps: Annotated[
        list[Path] | None,
        typer.Argument(metavar="MAP", help="Map files. Default: the map that the settings name.", show_default=False),
    ] = None,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help="`text` for people, `json` for machines.")
    ] = "text",
) -> None:
    """Validate corridor maps: every problem with file, line, column and remedy.

    Exit code 0: all maps are valid. Exit code 2: at least one is not.
    """
    import msgspec

    from schemas.loader import read_map
    from streams.runtime.settings import load_settings

    files = maps or [load_settings().map]
    reports: list[dict[str, object]] = []
    count = 0
    for file in files:
        corridor, problems = read_map(file)
        count += len(problems)
        report: dict[str, object] = {"file": str(file), "valid": corridor is not None, "problems": problems}
        if corridor is not None:
            report["summary"] = _summary(corridor)
        reports.append(report)
        if form == "text":
            for problem in problems:
                _print(str(problem))
            if corridor is not None:
                _print(f"{file}: valid. " + " ".join(_sentences(_summary(corridor))))
    if form == "json":
        answer = msgspec.json.encode({"valid": count == 0, "maps": reports})
        _print(msgspec.json.format(answer, indent=2).decode())
    if count:
        bad = sum(not report["valid"] for report in reports)
        raise UsageError(
            f"{_counted(count, 'problem')} in {bad} of {_counted(len(files), 'map')}: correct and check again"
        )


def _summary(corridor: "CorridorMap") -> dict[str, list[str]]:
    return {
        "touchpoints": [touchpoint.name for touchpoint in corridor.touchpoints],
        "transitions": [f"{transition.origin} -> {transition.to}" for transition in corridor.transitions],
        "segments": [segment.name for segment in corridor.segments],
        "goals": [touchpoint.name for touchpoint in corridor.touchpoints if touchpoint.goal],
    }


def _sentences(summary: dict[str, list[str]]) -> list[str]:
    """Counts of everything; names where there are few."""
    sentences = []
    for noun, names in summary.items():
        listed = f": {', '.join(names)}" if names and noun in ("segments", "goals") else ""
        sentences.append(f"{_counted(len(names), noun.removesuffix('s'))}{listed}.")
    return sentences


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _print(text: str) -> None:
    """As it is: no markup, no wrapping, so that editors can follow file:line:column."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)

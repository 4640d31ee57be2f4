"""`corredor rules`: the Prometheus rules of a corridor map, written or compared."""

from pathlib import Path
from typing import Annotated

import typer

from command.output import out
from schemas import written
from schemas.errors import StopProcess


def command(
    map: Annotated[
        Path | None,
        typer.Option("--map", "-m", help="The corridor map. Default: the one the settings name.", show_default=False),
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Where the rule files are.", metavar="FOLDER")] = Path(
        "deploy/prometheus/rules"
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where a file differs from the map.")
    ] = False,
    runbook_url: Annotated[
        str | None,
        typer.Option(
            help="Where your runbook pages are; each alert links its own. Default: what the settings name.",
            metavar="BASE",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make Prometheus rules of a corridor map: objectives, incidents, the pipeline's health.

    Exit code 0: written, or nothing differs. Exit code 1: with --check, a file differs. Exit code 2: the map is wrong.
    """
    from schemas.loader import load_map
    from sinks.prometheus.rules import render
    from streams.runtime.settings import load_settings

    settings = load_settings(map=map, runbooks=runbook_url)
    corridor = load_map(settings.map)
    files = render(corridor, settings.runbooks)
    if not check:
        written.write(folder, files)
    elif different := written.stale(folder, files, "`corredor rules`, same options without --check"):
        raise StopProcess("the rules are not those of the map:\n" + "\n".join(f"  {line}" for line in different))
    count = len(corridor.objectives)
    said = f"{count} objective{'' if count == 1 else 's'}" if count else "no objectives, so no burn-rate alerts"
    _print(f"{folder}: {', '.join(files)} {'are those of' if check else 'written from'} the map `{corridor.corridor}`")
    _print(f"the map names {said}; incidents and the pipeline's health are alerted on in any case")


def _print(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)

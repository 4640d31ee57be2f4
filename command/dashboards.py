"""`corredor dashboards`: Grafana's data sources and dashboards, written or compared."""

from pathlib import Path
from typing import Annotated

import typer

from command.output import out
from schemas import written
from schemas.errors import StopProcess


def command(
    folder: Annotated[Path, typer.Option("--out", help="Where the files are.", metavar="FOLDER")] = Path(
        "deploy/grafana"
    ),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 where a file differs.")] = False,
) -> None:
    """Make Grafana's dashboards: experience, corridor, on-call, pipeline; and the data sources they ask.

    Exit code 0: written, or nothing differs. Exit code 1: with --check, a file differs. How to give them to Grafana:
    docs/bi.md.
    """
    from sinks.grafana.files import render

    files = render()
    if not check:
        written.write(folder, files)
    elif different := written.stale(folder, files, "`corredor dashboards`"):
        raise StopProcess(
            "these are not the dashboards of this version:\n" + "\n".join(f"  {line}" for line in different)
        )
    said = "are those of this version" if check else "written"
    out.print(f"{folder}: {', '.join(files)} {said}", markup=False, highlight=False, soft_wrap=True)

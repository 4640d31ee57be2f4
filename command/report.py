"""`corredor report`: a period on one page, for directors."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from command.output import err, out
from schemas.errors import UsageError

_SUFFIXES = (".html", ".pdf")


def command(
    from_: Annotated[str, typer.Option("--from", help="First day of the period, such as 2026-10-01.", metavar="DATE")],
    to: Annotated[str, typer.Option("--to", help="Last day of the period; it is part of it.", metavar="DATE")],
    tenant: Annotated[
        str | None,
        typer.Option(help="Whose corridor; default: the tenant with the most contacts.", show_default=False),
    ] = None,
    lang: Annotated[str, typer.Option(help="en or es.")] = "en",
    horizon: Annotated[
        int, typer.Option(help="Days within which a customer must be back to have come again.", min=1, max=3660)
    ] = 30,
    file: Annotated[
        Path, typer.Option("--out", help="What is written: FILE.html or FILE.pdf (needs Chromium).", metavar="FILE")
    ] = Path("report.html"),
) -> None:
    """Write a period down on one page: how it felt, what changed, incidents, money at stake, what came of it.

    Days are those of the map's time zone; the period before is as long. The page is one file and fetches nothing.
    Exit code 1: nothing happened in the period.
    """
    from command.report_pdf import browser, print_pdf
    from command.results import connect
    from schemas.loader import load_map
    from streams.runtime.settings import load_settings

    if lang not in ("en", "es"):
        raise UsageError(f"--lang {lang}: write en or es")
    if file.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"--out {file}: name a file that ends in .html or .pdf")
    if not file.parent.is_dir():
        raise UsageError(f"--out {file}: there is no folder {file.parent}")
    first, last = _day("--from", from_), _day("--to", to)
    try:
        from console.report.gather import gather, period
        from console.report.page import render
    except ModuleNotFoundError as error:
        raise UsageError(f"the report needs {error.name}: pip install 'corredor[console]'") from None
    settings = load_settings()
    chart = load_map(settings.map)
    asked = period(first, last, chart.detection.time_zone, horizon)
    # Found before anything is read: reading may take minutes.
    program = browser() if file.suffix.lower() == ".pdf" else None
    store = connect(settings)
    try:
        with err.status("reading") as status:
            report = gather(store, chart, asked, tenant, horizon, lambda what: status.update(f"reading {what}"))
    finally:
        store.close()
    text = render(report, chart, "es" if lang == "es" else "en")
    try:
        if program is None:
            file.write_text(text, encoding="utf-8")
        else:
            print_pdf(program, text, file)
    except OSError as error:
        raise UsageError(f"--out {file}: it cannot be written: {error.strerror or error}") from None
    out.print(f"{file}", markup=False, highlight=False, soft_wrap=True)


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text}: write a day such as 2026-10-01") from None

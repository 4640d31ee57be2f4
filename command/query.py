"""`corredor query`: SQL against the results."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sinks.clickhouse import ClickHouse

#: Short names of ClickHouse's output formats; any other name is handed to ClickHouse as it is.
FORMATS = {
    "json": "JSONEachRow",
    "csv": "CSVWithNames",
    "tsv": "TabSeparatedWithNames",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "markdown": "Markdown",
    "vertical": "Vertical",
}


def command(
    sql: Annotated[
        str | None, typer.Argument(help="The query; `-` reads it from standard input.", show_default=False)
    ] = None,
    view: Annotated[
        str | None, typer.Option("--view", help="Show a view instead; `--view list` names them.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="Rows of a view, at most.", min=1)] = 50,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="table, json (an object per line), csv, tsv, parquet, arrow, markdown, vertical, or "
            "any of ClickHouse's formats by its name. Default: table on a terminal, else tab-separated, no header.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Query ClickHouse: the running system, a server, or the chDB folder when nothing runs.

    Read-only on chDB. Start with the views: `corredor query --view list`.
    """
    import sys

    from command.output import out
    from command.results import connect
    from schemas.errors import UsageError
    from streams.runtime.settings import load_settings

    if (sql is None) == (view is None):
        raise UsageError('give one query: `corredor query "SELECT ..."`, `-` to pipe it in, or `--view NAME`')
    chosen = format_ or ("table" if sys.stdout.isatty() else "TabSeparated")
    store = connect(load_settings())
    try:
        text = (sys.stdin.read() if sql == "-" else sql) if sql is not None else _select(store, view or "", limit)
        if not text.strip():
            raise UsageError('no query given: write it as `corredor query "SELECT ..."`, or `-` and pipe it in')
        if chosen == "table" and not _names_format(text):
            columns, rows = store.table(text)
            _print_table(columns, rows)
            return
        body = store.formatted(text, None if _names_format(text) else FORMATS.get(chosen.lower(), chosen))
    finally:
        store.close()
    out.file.flush()
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


def _select(store: "ClickHouse", view: str, limit: int) -> str:
    """The query of a view, or of the list of views. Raises UsageError for a name that is none."""
    from difflib import get_close_matches

    from schemas.errors import UsageError

    listing = "SELECT name, comment FROM system.tables WHERE database = 'corredor' AND engine = 'View' ORDER BY name"
    if view == "list":
        return listing
    names = [name for name, _ in store.rows(listing)]
    if view not in names:
        near = get_close_matches(view, names, 1)
        hint = f"did you mean `{near[0]}`?" if near else "`--view list` names them"
        raise UsageError(f"there is no view `{view}`: {hint}")
    return f"SELECT * FROM corredor.{view} LIMIT {limit}"


def _names_format(text: str) -> bool:
    """Whether the query ends with a FORMAT of its own."""
    import re

    return re.search(r"\bFORMAT\s+\w+\s*;?\s*$", text, re.IGNORECASE) is not None


def _print_table(columns: list[str], rows: list[tuple[object, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from command.output import err, out

    table = Table()
    for column in columns:
        table.add_column(Text(column))
    for row in rows:
        table.add_row(*(Text("NULL", style="dim") if value is None else Text(_shown(value)) for value in row))
    out.print(table)
    err.print(f"{len(rows)} rows", highlight=False)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

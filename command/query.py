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
    sql: Annotated[str, typer.Argument(help="The query; `-` reads it from standard input.", show_default=False)],
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

    Read-only on chDB. Start with the views: events, rejections, slices, scores, touchpoint_scores_now, score_history,
    touchpoint_waits.
    """
    import sys

    from command.output import out
    from schemas.errors import UsageError

    text = sys.stdin.read() if sql == "-" else sql
    if not text.strip():
        raise UsageError('no query given: write it as `corredor query "SELECT ..."`, or `-` and pipe it in')
    chosen = format_ or ("table" if sys.stdout.isatty() else "TabSeparated")
    store = _open()
    try:
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


def _open() -> "ClickHouse":
    """A connection to where the results are."""
    from schemas.errors import UsageError
    from sinks.clickhouse import ClickHouse, chdb_path, holder
    from streams.runtime.endpoints import find
    from streams.runtime.settings import load_settings

    settings = load_settings()
    dsn = settings.clickhouse_dsn
    path = chdb_path(dsn)
    if path is None:
        return ClickHouse.open(dsn, create=False)
    chosen = bool(settings.clickhouse.get_secret_value())
    run = find(settings)
    if run is not None and run.clickhouse and (not chosen or holder(path)):
        return ClickHouse.open(run.clickhouse, create=False)
    if not path.exists():
        raise UsageError(
            f"nothing runs here and there is no ClickHouse folder {path}; start `corredor run` or `corredor demo`, "
            f"or set CORREDOR_CLICKHOUSE"
        )
    return ClickHouse.open(dsn, create=False).read_only()


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

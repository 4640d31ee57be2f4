"""The page of tables: views, tables and dictionaries with the comments of the migrations, from a fresh chDB."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from schemas.loader import load_map
from scripts.reference.markdown import code, sentence, table
from scripts.reference.markdown import page as whole
from sinks.bi import prepare
from sinks.clickhouse import DATABASE, ClickHouse
from sinks.migrate import migrate
from streams.runtime.settings import DEFAULT_MAP

_INTRODUCTION = """Everything is in the ClickHouse database `corredor`. Start with the views: each row once, names as
people use them. A table keeps the newest version of each row; between a replay and the next merge it may show a row
twice, so read tables with `FINAL`, or their views. Questions with their SQL: [queries](../queries.md); tools:
[BI](../bi.md)."""
#: Heading, engines, in the order of the page.
_KINDS = (
    ("Views", ("View",)),
    ("Tables", ("ReplacingMergeTree", "MergeTree", "Null")),
    ("Inside", ("MaterializedView",)),
    ("Dictionaries", ("Dictionary",)),
)


def page() -> str:
    """All that is in the database, after the migrations and with the retail map."""
    with tempfile.TemporaryDirectory() as folder:
        store = ClickHouse.open(f"chdb://{Path(folder) / 'clickhouse'}")
        try:
            migrate(store)
            prepare(store, load_map(DEFAULT_MAP))
            return _page(store)
        finally:
            store.close()


def _page(store: ClickHouse) -> str:
    every = store.rows(
        f"SELECT name, engine, comment, sorting_key FROM system.tables WHERE database = '{DATABASE}' ORDER BY name"
    )
    unknown = {engine for _, engine, *_ in every} - {engine for _, engines in _KINDS for engine in engines}
    if unknown:
        raise ValueError(f"tables of the engines {', '.join(sorted(unknown))} have no place on the page of tables")
    sections = []
    for heading, engines in _KINDS:
        found = [row for row in every if row[1] in engines]
        overview = table(("name", "what it is"), [(f"[{name}](#{name})", comment) for name, _, comment, _ in found])
        sections += [f"## {heading}\n\n{overview}", *(_section(store, *row) for row in found)]
    return whole("Tables", _INTRODUCTION, *sections)


def _section(store: ClickHouse, name: str, engine: str, comment: str, key: str) -> str:
    columns: Sequence[tuple[str, str, str]] = store.rows(
        f"SELECT name, type, comment FROM system.columns "
        f"WHERE database = '{DATABASE}' AND table = '{name}' ORDER BY position"
    )
    kept = f" Engine {code(engine)}, key {code(key)}." if key else ""
    rows = [(code(column), code(kind), text) for column, kind, text in columns]
    return f"### {name}\n\n{sentence(comment)}{kept}\n\n" + table(("column", "type", "what it is"), rows)

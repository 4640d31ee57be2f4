"""`corredor migrate`: bring the ClickHouse database up to date."""

from typing import Annotated

import typer


def command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the statements that would run; run none.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the migrations and whether each is applied.")] = False,
) -> None:
    """Create and change the tables and views of the database `corredor`, and write the corridor map into it.

    Applies pending migrations in order; running it again does nothing. The sink does the same when it starts.
    """
    from rich.table import Table

    from command.output import err, out
    from schemas import retention
    from schemas.errors import UsageError
    from schemas.loader import load_map
    from sinks import bi
    from sinks.clickhouse import ClickHouse, chdb_path, shown
    from sinks.cluster import on_cluster, spread
    from sinks.migrate import migrate, migrations, plan
    from sinks.retention import changes, keep
    from streams.runtime.settings import load_settings

    settings = load_settings()
    kept = retention.parse(settings.retention)
    dsn = settings.clickhouse_dsn
    cluster = settings.clickhouse_cluster
    looking = dry_run or list_
    if looking and (path := chdb_path(dsn)) is not None and not path.exists():
        raise UsageError(f"there is no ClickHouse folder {path} yet; `corredor migrate` creates it")
    store = ClickHouse.open(dsn, create=not looking)
    try:
        if not looking:
            schema = spread(store, cluster)
            done = migrate(schema)
            for migration in done:
                err.print(f"applied {migration.version:03d}_{migration.name}", highlight=False)
            for change in keep(schema, kept):
                told = f"{change.table}: rows are kept for {change.after}, before for {change.before}"
                err.print(told, highlight=False)
            for sentence in bi.prepare(schema, load_map(settings.map)):
                err.print(sentence, highlight=False, soft_wrap=True)
            err.print(f"{shown(dsn)} is up to date", highlight=False, soft_wrap=True)
            return
        state = plan(store)
        altered = changes(store, kept)
    finally:
        store.close()
    if dry_run:
        for migration in state.pending:
            out.print(f"-- {migration.version:03d}_{migration.name}", markup=False, highlight=False)
            if not cluster:
                out.print(migration.sql, markup=False, highlight=False, soft_wrap=True)
                continue
            for statement in migration.statements:
                out.print(f"{on_cluster(statement, cluster)};\n", markup=False, highlight=False, soft_wrap=True)
        for change in altered:
            sql = on_cluster(change.sql, cluster) if cluster else change.sql
            out.print(f"{sql};", markup=False, highlight=False, soft_wrap=True)
        return
    table = Table("migration", "state", "checksum")
    for migration in migrations():
        known = "applied" if migration in state.applied else "pending"
        table.add_row(f"{migration.version:03d}_{migration.name}", known, migration.checksum[:12])
    out.print(table)

"""`corredor restore`: a back-up into an empty Kafka and an empty ClickHouse."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    source: Annotated[Path, typer.Option("--from", help="Folder that `corredor backup` made.", show_default=False)],
    force: Annotated[
        bool, typer.Option("--force", help="Delete the topics and empty the tables that are there, first.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --force: do not ask.")] = False,
) -> None:
    """Put a back-up back, so that workers and sink go on where it was made.

    Kafka and ClickHouse have to be empty: nothing is overwritten without --force. Every file is compared with its
    checksum before anything is touched. Workers and sink have to be stopped until it is done. Cut short, it has to be
    run again, with --force: the positions come last, so nobody takes half of it for the whole. docs/backup.md.
    """
    from command import backup_files as files
    from command import backup_kafka, restore_kafka
    from command.output import err, out
    from sinks import backup
    from sinks.clickhouse import ClickHouse
    from sinks.cluster import spread
    from streams.runtime.settings import load_settings

    settings = load_settings()
    with err.status("comparing checksums"):
        manifest = files.read_manifest(source)
    _readable(manifest.formats, manifest.corredor)
    if force and not yes:
        typer.confirm("Delete all topics of Corredor and empty its tables before?", abort=True, err=True)
    with backup_kafka.kafka(settings) as settings, err.status("restoring") as status:
        backup_kafka.nobody_works(settings)
        restore_kafka.prepare(settings, manifest, force)
        if manifest.migrations:
            store = ClickHouse.open(settings.clickhouse_dsn)
            try:
                schema = spread(store, settings.clickhouse_cluster)
                names = [table.name for table in manifest.tables]
                backup.prepare(store, schema, manifest.migrations, names, force)
                for table in manifest.tables:
                    status.update(f"{table.name}: {table.rows:,} rows")
                    for path in table.files:
                        backup.insert(store, table.name, files.read_stream(source / path))
                backup.finish(schema)
            finally:
                store.close()
        restore_kafka.load(settings, source, manifest, status.update)
    records, rows = sum(log.records for log in manifest.logs), sum(table.rows for table in manifest.tables)
    out.print(f"restored {records:,} records into Kafka and {rows:,} rows into ClickHouse", highlight=False)
    err.print("start the workers and the sink: they go on where the back-up was made", highlight=False)


def _readable(formats: dict[str, int], made_by: str) -> None:
    """Raise UsageError for state that the workers of this version would refuse."""
    from schemas.errors import UsageError
    from streams.model.state_format import DETECT, INGEST

    for form in (INGEST, DETECT):
        if formats[form.topic] > form.number:
            raise UsageError(
                f"the back-up has {form.topic} in format {formats[form.topic]}, and this version knows {form.number}; "
                f"restore it with Corredor {made_by}, or a newer one"
            )

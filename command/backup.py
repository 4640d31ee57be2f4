"""`corredor backup`: state, positions and tables into a folder."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder to make; it must not be there.", show_default=False)],
    tables: Annotated[bool, typer.Option("--tables/--no-tables", help="Include the tables of ClickHouse.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace the folder if it is there.")] = False,
) -> None:
    """Back up what Corredor knows: its state, events not yet worked on, positions, and the tables of ClickHouse.

    Workers and sink have to be stopped, Kafka and ClickHouse have to run (the `local` Kafka and chDB are started for
    it). The folder appears when it is whole: with Ctrl-C there is none. `corredor restore` puts it back, and work goes
    on as if nothing had happened. It holds the names of customers: keep it as safe as the database. docs/backup.md.
    """
    from datetime import UTC, datetime
    from importlib.metadata import version

    from command import backup_files as files
    from command import backup_kafka
    from command.output import err
    from command.output import out as result
    from sinks import backup
    from sinks.clickhouse import ClickHouse
    from streams.model.state_format import DETECT, INGEST
    from streams.runtime.settings import load_settings

    settings = load_settings()
    with (
        backup_kafka.kafka(settings) as settings,
        files.written_aside(out, force) as draft,
        err.status("backing up") as status,
    ):
        backup_kafka.nobody_works(settings)
        partitions, logs, positions = backup_kafka.save(settings, draft, status.update)
        saved: list[files.Table] = []
        migrations = 0
        if tables:
            store = ClickHouse.open(settings.clickhouse_dsn, create=False)
            try:
                migrations = len(backup.applied(store))
                for name in backup.tables(store):
                    rows, paths = 0, []
                    for partition, count in backup.partitions(store, name):
                        status.update(f"{name}, partition {partition}: {count:,} rows")
                        paths.append(f"clickhouse/{name}/{partition}.native.zst")
                        files.write_stream(draft / paths[-1], backup.blocks(store, name, partition))
                        rows += count
                    saved.append(files.Table(name, rows, paths))
            finally:
                store.close()
        status.update("checksums")
        backup_kafka.nobody_works(settings)
        paths = [*(log.file for log in logs), *(path for table in saved for path in table.files)]
        manifest = files.Manifest(
            layout=files.LAYOUT,
            corredor=version("corredor"),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            formats={form.topic: form.number for form in (INGEST, DETECT)},
            partitions=partitions,
            logs=logs,
            positions=positions,
            migrations=migrations,
            tables=saved,
            files=files.seal(draft, paths),
        )
        files.write_manifest(draft, manifest)
    size = sum(file.size for file in manifest.files)
    records, rows = sum(log.records for log in logs), sum(table.rows for table in saved)
    result.print(
        f"{out}: {records:,} records of Kafka, {rows:,} rows of ClickHouse, {size / 1e6:,.1f} MB", highlight=False
    )

"""Numbered migrations: `sinks/migrations/NNN_name.sql`, applied in order, recorded in `corredor.schema_migrations`.

ClickHouse has no transactions around DDL. Every statement of a migration can therefore be run again without harm
(IF NOT EXISTS, OR REPLACE), so that a migration cut short is repeated and two processes at once end at the same place.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import StopProcess
from sinks.clickhouse import ClickHouse

FOLDER = Path(__file__).with_name("migrations")
_FILE = re.compile(r"(\d{3})_(\w+)\.sql")
_HISTORY = """
CREATE TABLE IF NOT EXISTS corredor.schema_migrations
(
    version UInt16 COMMENT 'Number of the migration',
    name String COMMENT 'Name of the migration',
    checksum FixedString(64) COMMENT 'SHA-256 of its file, hexadecimal',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied'
)
ENGINE = ReplacingMergeTree
ORDER BY version
COMMENT 'Migrations applied to this database'
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The statements, each ended by a semicolon at the end of a line."""
        return [part.strip() for part in re.split(r";[ \t]*$", self.sql, flags=re.MULTILINE) if part.strip()]


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a database stands: migrations applied, and those still to be applied, in order."""

    applied: tuple[Migration, ...]
    pending: tuple[Migration, ...]


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """All migrations of this program in order; StopProcess if the numbers have a gap or a double."""
    found = []
    for file in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(file.name)
        if match is None:
            raise StopProcess(f"migration {file}: the name must be NNN_name.sql")
        found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise StopProcess(f"migrations in {folder} must be numbered 001, 002, ... without gap or double")
    return found


def plan(store: ClickHouse, known: list[Migration] | None = None) -> Plan:
    """Compare the database with this program's migrations; changes nothing.

    Raises StopProcess if a migration was edited after it was applied, or the database is ahead of this program.
    """
    known = migrations() if known is None else known
    applied: dict[int, str] = {}
    if store.rows("SELECT 1 FROM system.tables WHERE database = 'corredor' AND name = 'schema_migrations'"):
        rows = store.rows("SELECT version, toString(checksum) FROM corredor.schema_migrations FINAL")
        applied = dict(rows)
    for migration in known:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise StopProcess(
                f"migration {migration.version:03d}_{migration.name}.sql was changed after it had been applied to this "
                f"database (checksum {migration.checksum[:12]}, applied {applied[migration.version][:12]}); restore "
                f"the file and put the change into a new migration"
            )
    ahead = sorted(set(applied) - {migration.version for migration in known})
    if ahead:
        raise StopProcess(
            f"the database has migration {ahead[-1]:03d}, which this version of corredor does not know; "
            f"run the version that applied it, or a newer one"
        )
    return Plan(
        applied=tuple(migration for migration in known if migration.version in applied),
        pending=tuple(migration for migration in known if migration.version not in applied),
    )


def migrate(store: ClickHouse, known: list[Migration] | None = None) -> tuple[Migration, ...]:
    """Apply what is pending, in order, and return it; errors as in `plan`."""
    store.command(_HISTORY)
    pending = plan(store, known).pending
    for migration in pending:
        for statement in migration.statements:
            store.command(statement)
        store.command(
            "INSERT INTO corredor.schema_migrations (version, name, checksum) "
            f"VALUES ({migration.version}, '{migration.name}', '{migration.checksum}')"
        )
    return pending

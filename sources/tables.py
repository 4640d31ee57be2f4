"""Rows of exports: finding the files of each table and streaming CSV, NDJSON and Parquet, plain or gzipped.

A row that cannot be read comes out as a RejectEvent in its place, with its line: nothing disappears.
"""

import csv
import gzip
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import msgspec

from schemas.errors import RejectEvent, UsageError
from schemas.rejection import Reason
from sources.mapping import Mapping

CSV = (".csv", ".tsv", ".txt")
NDJSON = (".ndjson", ".jsonl", ".json")
PARQUET = (".parquet", ".pq")
#: The longest cell of a CSV file, characters.
MAX_CELL = 4 * 1024 * 1024
_BATCH_ROWS = 8192

Cells = dict[str, object]


class SourceFile(NamedTuple):
    """A file and the table whose rows it holds."""

    table: str
    path: Path


def find_files(mapping: Mapping, given: Iterable[str | Path]) -> list[SourceFile]:
    """The files to read, in the order of the mapping's tables, then by name.

    `given` are files, folders, or `table=file`. A file named outright must belong to a table; in a folder, files of no
    table are passed over. Raises UsageError where there is nothing to read, or a joined table has no file.
    """
    found: set[SourceFile] = set()
    for item in given:
        alias, equals, rest = str(item).partition("=")
        if equals and alias in mapping.tables:
            found.add(SourceFile(alias, _existing(Path(rest))))
            continue
        path = _existing(Path(item))
        if path.is_dir():
            inside = [SourceFile(table, file) for file in sorted(path.iterdir()) if (table := _table_of(mapping, file))]
            if not inside:
                raise UsageError(f"{path} holds no file of mapping `{mapping.name}`, which reads {_patterns(mapping)}")
            found.update(inside)
        elif (table := _table_of(mapping, path)) is not None:
            found.add(SourceFile(table, path))
        else:
            raise UsageError(
                f"{path} belongs to no table of mapping `{mapping.name}`, which reads {_patterns(mapping)}; "
                f"say which it is: TABLE={path}"
            )
    if not found:
        raise UsageError("no files given; name files, or the folder that holds them")
    order = list(mapping.tables)
    files = sorted(found, key=lambda file: (order.index(file.table), file.path.name, str(file.path)))
    have = {file.table for file in files}
    for name, compiled in mapping.tables.items():
        for join in compiled.spec.joins:
            if name in have and compiled.events and join.table not in have:
                patterns = ", ".join(mapping.tables[join.table].spec.files) or "none"
                raise UsageError(
                    f"table `{name}` needs table `{join.table}`, of which no file was given (names: {patterns}); "
                    f"add it, or say {join.table}=FILE"
                )
    return files


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UsageError(f"there is no file or folder {path}; check the path")
    return path


def _table_of(mapping: Mapping, path: Path) -> str | None:
    name = path.name.lower().removesuffix(".gz")
    stem, dot, suffix = name.rpartition(".")
    if f".{suffix}" not in CSV + NDJSON + PARQUET or not dot:
        return None
    for table, compiled in mapping.tables.items():
        if any(fnmatchcase(text, pattern.lower()) for pattern in compiled.spec.files for text in (name, stem)):
            return table
    return None


def _patterns(mapping: Mapping) -> str:
    return ", ".join(pattern for table in mapping.tables.values() for pattern in table.spec.files) or "no file names"


def read_rows(path: Path, needed: frozenset[str]) -> Iterator[tuple[int, Cells | RejectEvent]]:
    """Line (Parquet: row) number and cells of every row; a row that cannot be read is a RejectEvent.

    Raises UsageError for a file that cannot be read at all, or lacks a column of `needed`.
    """
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    try:
        if suffix in PARQUET:
            yield from _parquet(path, needed)
        elif suffix in NDJSON:
            with _open(path) as stream:
                yield from _ndjson(stream)
        else:
            with _open(path) as stream:
                yield from _csv(stream, path, needed)
    except (OSError, EOFError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


def _check_header(path: Path, header: Iterable[str], needed: frozenset[str]) -> None:
    have = set(header)
    # `a.b` may be a column of that name or lie inside column `a`.
    missing = sorted(name for name in needed if name not in have and name.partition(".")[0] not in have)
    if missing:
        raise UsageError(
            f"{path}: the mapping uses {', '.join(f'`{name}`' for name in missing)}, "
            f"but the file has only {', '.join(f'`{name}`' for name in have)}"
        )


def _csv(stream: BinaryIO, path: Path, needed: frozenset[str]) -> Iterator[tuple[int, Cells | RejectEvent]]:
    # Bytes that are no UTF-8 travel as surrogates, so that one bad cell does not end the file.
    lines = _Lines(stream)
    first = next(lines, "").removeprefix("\ufeff")
    delimiter = max(",;\t|", key=first.count)
    csv.field_size_limit(MAX_CELL)
    header = next(csv.reader([first], delimiter=delimiter), [])
    _check_header(path, header, needed)
    rows, width = csv.reader(lines, delimiter=delimiter), len(header)
    while True:
        line = lines.count + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, RejectEvent(Reason.WRONG_TYPE, f"this is no CSV: {error}")
            continue
        if len(row) == width:
            yield line, dict(zip(header, row, strict=True))
        elif row:
            yield line, RejectEvent(Reason.MISSING, f"{len(row)} cells where the header has {width}")


class _Lines(Iterator[str]):
    """The lines of a file as text, counted, because one CSV row may span several."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = iter(stream)
        self.count = 0

    def __next__(self) -> str:
        line = next(self._lines).decode("utf-8", "surrogateescape")
        self.count += 1
        return line


def _ndjson(stream: BinaryIO) -> Iterator[tuple[int, Cells | RejectEvent]]:
    decode = msgspec.json.Decoder(dict[str, object]).decode
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            yield number, decode(line)
        except UnicodeDecodeError as error:
            yield number, RejectEvent(Reason.INVALID_UTF8, str(error))
        except msgspec.DecodeError as error:
            yield number, RejectEvent(Reason.INVALID_JSON, str(error))


def _parquet(path: Path, needed: frozenset[str]) -> Iterator[tuple[int, Cells | RejectEvent]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            have = list(file.schema_arrow.names)
            _check_header(path, have, needed)
            wanted = [name for name in have if name in needed or any(n.startswith(f"{name}.") for n in needed)]
            row = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                for cells in batch.to_pylist():
                    row += 1
                    yield row, cells
    except pa.ArrowException as error:
        raise UsageError(f"{path} is no Parquet file that can be read: {error}") from None

"""The folder of a back-up: a manifest with checksums, logs of Kafka as Parquet, tables in ClickHouse's own format.

It is written aside and renamed when it is whole, so a folder of that name is a whole back-up.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import UsageError

MANIFEST = "manifest.json"
#: How the folder is laid out; a newer one is refused.
LAYOUT = 1
#: Records, and bytes of their values, that are in memory at once.
_CHUNK, _CHUNK_BYTES = 20_000, 32 * 1024 * 1024
_BLOCK = 1024 * 1024
_HEADER = pa.struct([("name", pa.string()), ("value", pa.binary())])
_SCHEMA = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("headers", pa.list_(_HEADER)),
    ]
)


class Record(NamedTuple):
    """A record of Kafka; `timestamp` is in milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Log(msgspec.Struct, frozen=True):
    """What is kept of one partition: offsets from `start` up to `end`."""

    topic: str
    partition: int
    start: int
    end: int
    records: int
    file: str


class Table(msgspec.Struct, frozen=True):
    """What is kept of one table of ClickHouse: a file for each of its partitions."""

    name: str
    rows: int
    files: list[str]


class File(msgspec.Struct, frozen=True):
    """A file below the folder."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a back-up holds."""

    layout: int
    #: The version of Corredor that made it, and when (RFC 3339).
    corredor: str
    made_at: str
    #: Format of the state, by topic.
    formats: dict[str, int]
    #: Partitions of every topic.
    partitions: dict[str, int]
    logs: list[Log]
    #: Acknowledged positions by group (`worker`, `sink`) and topic; None where nothing was.
    positions: dict[str, dict[str, list[int | None]]]
    #: Migrations of ClickHouse that were applied; 0: it was left out.
    migrations: int
    tables: list[Table]
    files: list[File]


@contextmanager
def written_aside(folder: Path, force: bool) -> Iterator[Path]:
    """A folder to write into, that takes its name and place only if all goes well.

    Raises UsageError if something has that name and `force` is not set.
    """
    folder = folder.absolute()
    if folder.exists() and not force:
        raise UsageError(f"{folder} is there already; name another folder, or have it replaced with --force")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"{draft} cannot be made: {error.strerror}; name a folder that this user may write") from None
    try:
        yield draft
        if folder.exists():
            old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
            folder.rename(old)
            draft.rename(folder)
            shutil.rmtree(old)
        else:
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def seal(folder: Path, paths: Iterable[str]) -> list[File]:
    """Size and checksum of these files below the folder."""
    return [File(path, (folder / path).stat().st_size, _sha256(folder / path)) for path in paths]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, readable."""
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a back-up, once every file is seen to be what it says. Raises UsageError if not."""
    file = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except OSError as error:
        raise UsageError(f"{folder} is no back-up: {file} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise UsageError(f"{file} is no manifest that this version understands: {error}") from None
    if manifest.layout > LAYOUT:
        raise UsageError(
            f"{folder} was made by Corredor {manifest.corredor} with layout {manifest.layout}, and this version knows "
            f"{LAYOUT}; restore it with that version, or a newer one"
        )
    for each in manifest.files:
        path = folder / each.path
        if not path.is_file() or path.stat().st_size != each.size or _sha256(path) != each.sha256:
            raise UsageError(f"{path} is missing or damaged: it does not have the checksum of {file}; use another copy")
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_log(path: Path, records: Iterable[Record]) -> int:
    """Write records into a Parquet file; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        for chunk in _chunks(records):
            columns = list(zip(*chunk, strict=True))
            headers = [[{"name": name, "value": value} for name, value in each] for each in columns[4]]
            arrays = [
                pa.array(column, field.type) for column, field in zip([*columns[:4], headers], _SCHEMA, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
            count += len(chunk)
    return count


def read_log(path: Path) -> Iterator[Record]:
    """The records of a Parquet file, in their order."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_CHUNK // 10):
            for row in batch.to_pylist():
                headers = [(each["name"], each["value"]) for each in row["headers"]]
                yield Record(row["offset"], row["timestamp"], row["key"], row["value"], headers)


def _chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    size = 0
    for each in records:
        chunk.append(each)
        size += len(each.value or b"")
        if len(chunk) >= _CHUNK or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def write_stream(path: Path, blocks: Iterable[bytes]) -> None:
    """Write bytes into a compressed file (zstd)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.CompressedOutputStream(str(path), "zstd") as out:
        for block in blocks:
            out.write(block)


def read_stream(path: Path) -> Iterator[bytes]:
    """The bytes of a compressed file, a megabyte at a time."""
    with pa.CompressedInputStream(str(path), "zstd") as file:
        while block := file.read(_BLOCK):
            yield block

"""A shelf on the local disk, in RocksDB, for a state too large for memory; and the choice between the two.

It is a cache of the changelog, nothing more: without a log of its own, and emptied whenever a partition is taken over.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import StopProcess, UsageError
from streams.model.shelf import MemoryShelf, Shelf
from streams.runtime.settings import Settings

if TYPE_CHECKING:
    import rocksdict

#: Changes that are collected before they are given to RocksDB as one.
_AT_ONCE = 5_000
#: What one partition takes of memory beside them: bytes being written (at most two of these), and blocks read.
_WRITE_BUFFER = 8 * 1024 * 1024
_BLOCK_CACHE = 16 * 1024 * 1024
_BLOOM_BITS = 10
#: Processes on one machine that may hold a shelf of the same partition at a time: former owners that still end.
_MOST_HOLDERS = 64


def open_shelf(settings: Settings, topic: str, partition: int) -> Shelf:
    """An empty shelf for the state of a partition, as the setting `state_store` says.

    Raises UsageError if RocksDB is asked for and not installed, StopProcess if its folder cannot be used.
    """
    if settings.state_store == "memory":
        return MemoryShelf()
    return RocksShelf(settings.data_dir / "state" / f"{topic}-{partition}")


class RocksShelf:
    """A shelf in the first of the folders `folder.0`, `folder.1` ... that no other shelf of any process has."""

    def __init__(self, folder: Path) -> None:
        """Raises UsageError if RocksDB is not installed, StopProcess if the folder cannot be used."""
        try:
            import rocksdict
        except ImportError as error:
            raise UsageError(
                "CORREDOR_STATE_STORE=rocksdb needs the package rocksdict, which is not installed: "
                "pip install 'corredor[rocksdb]', or use CORREDOR_STATE_STORE=memory"
            ) from error
        self._batch = rocksdict.WriteBatch
        #: Not yet in RocksDB; None is a name taken away.
        self._changes: dict[bytes, bytes | None] = {}
        try:
            self.folder, self._lock = _own(folder)
            shutil.rmtree(self.folder, ignore_errors=True)
            # It raises plain Exception.
            self._db = rocksdict.Rdict(str(self.folder), _options())
        except Exception as error:
            raise StopProcess(f"the state folder {folder} cannot be used: {error}") from error
        unlogged = rocksdict.WriteOptions()
        unlogged.disable_wal = True  # type: ignore[assignment, method-assign]  # a property, annotated as a method
        self._db.set_write_options(unlogged)

    def get(self, name: bytes, /) -> bytes | None:
        """What lies under a name; None if nothing does."""
        if name in self._changes:
            return self._changes[name]
        found: bytes | None = self._db.get(name)
        return found

    def __setitem__(self, name: bytes, value: bytes, /) -> None:
        self._change(name, value)

    def discard(self, name: bytes, /) -> None:
        """Take it away, if it is there."""
        self._change(name, None)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All of it as it is now, ordered by name."""
        self._write()
        yield from self._db.items()

    def close(self) -> None:
        """Delete everything, and let others have the folder."""
        self._changes.clear()
        self._db.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def _change(self, name: bytes, value: bytes | None) -> None:
        self._changes[name] = value
        if len(self._changes) >= _AT_ONCE:
            self._write()

    def _write(self) -> None:
        batch = self._batch(raw_mode=True)
        for name, value in self._changes.items():
            if value is None:
                batch.delete(name)
            else:
                batch.put(name, value)
        self._db.write(batch)
        self._changes.clear()


def _options() -> "rocksdict.Options":
    import rocksdict

    blocks = rocksdict.BlockBasedOptions()
    blocks.set_block_cache(rocksdict.Cache(_BLOCK_CACHE))
    blocks.set_bloom_filter(_BLOOM_BITS, block_based=False)
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_size(_WRITE_BUFFER)
    options.set_max_write_buffer_number(2)
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    options.set_keep_log_file_num(1)
    return options


def _own(folder: Path) -> tuple[Path, int]:
    """The first folder that is free, and the open file whose lock says that it is ours: it goes with the process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for number in range(_MOST_HOLDERS):
        mine = folder.with_name(f"{folder.name}.{number}")
        lock = os.open(f"{mine}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return mine, lock
    raise OSError(f"{_MOST_HOLDERS} processes hold shelves of it")

"""What a row needs from other rows: columns of joined tables, and of the row before it with the same key."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from schemas.errors import RejectEvent, UsageError
from sources.mapping import Mapping
from sources.mapping_build import Builder
from sources.mapping_ops import Cells, Get, Row, as_number, as_text
from sources.mapping_spec import AggregateSpec, Columns, JoinSpec, PreviousSpec
from sources.tables import SourceFile, read_rows

Key = tuple[str, ...]
Enrich = Callable[[dict[str, object]], None]
OnSkip = Callable[[SourceFile, int, RejectEvent], None]


def enrichers(mapping: Mapping, table: str, files: Iterable[SourceFile], on_skip: OnSkip) -> list[Enrich]:
    """Functions that add the joined and previous columns of `table` to a row, in the order of the mapping.

    Reads every joined table into memory now; its rows that cannot be used go to `on_skip`.
    """
    spec = mapping.tables[table].spec
    files = list(files)
    made: list[Enrich] = [
        _Join(mapping, join, [file for file in files if file.table == join.table], on_skip) for join in spec.joins
    ]
    if spec.previous is not None:
        made.append(_Previous(Cells(mapping.spec.absent), spec.previous))
    return made


def columns_read(mapping: Mapping, table: str) -> frozenset[str]:
    """The columns that a file of `table` must have: those of its events and keys, without what is joined to it."""
    compiled = mapping.tables[table]
    names = set(compiled.columns)
    for join in compiled.spec.joins:
        names.update(_names(join.on))
    if compiled.spec.previous is not None:
        names.update(_names(compiled.spec.previous.by), compiled.spec.previous.columns)
    given = {join.as_ or join.table for join in compiled.spec.joins} | {"previous"}
    return frozenset(name for name in names if name.partition(".")[0] not in given)


def _names(columns: Columns) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else columns


def _key(getters: list[Get], row: Row) -> Key | None:
    key = []
    for get in getters:
        cell = get(row)
        if cell is None:
            return None
        key.append(cell if isinstance(cell, str) else as_text(cell))
    return tuple(key)


class _Previous:
    """Remembers the named columns of the last row of every key: one small tuple per key."""

    def __init__(self, cells: Cells, spec: PreviousSpec) -> None:
        self._by = [cells.column(name) for name in _names(spec.by)]
        self._columns = [(name, f"previous.{name}", cells.column(name)) for name in spec.columns]
        self._last: dict[Key, tuple[object, ...]] = {}

    def __call__(self, row: dict[str, object]) -> None:
        key = _key(self._by, row)
        if key is None:
            return
        last = self._last.get(key)
        self._last[key] = tuple([get(row) for _, _, get in self._columns])
        if last is not None:
            for (_, name, _), cell in zip(self._columns, last, strict=True):
                row[name] = cell


class _Join:
    """A table in memory, by key: the joined columns of each key, ready to be added to a row."""

    def __init__(self, mapping: Mapping, spec: JoinSpec, files: list[SourceFile], on_skip: OnSkip) -> None:
        alias = spec.as_ or spec.table
        here = Cells(mapping.spec.absent)
        self._on = [here.column(name) for name in _names(spec.on)]
        names = _names(spec.key or spec.on)
        there = Cells(mapping.spec.absent)
        key_of = [there.column(name) for name in names]
        one = {name: AggregateSpec("first", name) for name in spec.columns}
        aggregates = spec.columns if isinstance(spec.columns, dict) else one
        kept = {
            f"{alias}.{name}": _Aggregate(aggregate, Builder(mapping.spec, there), there)
            for name, aggregate in aggregates.items()
        }
        self._rows: dict[Key, dict[str, Any]] = {}
        for file in files:
            for line, row in read_rows(file.path, frozenset(there.used)):
                if isinstance(row, RejectEvent):
                    on_skip(file, line, row)
                    continue
                key = _key(key_of, row)
                if key is None:
                    continue
                found = self._rows.get(key)
                if found is None:
                    found = self._rows[key] = {}
                elif isinstance(spec.columns, tuple):
                    raise UsageError(
                        f"{file.path}:{line}: a second row with {', '.join(names)} = {', '.join(key)}; say which one "
                        f"counts in the mapping, for example `columns: {{{spec.columns[0]}: {{of: first, column: "
                        f"{spec.columns[0]}}}}}`"
                    )
                try:
                    for name, aggregate in kept.items():
                        found[name] = aggregate(found.get(name), row)
                except RejectEvent as error:
                    on_skip(file, line, error)
        for found in self._rows.values():
            for name, cell in found.items():
                if isinstance(cell, set):
                    found[name] = len(cell)

    def __call__(self, row: dict[str, object]) -> None:
        key = _key(self._on, row)
        if key is not None and (found := self._rows.get(key)) is not None:
            row.update(found)


class _Aggregate:
    """Folds one more row into the value so far."""

    def __init__(self, spec: AggregateSpec, build: Builder, cells: Cells) -> None:
        self._of = spec.of
        names = _names(spec.column)
        self._cells = [(name, cells.column(name)) for name in names]
        self._time = build.time(names[0]) if spec.read == "time" else None
        self._number = spec.read == "number" and spec.of in ("min", "max", "sum")

    def __call__(self, so_far: Any, row: Row) -> Any:
        for name, get in self._cells:
            cell: Any = self._time(row) if self._time is not None else get(row)
            if cell is None:
                continue
            if self._number:
                cell = as_number(cell, name)
            elif self._of in ("min", "max") and not isinstance(cell, datetime):
                cell = as_text(cell)
            so_far = self._fold(so_far, cell)
        return so_far

    def _fold(self, so_far: Any, cell: Any) -> Any:
        if self._of == "count":
            return (so_far or 0) + 1
        if self._of == "distinct":
            return (so_far or set()) | {as_text(cell)}
        if so_far is None or self._of == "last":
            return cell
        if self._of == "first":
            return so_far
        if self._of == "sum":
            return so_far + cell
        return min(so_far, cell) if self._of == "min" else max(so_far, cell)

"""A declarative mapping: rows of exports, or the payloads of webhooks, become touchpoint events.

`Mapping.events` is a pure function of a row. What needs memory between rows (joined tables, the previous row of the
same key) is added to the row before, by `sources.tables`.
"""

import re
from collections.abc import Callable
from collections.abc import Mapping as Row
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec

from schemas.document import Node, read_document
from schemas.errors import RejectEvent, UsageError
from schemas.event import SPEC_VERSION, TYPE, Actor, Channel, Contact, Initiator, Outcome, Stage, TouchpointEvent
from schemas.rejection import Reason
from sources import mapping_ops as ops
from sources.mapping_build import Builder
from sources.mapping_ops import Cells, Test
from sources.mapping_spec import EventSpec, Lookup, MappingSpec, TableSpec, Text

SHIPPED = Path(__file__).parent / "mappings"
_CLOSED: dict[str, Any] = {
    "outcome": Outcome,
    "channel": Channel,
    "stage": Stage,
    "actor": Actor,
    "contact": Contact,
    "initiator": Initiator,
}
_ATTRIBUTES = ("id", "source", "subject", "tenant", "correlationid", "causationid", "traceparent")
_REQUIRED = frozenset(("id", "source", "subject", "touchpoint", "outcome", "journey"))
_TEXTS = ("touchpoint", "outcome", "channel", "stage", "journey", "actor", "contact", "initiator", "change")
_COUNTS = ("wait_ms", "active_ms", "attempts", "transfers", "queue_depth", "servers", "audience")
_MERGED = ("segment", "aspects")
_PATH = re.compile(r"\.(\w+)|\[(\d+)\]")

Getter = Callable[[Row[str, object]], object | None]


class _Event(NamedTuple):
    """One compiled event: conditions, the fields that are constants, the fields that depend on the row."""

    tests: tuple[Test, ...]
    constant_attributes: dict[str, str]
    constant_data: dict[str, str]
    attributes: tuple[tuple[str, Getter], ...]
    data: tuple[tuple[str, Getter], ...]


class Table(NamedTuple):
    """A compiled table: what was written, the events, and every column that they read."""

    spec: TableSpec
    events: tuple[_Event, ...]
    columns: frozenset[str]


class Mapping:
    """A checked and compiled mapping. `tables` keeps the order of the file."""

    def __init__(self, name: str, spec: MappingSpec, tables: dict[str, Table]) -> None:
        self.name = name
        self.spec = spec
        self.tables = tables

    def events(self, table: str, row: Row[str, object]) -> list[TouchpointEvent]:
        """The events of one row, all of them or none, in the order of the mapping.

        Raises RejectEvent with the reason and the column if the row cannot be mapped, UsageError for an unknown table.
        """
        known = self.tables.get(table)
        if known is None:
            raise UsageError(f"mapping `{self.name}` has no table `{table}`; it has {', '.join(self.tables)}")
        return [_make(event, row) for event in known.events if _holds(event.tests, row)]


def _holds(tests: tuple[Test, ...], row: Row[str, object]) -> bool:
    for test in tests:  # noqa: SIM110, a generator costs more than the tests
        if not test(row):
            return False
    return True


def _make(event: _Event, row: Row[str, object]) -> TouchpointEvent:
    whole: dict[str, Any] = {**event.constant_attributes}
    for name, get in event.attributes:
        if (value := get(row)) is not None:
            whole[name] = value
    data: dict[str, Any] = {**event.constant_data}
    whole["data"] = data
    for name, get in event.data:
        if (value := get(row)) is not None:
            data[name] = value
    try:
        return msgspec.convert(whole, TouchpointEvent)
    except msgspec.ValidationError as error:
        raise RejectEvent(_reason(str(error)), str(error)) from None


def load_mapping(name: str | Path) -> Mapping:
    """The mapping of a file, or a shipped one by its name. Raises UsageError with file, line and what is wrong."""
    path = Path(name)
    if not path.exists() and path.suffix == "" and path.name == str(name):
        shipped = SHIPPED / f"{name}.yaml"
        if not shipped.exists():
            names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
            raise UsageError(f"there is no mapping `{name}`: give a YAML file, or one of {names}")
        path = shipped
    root, problems = read_document(path)
    if root is None or problems:
        raise UsageError("the mapping cannot be used:\n" + "\n".join(f"  {problem}" for problem in problems))
    return _Compiler(str(path)).compile(root)


class _Compiler:
    """Turns the document into a Mapping; every error names file, line and column."""

    def __init__(self, file: str) -> None:
        self._file = file

    def compile(self, root: Node) -> Mapping:
        tables = root.value.get("tables") if isinstance(root.value, dict) else None
        if tables is not None and isinstance(tables.value, dict):
            for node in tables.value.values():
                self._convert(node, TableSpec)
        spec = self._convert(root, MappingSpec)
        compiled = {
            name: self._table(name, table, root.value["tables"].value[name], spec)
            for name, table in spec.tables.items()
        }
        if not any(table.events for table in compiled.values()):
            raise self._error(root, "no table yields an event; add `events` to one")
        return Mapping(spec.mapping, spec, compiled)

    def _table(self, name: str, table: TableSpec, node: Node, spec: MappingSpec) -> Table:
        given: dict[str, frozenset[str]] = {}
        for i, join in enumerate(table.joins):
            place = node.value["joins"].value[i]
            if join.table not in spec.tables:
                raise self._error(place, f"there is no table `{join.table}`; there are {', '.join(spec.tables)}")
            if (alias := join.as_ or join.table) in given or alias == "previous":
                raise self._error(place, f"`{alias}` is taken; give this join another name with `as`")
            given[alias] = frozenset(join.columns)
        if table.previous is not None:
            given["previous"] = frozenset(table.previous.columns)
        cells = Cells(spec.absent)
        events = tuple(self._event(_with_common(node, i), spec, cells) for i in range(len(table.events)))
        for column in sorted(cells.used):
            alias, dot, rest = column.partition(".")
            if dot and alias in given and rest not in given[alias]:
                raise self._error(node, f"`{column}` is used, but `{alias}` only gives {', '.join(given[alias])}")
        return Table(table, events, frozenset(cells.used))

    def _event(self, node: Node, mapping: MappingSpec, cells: Cells) -> _Event:
        spec = self._convert(node, EventSpec)
        build = Builder(mapping, cells)

        def getter(name: str, make: Callable[[Any], Getter]) -> list[tuple[str, Getter]]:
            given = getattr(spec, name)
            if given is None or given == {}:
                return []
            try:
                self._check_constants(name, given)
                return [(name, make(given))]
            except ValueError as error:
                raise self._error(node.value[name], f"{name}: {error}") from None

        def texts(names: tuple[str, ...]) -> list[tuple[str, Getter]]:
            return [pair for name in names for pair in getter(name, partial(build.text, required=name in _REQUIRED))]

        def constants(names: tuple[str, ...]) -> dict[str, str]:
            texts = ((name, ops.constant(getattr(spec, name))) for name in names)
            return {name: text for name, text in texts if text is not None}

        # Texts first: they name the place of a broken template.
        attributes, data = texts(_ATTRIBUTES), texts(_TEXTS)
        always = {"specversion": SPEC_VERSION, "type": TYPE, "tenant": mapping.tenant, **constants(_ATTRIBUTES)}
        always_data = constants(_TEXTS)
        attributes = [pair for pair in attributes if pair[0] == "tenant" or pair[0] not in always]
        attributes += getter("time", build.required_time) + getter("recordedtime", build.time)
        data = [pair for pair in data if pair[0] not in always_data]
        for name in _COUNTS:
            data += getter(name, build.count)
        data += getter("sentiment", build.number) + getter("expectation", build.expectation)
        data += getter("rating", build.rating) + getter("value", build.value)
        data += getter("segment", build.texts) + getter("aspects", build.numbers)
        tests = tuple(build.condition(condition) for condition in spec.when)
        return _Event(tests, always, always_data, tuple(attributes), tuple(data))

    def _check_constants(self, name: str, given: Text) -> None:
        """A constant of a closed set is checked now, not once per row."""
        if (kind := _CLOSED.get(name)) is None:
            return
        values = [*given.map.values(), given.default] if isinstance(given, Lookup) else [given]
        allowed: tuple[str, ...] = get_args(kind)
        for value in values:
            if value is not None and "{" not in value and value not in allowed:
                raise ValueError(f"`{value}` is none of {', '.join(allowed)}")

    def _convert(self, node: Node, kind: type[Any]) -> Any:
        try:
            return msgspec.convert(node.plain(), kind)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$")
            raise self._error(
                _at(node, path), f"{what}{f' (in `{path[:-1].lstrip(chr(46))}`)' if path else ''}"
            ) from None

    def _error(self, node: Node, what: str) -> UsageError:
        return UsageError(f"the mapping cannot be used: {self._file}:{node.line}:{node.column}: {what}")


def _with_common(table: Node, index: int) -> Node:
    """The event's node with the table's `common` fields under its own; segments and aspects are merged."""
    event = table.value["events"].value[index]
    common = table.value.get("common")
    if common is None:
        return Node(event.value, event.line, event.column)
    merged = {**common.value, **event.value}
    for name in _MERGED:
        mine, shared = event.value.get(name), common.value.get(name)
        if mine is not None and shared is not None and isinstance(mine.value, dict) and isinstance(shared.value, dict):
            merged[name] = Node({**shared.value, **mine.value}, mine.line, mine.column)
    return Node(merged, event.line, event.column)


def _at(node: Node, path: str) -> Node:
    """The node that msgspec's error path names, or the nearest one above it that can be found."""
    for key, index in _PATH.findall(path):
        try:
            node = node.value[key] if key else node.value[int(index)]
        except (KeyError, IndexError, TypeError):
            break
    return node


def _reason(message: str) -> Reason:
    if message.startswith(("Invalid enum value", "Expected `str` matching")):
        return Reason.UNKNOWN_VALUE
    if message.startswith(("out of range", "Expected `int` ", "Expected `float` ", "Expected `str` of length")):
        return Reason.OUT_OF_RANGE
    return Reason.MISSING if "missing required" in message else Reason.WRONG_TYPE

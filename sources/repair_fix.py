"""The fix of `corredor repair`: a mapping (YAML), or a Python file with `fix(event, rejection)`. See docs/repair.md."""

import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.errors import RejectEvent, UsageError
from schemas.event import TouchpointEvent
from schemas.rejection import Reason, RejectedEvent
from sources.mapping import Mapping, Table, load_mapping
from sources.publish import encode
from sources.repair import Fix

#: Every mapping gives these, named or not.
_ALWAYS = frozenset(("specversion", "type"))
_ATTRIBUTES = frozenset(field.name for field in msgspec.structs.fields(TouchpointEvent)) - {"data"}
#: Of these a mapping names single entries; the others stay.
_BY_ENTRY = ("segment", "aspects")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Named(NamedTuple):
    """A fix, and the name that the mark of a repaired event gets."""

    name: str
    fix: Fix


def load_fix(path: Path) -> Named:
    """The fix in a file, by its suffix. Raises UsageError with what is wrong and where."""
    if path.suffix in (".yaml", ".yml"):
        if not path.exists():
            raise UsageError(f"--fix {path}: there is no such file")
        return from_mapping(load_mapping(path))
    if path.suffix == ".py":
        return from_script(path)
    raise UsageError(f"--fix {path}: give a mapping (.yaml) or a Python file with `fix(event, rejection)` (.py)")


def from_mapping(mapping: Mapping) -> Named:
    """The only table of a mapping as a fix. What the table names is as it says; everything else stays as it was."""
    having = [name for name, table in mapping.tables.items() if table.events]
    if len(having) != 1:
        raise UsageError(
            f"mapping `{mapping.name}` has the tables {', '.join(having)}; a fix has one, for rejected events"
        )
    table = having[0]
    named = _named(mapping, mapping.tables[table])

    def fix(event: dict[str, Any], rejection: RejectedEvent) -> dict[str, Any] | None:
        try:
            made = [_decode(encode(each)) for each in mapping.events(table, {**event, "rejection": _row(rejection)})]
        except UnicodeEncodeError as error:
            raise RejectEvent(Reason.INVALID_UTF8, str(error)) from None
        except (ValueError, OverflowError, RecursionError) as error:
            raise RejectEvent(Reason.OUT_OF_RANGE, str(error)) from None
        if not made:
            return None
        if len(made) > 1:
            raise RejectEvent(
                Reason.UNKNOWN_VALUE, f"the mapping makes {len(made)} events of it; one rejection is one event"
            )
        return _merged(event, made[0], named)

    return Named(mapping.name, fix)


def from_script(path: Path) -> Named:
    """The function `fix` of a Python file. The file runs with all the rights of the command: it is the user's own."""
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--fix {path} cannot be read: {error}") from None
    space: dict[str, Any] = {"__name__": "fix", "__file__": str(path)}
    try:
        exec(compile(source, str(path), "exec"), space)
    except Exception as error:  # noqa: BLE001, a script may raise anything, and its author wants to read what
        raise UsageError(f"--fix {path} cannot be used: {_said(error, path)}") from None
    written = space.get("fix")
    if not callable(written):
        raise UsageError(f"--fix {path}: it has no function `fix(event, rejection)`")

    def fix(event: dict[str, Any], rejection: RejectedEvent) -> dict[str, Any] | None:
        try:
            fixed: dict[str, Any] | None = written(event, rejection)
        except RejectEvent:
            raise
        except Exception as error:  # noqa: BLE001, as above; the other rejections go on
            raise RejectEvent(Reason.UNKNOWN_VALUE, f"the fix failed: {_said(error, path)}") from None
        return fixed

    return Named(path.name, fix)


def _row(rejection: RejectedEvent) -> dict[str, Any]:
    """The rejection as the columns `rejection.*` of a mapping: bytes as text, `received_at` as ISO 8601."""
    return {
        "reason": rejection.reason.value,
        "detail": rejection.detail,
        "partition": rejection.partition,
        "offset": rejection.offset,
        "received_at": datetime.fromtimestamp(rejection.received_at, UTC).isoformat(),
        "key": _text(rejection.key),
        "raw": _text(rejection.raw),
        "headers": {name.lower(): _text(value) for name, value in rejection.headers.items()},
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _named(mapping: Mapping, table: Table) -> frozenset[str]:
    """The fields that the table names anywhere; `segment.city` for an entry."""
    named: set[str] = set(_ALWAYS)
    if mapping.spec.tenant != "default":
        named.add("tenant")
    for fields in (table.spec.common, *table.spec.events):
        named |= fields.keys() - {"when", *_BY_ENTRY}
        named |= {f"{name}.{entry}" for name in _BY_ENTRY for entry in fields.get(name) or ()}
    return frozenset(named)


def _merged(before: dict[str, Any], made: dict[str, Any], named: frozenset[str]) -> dict[str, Any]:
    """The event before the fix with the fields that the mapping names as it makes them, also where it makes none."""
    old, new = before.get("data"), made["data"]
    data = {name: value for name, value in old.items() if name not in named} if isinstance(old, dict) else {}
    data |= {name: value for name, value in new.items() if name in named}
    for name in _BY_ENTRY:
        entries = data.get(name, {})
        if isinstance(entries, dict):
            entries = {entry: value for entry, value in entries.items() if f"{name}.{entry}" not in named}
            entries |= {entry: value for entry, value in new.get(name, {}).items() if f"{name}.{entry}" in named}
            if entries or name in data:
                data[name] = entries
    after = {name: value for name, value in before.items() if name not in named and name != "data"}
    after |= {name: value for name, value in made.items() if name in named and name in _ATTRIBUTES}
    return {**after, "data": data}


def _said(error: Exception, path: Path) -> str:
    """The error's own words with the line of the script where it was raised."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    where = f" ({path.name}, line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {error}{where}"

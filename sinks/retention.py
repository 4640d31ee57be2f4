"""How long tables keep their rows: `TTL` as the setting `retention` has it.

ClickHouse drops rows that are too old when it merges parts, within hours (`merge_with_ttl_timeout`, four hours unless
the server says otherwise). A table that the setting does not name keeps the TTL it has.
"""

import re
from collections.abc import Mapping
from math import inf
from typing import NamedTuple

from schemas.duration import Duration
from schemas.retention import TABLES
from sinks.clickhouse import DATABASE, ClickHouse

_TTL = re.compile(r" TTL (.+?)(?: SETTINGS .*)?$")
_INTERVAL = re.compile(r"(?:toDateTime\((\w+)\)|(\w+)) \+ toInterval(Second|Minute|Hour|Day|Week)\((\d+)\)")
_UNIT_S = {"Second": 1, "Minute": 60, "Hour": 3600, "Day": 86_400, "Week": 604_800}


class Change(NamedTuple):
    """A table whose rows are to be kept for another time: what to run, and both times in words."""

    table: str
    before: str
    after: str
    sql: str


def changes(store: ClickHouse, kept: Mapping[str, float]) -> list[Change]:
    """What differs from `kept`, seconds by name (`schemas.retention.parse`); names of topics are passed over."""
    engines: dict[str, str] = dict(
        store.rows(f"SELECT name, engine_full FROM system.tables WHERE database = '{DATABASE}'")
    )
    found = []
    for table, column in TABLES.items():
        wanted = kept.get(table)
        if wanted is None or table not in engines:
            continue
        match = _TTL.search(engines[table])
        if wanted == inf:
            if match is not None:
                found.append(
                    Change(table, _words(match, column), "forever", f"ALTER TABLE {DATABASE}.{table} REMOVE TTL")
                )
        elif match is None or _seconds(match[1], column) != round(wanted):
            sql = f"ALTER TABLE {DATABASE}.{table} MODIFY TTL toDateTime({column}) + toIntervalSecond({round(wanted)})"
            found.append(Change(table, _words(match, column), str(Duration(wanted)), sql))
    return found


def keep(store: ClickHouse, kept: Mapping[str, float]) -> list[Change]:
    """Change what differs, and return it; running it again does nothing. Rows go in the background."""
    found = changes(store, kept)
    for change in found:
        store.command(change.sql)
    return found


def _seconds(ttl: str, column: str) -> float | None:
    """The time of a TTL of ours, seconds; None for one that somebody else wrote."""
    match = _INTERVAL.fullmatch(ttl)
    if match is None or column not in (match[1], match[2]):
        return None
    return float(_UNIT_S[match[3]] * int(match[4]))


def _words(match: re.Match[str] | None, column: str) -> str:
    if match is None:
        return "forever"
    seconds = _seconds(match[1], column)
    return match[1] if seconds is None else str(Duration(seconds))

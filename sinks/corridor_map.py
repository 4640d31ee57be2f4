"""The corridor map inside ClickHouse: a table for joins, a dictionary for look-ups, both as the settings' map says.

`corredor.corridor_map` holds one row a touchpoint, the view `corredor.touchpoints` shows those that the map has now,
and the dictionary `corredor.touchpoint` answers `dictGet('corredor.touchpoint', 'label_en', touchpoint)`.
"""

import logging
import time
from typing import Any

import msgspec

from schemas.corridor import CorridorMap, Touchpoint
from schemas.errors import StopProcess
from sinks.clickhouse import ClickHouse

log = logging.getLogger(__name__)
TABLE = "corridor_map"
DICTIONARY = "corredor.touchpoint"
_ATTRIBUTES = """
    touchpoint String, position UInt16, label_en String, label_es String, channel String, stage String, contact String,
    goal UInt8, importance Float64, target_score Float64, minimum_n UInt32, tolerable_wait_s Float64, patience_s Float64
"""
# The source is in this server, so there is no network and no password in it. Zero: it is read again when it is told to.
_CREATE = f"""
CREATE DICTIONARY IF NOT EXISTS {DICTIONARY} ({_ATTRIBUTES})
PRIMARY KEY touchpoint
SOURCE(CLICKHOUSE(DB 'corredor' TABLE 'touchpoints'))
LAYOUT(COMPLEX_KEY_HASHED())
LIFETIME(0)
COMMENT 'For look-ups: dictGet(''{DICTIONARY}'', ''label_en'', touchpoint). Columns: see corredor.touchpoints'
"""
_IS_THERE = "SELECT 1 FROM system.dictionaries WHERE database = 'corredor' AND name = 'touchpoint'"


def rows_of(corridor: CorridorMap) -> list[dict[str, Any]]:
    """The rows of `corredor.corridor_map`, in the map's order; what a touchpoint does not say is the map's default."""
    return [_row(corridor, place, position) for position, place in enumerate(corridor.touchpoints, start=1)]


def write_map(store: ClickHouse, corridor: CorridorMap) -> bool:
    """Bring the table and the dictionary to what `corridor` says; whether anything was different.

    Touchpoints that the map no longer has are marked as removed. Two at once with the same map do no harm; with two
    maps the later one wins. Raises as `ClickHouse` does.
    """
    wanted = rows_of(corridor)
    there = _there(store)
    names = {row["touchpoint"] for row in wanted}
    gone = [row | {"removed": True} for row in there if row["touchpoint"] not in names and not row["removed"]]
    known = {row["touchpoint"]: row for row in there}
    changed = [row for row in wanted if known.get(row["touchpoint"]) != row] + gone
    if changed:
        version = time.time_ns() // 1_000_000
        store.insert(TABLE, b"\n".join(msgspec.json.encode(row | {"version": version}) for row in changed))
    if changed or not store.rows(_IS_THERE):
        _write_dictionary(store)
    return bool(changed)


def _write_dictionary(store: ClickHouse) -> None:
    """Make the dictionary, or have it read anew; a server that does not let us gets along without it."""
    try:
        # One that is there may be an administrator's, with a user of its own.
        store.command(_CREATE)
        store.command(f"SYSTEM RELOAD DICTIONARY {DICTIONARY}")
    except StopProcess as error:
        log.warning("no dictionary %s, join corredor.touchpoints instead (docs/bi.md): %s", DICTIONARY, error)


def _there(store: ClickHouse) -> list[dict[str, Any]]:
    columns, rows = store.table(f"SELECT * EXCEPT (version) FROM corredor.{TABLE} FINAL")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _row(corridor: CorridorMap, place: Touchpoint, position: int) -> dict[str, Any]:
    defaults = corridor.defaults
    about = place.description
    objectives = [one for one in corridor.objectives if one.scope == "touchpoint" and one.of == place.name]
    strictest = max(objectives, key=lambda one: one.target, default=None)
    return {
        "touchpoint": place.name,
        "position": position,
        "corridor": corridor.corridor,
        "label_en": place.label.en,
        "label_es": place.label.es,
        "description_en": about.en if about is not None else "",
        "description_es": about.es if about is not None else "",
        "channel": place.channel,
        "stage": place.stage,
        "contact": place.contact,
        "goal": place.goal,
        "importance": float(place.importance),
        "target_score": float(defaults.target_score if place.target_score is None else place.target_score),
        "minimum_n": defaults.minimum_n,
        "tolerable_wait_s": float(place.tolerable_wait or defaults.tolerable_wait),
        "patience_s": float(place.patience or defaults.patience),
        "objective_target": strictest.share if strictest is not None else None,
        "objective_days": strictest.over / 86400 if strictest is not None else None,
        "follows": [way.origin for way in corridor.transitions if way.to == place.name],
        "leads_to": [way.to for way in corridor.transitions if way.origin == place.name],
        "removed": False,
    }

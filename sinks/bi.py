"""What BI needs beside tables and views, brought up to date by `corredor migrate` and by every sink that starts."""

from schemas.corridor import CorridorMap
from sinks.bi_access import open_to_readers
from sinks.clickhouse import ClickHouse
from sinks.corridor_map import write_map


def prepare(store: ClickHouse, corridor: CorridorMap) -> list[str]:
    """Write the corridor map, its dictionary, the role and the row policies; what there is to tell, a sentence each.

    Call it after the migrations. Raises as `ClickHouse` does.
    """
    told = []
    if write_map(store, corridor):
        told.append(f"wrote the corridor map `{corridor.corridor}` to corredor.touchpoints")
    if (missing := open_to_readers(store)) is not None:
        told.append(missing)
    return told

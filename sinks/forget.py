"""To forget a customer in ClickHouse: which rows hold a subject, and the statements that erase them.

The subject itself stands in none of them: ClickHouse keeps its statements, in `system.mutations` and its query log.
"""

import json

import msgspec

from schemas.forget import ForgetRequest, digest
from schemas.sql import literal

#: A digest as `schemas.forget` makes it, of an SQL value.
_DIGEST = "lower(hex(SHA256(concat(unhex({salt}), {value}))))"
_STRINGS = r"""extractAll(assumeNotNull({value}), '"((?:[^"\\\\]|\\\\.)*)"')"""
#: Table to the values that may be the subject. A broken event may hold it anywhere: as key, in the headers, or as one
#: of the JSON strings in its value.
_VALUES = {
    "touchpoint_events": "[subject]",
    "journeys": "[subject]",
    "rejected_events": "arrayConcat([assumeNotNull(key)], arrayMap(value -> assumeNotNull(value), mapValues(headers)), "
    + _STRINGS.format(value="raw")
    + ")",
}
TABLES = tuple(_VALUES)


def condition(table: str, request: ForgetRequest) -> str:
    """The condition that a row of the table holds the subject in clear."""
    subject = request.subject
    # As it stands inside JSON, in UTF-8 and in ASCII.
    written = {subject, msgspec.json.encode(subject).decode()[1:-1], json.dumps(subject)[1:-1]}
    digests = ", ".join(literal(digest(request.salt, text)) for text in sorted(written))
    found = _DIGEST.format(salt=literal(request.salt), value="value")
    return f"arrayExists(value -> {found} IN ({digests}), {_VALUES[table]})"


def count(request: ForgetRequest) -> str:
    """A query: how many rows of each table hold the subject, as table and number."""
    parts = [
        f"SELECT {literal(table)} AS name, count() AS rows FROM corredor.{table} WHERE {condition(table, request)}"
        for table in TABLES
    ]
    return " UNION ALL ".join(parts)


def unfinished() -> str:
    """A query: how many statements that erase are still being worked off."""
    tables = ", ".join(literal(table) for table in TABLES)
    return (
        "SELECT count() FROM system.mutations "
        f"WHERE database = 'corredor' AND table IN ({tables}) AND NOT is_done AND position(command, 'SHA256') > 0"
    )


def statements(request: ForgetRequest) -> list[str]:
    """What erases the rows. ClickHouse rewrites the parts that hold them in the background."""
    return [f"ALTER TABLE corredor.{table} DELETE WHERE {condition(table, request)}" for table in TABLES]

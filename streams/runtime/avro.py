"""Avro payloads as JSON events. fastavro is imported when the first Avro schema is met."""

import struct
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import msgspec

from schemas.errors import UsageError

#: What fastavro raises for bytes that are not of the schema (seen with random ones).
_FAULTS = (ValueError, TypeError, LookupError, OverflowError, EOFError, MemoryError, RecursionError, struct.error)
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Unfit(Exception):
    """A schema or a payload that cannot be read; the message says why."""


def avro_reader(schema: str, referenced: Sequence[str]) -> Callable[[bytes], bytes]:
    """From payloads of this schema to JSON. `referenced` are the schemas that it needs, each after those it needs.

    Fields that are null are left out, for an event says "absent" so; logical times become RFC 3339. Raises Unfit if
    the schema cannot be used, UsageError without fastavro; the reader raises Unfit for payloads of another schema.
    """
    try:
        import fastavro
    except ImportError:
        raise UsageError("the schema registry gives an Avro schema; install what reads it: corredor[avro]") from None
    named: dict[str, Any] = {}
    try:
        for text in referenced:
            fastavro.parse_schema(msgspec.json.decode(text), named_schemas=named)
        parsed = fastavro.parse_schema(msgspec.json.decode(schema), named_schemas=named)
    except (msgspec.DecodeError, fastavro.schema.SchemaParseException, fastavro.schema.UnknownType, *_FAULTS) as error:
        raise Unfit(f"the schema cannot be used: {error!r}") from None

    def read(payload: bytes) -> bytes:
        stream = BytesIO(payload)
        try:
            found = fastavro.schemaless_reader(stream, parsed, None)
            left = len(payload) - stream.tell()
            if left:
                raise ValueError(f"{left} bytes are left over")
            return _encode(_without_nulls(found))
        except _FAULTS as error:
            raise Unfit(f"the payload is not of it: {error!r}") from None

    return read


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value

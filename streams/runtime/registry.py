"""A schema registry: values in Confluent's wire format become plain JSON events before the model sees them.

Wire format: a zero byte, the schema's id (4 bytes, big endian), the payload. JSON never begins with a zero byte, so
plain values are told apart and pass. What the registry says of an id is kept; a registry that is away is waited for.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import NamedTuple
from urllib.parse import quote

import httpx
import msgspec

from schemas.rejection import Reason
from streams.model.decode import Record, UnreadableValue
from streams.runtime.avro import Unfit, avro_reader
from streams.runtime.security import authorities
from streams.runtime.settings import Settings
from streams.runtime.waiting import WAITS

_HEADER = 5
#: Schema ids are positive 32-bit integers; what is beyond them no registry is asked for.
_MAX_ID = 2**31 - 1
#: That an id is unknown is believed for this long, and of so many ids. Seconds.
_UNKNOWN_S = 60.0
_MOST_UNKNOWN = 10_000
_TIMEOUT_S = 10.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 10.0
#: The registry's own word for "no schema, subject or version by that name"; any other 404 comes from somebody else.
_NOT_FOUND = (40401, 40402, 40403)

Reader = Callable[[bytes], bytes]


class Unwrapped(NamedTuple):
    """A record whose value is plain; everything else is as it came."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Iterable[tuple[str, bytes | None]]


class _Reference(msgspec.Struct):
    subject: str
    version: int


class _Schema(msgspec.Struct, rename="camel"):
    schema: str
    #: The registry leaves it out for Avro.
    schema_type: str = "AVRO"
    references: list[_Reference] = []


class _Problem(msgspec.Struct):
    error_code: int = 0


_schema = msgspec.json.Decoder(_Schema).decode
_problem = msgspec.json.Decoder(_Problem).decode


class _Away(Exception):
    """The registry does not answer as one; the message says how."""


class SchemaRegistry:
    """Unwraps records by the schemas of one registry. For one event loop."""

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`transport` is for tests."""
        url = httpx.URL(settings.schema_registry.get_secret_value())
        #: Without user and password: it is shown.
        self.url = str(url.copy_with(userinfo=b"")).rstrip("/")
        self._client = httpx.AsyncClient(
            auth=(url.username, url.password) if url.userinfo else None,
            verify=authorities(settings, "schema_registry_ca"),
            transport=transport,
            timeout=_TIMEOUT_S,
            headers={"Accept": "application/vnd.schemaregistry.v1+json, application/json"},
        )
        self._readers: dict[int, Reader] = {}
        #: Ids that nobody can read: until when that is believed, and why.
        self._unfit: dict[int, tuple[float, Unfit]] = {}

    async def unwrap(self, records: list[Record]) -> list[Record]:
        """The records, each value of the wire format as plain JSON, or unreadable with the reason.

        Waits as long as the registry is away and is needed.
        """
        wanted = {number for record in records if (number := _schema_id(record.value)) is not None}
        if not wanted:
            return records
        known = {number: await self._known(number) for number in sorted(wanted)}
        return [self._plain(record, known) for record in records]

    def _plain(self, record: Record, known: Mapping[int, Reader | Unfit]) -> Record:
        value = record.value
        number = _schema_id(value)
        if value is None or number is None:
            return record
        try:
            reader = known[number]
            if isinstance(reader, Unfit):
                raise reader
            plain = reader(value[_HEADER:])
        except Unfit as error:
            plain = UnreadableValue(value)
            plain.reason = Reason.UNKNOWN_SCHEMA
            plain.detail = f"schema {number} of {self.url}: {error}"
        return Unwrapped(record.offset, record.timestamp, record.key, plain, record.headers)

    async def _known(self, number: int) -> Reader | Unfit:
        """How to read what has this id, or why nobody can. Waits as long as it takes to know."""
        if (reader := self._readers.get(number)) is not None:
            return reader
        until, reason = self._unfit.get(number, (0.0, Unfit()))
        if time.monotonic() < until:
            return reason
        try:
            self._readers[number] = await self._found(number)
            return self._readers[number]
        except Unfit as unfit:
            if len(self._unfit) >= _MOST_UNKNOWN:
                self._unfit.clear()
            self._unfit[number] = (time.monotonic() + _UNKNOWN_S, unfit)
            return unfit

    async def _found(self, number: int) -> Reader:
        """How to read what has this id, however long the registry is away. Raises Unfit if it cannot be read."""
        wait = _FIRST_WAIT_S
        with ExitStack() as waiting:
            while True:
                try:
                    return await self._reader(number)
                except _Away as away:
                    if wait == _FIRST_WAIT_S:
                        waiting.enter_context(WAITS.on("registry", f"{self.url} {away}"))
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, _LONGEST_WAIT_S)

    async def _reader(self, number: int) -> Reader:
        if not 0 < number <= _MAX_ID:
            raise Unfit("no registry has such an id")
        found = await self._get(f"/schemas/ids/{number}")
        if found.schema_type == "JSON":
            return _as_it_is
        if found.schema_type == "AVRO":
            return avro_reader(found.schema, await self._referenced(found))
        raise Unfit(f"it is of type {found.schema_type}; JSON and AVRO can be read")

    async def _referenced(self, schema: _Schema) -> list[str]:
        """The schemas that one refers to, directly or not, each after those that it needs itself."""
        ordered: dict[tuple[str, int], str] = {}

        async def collect(one: _Schema) -> None:
            for reference in one.references:
                place = reference.subject, reference.version
                if place not in ordered:
                    subject = quote(reference.subject, safe="")
                    other = await self._get(f"/subjects/{subject}/versions/{reference.version}")
                    await collect(other)
                    ordered[place] = other.schema

        await collect(schema)
        return list(ordered.values())

    async def _get(self, path: str) -> _Schema:
        """What the registry says. Raises Unfit if it knows nothing of the kind, _Away if it is no help right now."""
        try:
            response = await self._client.get(self.url + path)
        except httpx.TransportError as error:
            raise _Away(f"does not answer: {type(error).__name__} {error}") from None
        status = response.status_code
        try:
            if status == 200:
                return _schema(response.content)
            if status == 404 and _problem(response.content).error_code in _NOT_FOUND:
                raise Unfit("the registry does not know it")
        except msgspec.DecodeError:
            raise _Away(f"answers {path} with status {status}, and not as a schema registry does") from None
        if status in (401, 403):
            raise _Away(f"refuses us with status {status}; check user and password of CORREDOR_SCHEMA_REGISTRY")
        raise _Away(f"answers {path} with status {status}")


def _schema_id(value: bytes | None) -> int | None:
    """The id in a value of the wire format; None for any other."""
    if value is None or len(value) <= _HEADER or value[0] or type(value) is UnreadableValue:
        return None
    return int.from_bytes(value[1:_HEADER], "big")


def _as_it_is(payload: bytes) -> bytes:
    return payload


__all__ = ["SchemaRegistry", "Unwrapped"]

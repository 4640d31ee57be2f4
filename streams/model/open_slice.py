"""A slice while events are added to it."""

from operator import attrgetter
from typing import TYPE_CHECKING

from schemas.slice import Cell, Slice, Sums, key_of

if TYPE_CHECKING:
    _Fields = Sums
else:
    _Fields = object

_FIELDS = Sums.__struct_fields__
_ZEROS = tuple(zip(_FIELDS[:-1], Sums.__struct_defaults__[:-1], strict=True))
_sums = attrgetter(*_FIELDS)


class OpenSlice(_Fields):
    """The sums of a slice with its identity. Adding to plain slots takes half the time of adding to a struct's fields.

    For type checkers it has the fields of `Sums`; at runtime these are slots of its own.
    """

    __slots__ = (*_FIELDS, "bucket", "cell", "origin", "part", "version")

    def __init__(self, cell: Cell, bucket: int, origin: str, part: int) -> None:
        for name, zero in _ZEROS:
            setattr(self, name, zero)
        self.waits = {}
        #: What the slice is about, its segment pair included.
        self.cell = cell
        self.bucket = bucket
        self.origin = origin
        self.part = part
        self.version = part

    @classmethod
    def of(cls, stored: Slice) -> "OpenSlice":
        """The slice that a message holds."""
        found = cls(stored.cell, stored.bucket, stored.origin, stored.part)
        for name in _FIELDS:
            setattr(found, name, getattr(stored, name))
        found.version = stored.version
        return found

    @property
    def key(self) -> bytes:
        """The key of the slice's message."""
        return key_of(self.cell, self.bucket, self.origin, self.part)

    def message(self) -> Slice:
        """The slice as it is published and stored."""
        tenant, touchpoint, channel, stage, actor, contact, segment, segment_value = self.cell
        return Slice(
            *_sums(self),
            tenant=tenant,
            touchpoint=touchpoint,
            channel=channel,
            stage=stage,
            actor=actor,
            contact=contact,
            segment=segment,
            segment_value=segment_value,
            bucket=self.bucket,
            origin=self.origin,
            part=self.part,
            version=self.version,
        )

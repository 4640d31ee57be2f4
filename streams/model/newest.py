"""The newest slice of each identity, by bucket; buckets that hardly change any more lie compressed.

A day's window needs the slices of a day, since a late event replaces one of them and the difference is what counts. As
objects a slice takes 300 bytes, in a compressed bucket 30.
"""

import zlib
from heapq import heappop, heappush

import msgspec

#: Cell, origin and part.
Identity = tuple[int, int, int]
#: The packed slice (`columns.pack`) of each identity.
Bucket = dict[Identity, bytes]
#: More would take twice the time for a seventh less.
_LEVEL = 1
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, int, int, bytes]]).decode


class Newest:
    """Packed slices by bucket (its beginning, epoch seconds)."""

    __slots__ = ("_order", "_stowed", "open")

    def __init__(self) -> None:
        #: The buckets that are not compressed.
        self.open: dict[int, Bucket] = {}
        self._stowed: dict[int, bytes] = {}
        # All buckets, as a heap.
        self._order: list[int] = []

    def of(self, bucket: int) -> Bucket:
        """The bucket, open from now on; a new one is empty."""
        found = self.open.get(bucket)
        if found is None:
            stowed = self._stowed.pop(bucket, None)
            if stowed is None:
                heappush(self._order, bucket)
                found = {}
            else:
                found = {
                    (cell, origin, part): packed for cell, origin, part, packed in _decode(zlib.decompress(stowed))
                }
            self.open[bucket] = found
        return found

    def stow(self, before: float) -> None:
        """Compress the open buckets that begin before that."""
        for bucket in [bucket for bucket in self.open if bucket < before]:
            slices = [(*identity, packed) for identity, packed in self.open.pop(bucket).items()]
            self._stowed[bucket] = zlib.compress(_encode(slices), _LEVEL)

    def drop(self, before: float) -> None:
        """Forget the buckets that begin before that."""
        while self._order and self._order[0] < before:
            bucket = heappop(self._order)
            if self.open.pop(bucket, None) is None:
                del self._stowed[bucket]

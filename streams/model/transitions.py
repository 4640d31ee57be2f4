"""The transition slices of one lane: counts and waits of who went where; what is taken back leaves no trace."""

from math import log
from typing import Final

from schemas.slice import BUCKET_S
from schemas.transition import TransitionSlice, TransitionSums
from streams.model.buckets import Buckets
from streams.model.exact import SHIFT
from streams.model.slices import wait_key

#: Tenant, from, to, and the segment pairs of one kind of transition.
Kind = tuple[str, str, str, tuple[tuple[str, str], ...]]
#: Tenant, from, to, segment, segment value.
Slot = tuple[str, str, str, str, str]
_ALL: Final = ("", "")
_NEW = -1


class OpenTransition:
    """The sums of a transition slice while transitions are added to it: plain slots, twice as fast as a struct."""

    __slots__ = (*TransitionSums.__struct_fields__, "bucket", "part", "slot", "version")

    n: int
    resumed: int
    wait_n: int
    wait_ms_sum: int
    wait_log_sum: float
    wait_log_sum2: float
    waits: dict[int, int]

    def __init__(self, slot: Slot, bucket: int) -> None:
        self.n = self.resumed = self.wait_n = self.wait_ms_sum = 0
        self.wait_log_sum = self.wait_log_sum2 = 0.0
        self.waits = {}
        self.slot = slot
        self.bucket = bucket
        #: The version it was first published with; `_NEW` before.
        self.part = _NEW
        self.version = _NEW

    def message(self, origin: str) -> TransitionSlice:
        """The slice as it is published and stored."""
        tenant, touchpoint, following, segment, segment_value = self.slot
        return TransitionSlice(
            self.n,
            self.resumed,
            self.wait_n,
            self.wait_ms_sum,
            self.wait_log_sum,
            self.wait_log_sum2,
            self.waits,
            tenant=tenant,
            touchpoint=touchpoint,
            following=following,
            segment=segment,
            segment_value=segment_value,
            bucket=self.bucket,
            origin=origin,
            part=self.part,
            version=self.version,
        )


class _Bucket:
    """The slices of one 10-second bucket; `groups` finds those of a transition in one step."""

    __slots__ = ("groups", "slices")

    def __init__(self) -> None:
        self.groups: dict[Kind, list[OpenTransition]] = {}
        self.slices: dict[Slot, OpenTransition] = {}


class Transitions:
    """Open transition slices of one lane, `origin` being its `topic/partition`. Not thread-safe."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._buckets = Buckets(_Bucket)
        self._dirty: dict[int, list[OpenTransition]] = {}

    def count(
        self,
        tenant: str,
        origin: str,
        following: str,
        pairs: tuple[tuple[str, str], ...],
        at: float,
        sign: int,
        wait_ms: int | None,
        resumed: int,
    ) -> None:
        """Count (`sign` 1) or take back (-1) a transition from `origin` to `following` at `at` (epoch seconds).

        It counts in the slice over all segments and in one for each of `pairs`, names being distinct. `wait_ms` >= 0,
        None for a transition without a wait; `resumed` is 1 if the journey had ended or stalled at `origin`, else 0.
        """
        start = int(at // BUCKET_S) * BUCKET_S
        bucket = self._buckets.young.get(start) or self._buckets.at(start)
        kind = (tenant, origin, following, pairs)
        group = bucket.groups.get(kind)
        if group is None:
            group = bucket.groups[kind] = _group(bucket, kind, start)
        self._dirty[id(group)] = group
        if wait_ms is None:
            for one in group:
                one.n += sign
                one.resumed += sign * resumed
            return
        log_wait = log(wait_ms) if wait_ms > 1 else 0.0
        key = wait_key(wait_ms)
        wait_sum = sign * wait_ms
        log_sum = sign * ((log_wait + SHIFT) - SHIFT)
        log_sum2 = sign * ((log_wait * log_wait + SHIFT) - SHIFT)
        for one in group:
            one.n += sign
            one.wait_n += sign
            one.wait_ms_sum += wait_sum
            one.wait_log_sum += log_sum
            one.wait_log_sum2 += log_sum2
            if resumed:
                one.resumed += sign
            waits = one.waits
            waits[key] = left = waits.get(key, 0) + sign
            if not left:
                del waits[key]

    def snapshot(self, version: int) -> list[TransitionSlice]:
        """The slices that changed since the last snapshot. `version` (>= 0) is greater than that of all before."""
        changed = {id(one): one for group in self._dirty.values() for one in group}
        self._dirty.clear()
        for one in changed.values():
            one.version = version
            if one.part == _NEW:
                one.part = version
        return [one.message(self.origin) for one in changed.values()]

    def let_go(self) -> list[bytes]:
        """Keys of slices that left memory because nothing touched them for a while. Call it after each snapshot.

        They are safe to forget once that snapshot is durable: a later change opens a new part of the slice.
        """
        return [one.message(self.origin).key for bucket in self._buckets.let_go() for one in bucket.slices.values()]

    def restore(self, stored: TransitionSlice) -> None:
        """Put back a slice that a snapshot gave, the newest version of its key."""
        slot = (stored.tenant, stored.touchpoint, stored.following, stored.segment, stored.segment_value)
        found = self._buckets.at(stored.bucket).slices[slot] = OpenTransition(slot, stored.bucket)
        for name in (*TransitionSums.__struct_fields__, "part", "version"):
            setattr(found, name, getattr(stored, name))

    def since(self, version: int) -> list[TransitionSlice]:
        """The slices in memory whose version is `version` or newer: after a crash, those perhaps not published."""
        return [
            one.message(self.origin)
            for bucket in self._buckets
            for one in bucket.slices.values()
            if one.version >= version
        ]

    def __len__(self) -> int:
        """How many slices are in memory."""
        return sum(len(bucket.slices) for bucket in self._buckets)


def _group(bucket: _Bucket, kind: Kind, start: int) -> list[OpenTransition]:
    """The slices of one kind of transition in a bucket; those that no other kind has opened yet are opened."""
    tenant, origin, following, pairs = kind
    group = []
    for name, value in (_ALL, *pairs):
        slot = (tenant, origin, following, name, value)
        found = bucket.slices.get(slot)
        if found is None:
            found = bucket.slices[slot] = OpenTransition(slot, start)
        group.append(found)
    return group

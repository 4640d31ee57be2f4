"""One partition of `experience.slices` under watch: buckets wait until they are settled, then every detector sees them.

Everything is a function of the messages in the order of the log, whatever their batches. What is stored between two
checkpoints is small: the slices that still wait, the settled buckets as they were fed, and now and then, instead of
those buckets, the detectors that they changed.
"""

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

import msgspec
from msgspec import Struct

from schemas.corridor import CorridorMap
from schemas.heard import Heard
from schemas.incident import Incident
from schemas.slice import BUCKET_S, Progress, Slice
from schemas.standing import Standing, Way
from schemas.transition import TransitionSlice
from streams.model.corridor_counts import CorridorState
from streams.model.corridor_now import CorridorNow
from streams.model.detect.settled import Settled, settle
from streams.model.detect.sources import Sources, SourcesState
from streams.model.detect.tenant import Detectors, Rules
from streams.model.lanes import Lane, Lanes

#: First bytes of the keys of the changelog: how far it has come, slices that wait, settled buckets, detectors, the
#: counts of the corridor, the sources, and what was told at the last checkpoint.
_HERE, _WAITING, _SETTLED, _DETECTOR, _CORRIDOR, _SOURCES, _TOLD = b"p", b"s", b"b", b"d", b"c", b"h", b"t"
#: The corridor is told once a minute of event time.
_MINUTE_S = 60
#: Settled buckets of a tenant that are stored as they are before its detectors are stored, at least; and then until
#: they are as large as the detectors were, so that nothing is written more than about twice.
_LEAST_SETTLED = 180
_PROGRESS = b'{"kind":"progress"'
_HEARD = b'{"kind":"heard"'
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.decode
_slice = msgspec.json.Decoder(Slice | TransitionSlice).decode
_heard = msgspec.json.Decoder(Heard).decode
_progress = msgspec.json.Decoder(Progress).decode

State = list[tuple[bytes, bytes | None]]


class _Head(Struct):
    """Of a slice only what sorts it in."""

    bucket: int
    version: int


class _Here(Struct, array_like=True):
    """How far a partition has come."""

    applied: int
    settled_until: int
    too_late: int
    lanes: dict[str, Lane]
    #: Buckets that end until then were being settled, the last one stored is `settled_until`; 0 if none were.
    due_until: float = 0.0


_head = msgspec.json.Decoder(_Head).decode


class _Tenant:
    """What is known of a tenant, and which settled buckets are stored because that is not."""

    def __init__(self, name: str, corridor: CorridorMap, rules: Rules) -> None:
        self.detectors = Detectors(name, rules)
        self.corridor = CorridorNow(name, corridor)
        self.sources = Sources(name, rules.tuning)
        #: Up to where the corridor was told, and the end of the last bucket fed (epoch seconds).
        self.told_until = self.fed_until = 0
        self.starts: list[int] = []
        self.size = 0
        #: Bytes of all that when it was last stored.
        self.stored = 0

    def feed(self, bucket: Settled) -> list[Incident]:
        """What a settled bucket has to tell."""
        self.fed_until = bucket.start + BUCKET_S
        felt = {here.touchpoint: (here.scored, here.sum_x, here.sum_xx) for here in bucket.felt if not here.segment}
        went = {(way.touchpoint, way.following): (way.n, way.resumed) for way in bucket.went if not way.segment}
        self.corridor.feed(bucket.start, felt, went)
        return self.detectors.feed(bucket)


class Detection:
    """Takes the messages of one partition in the order of the log; `told` collects what there is to publish."""

    def __init__(
        self, corridor: CorridorMap, origins: Iterable[str], settled: Callable[[str, Settled], None] | None = None
    ) -> None:
        """`origins` names the lanes before the slices; `settled` is told of each bucket of a tenant that settles."""
        self._tell_settled = settled
        self._corridor = corridor
        self._rules = Rules(corridor)
        self._lanes = Lanes(origins)
        self._tenants: dict[str, _Tenant] = {}
        #: Slices by the start of their bucket and their key in the changelog, as they came.
        self._waiting: dict[int, dict[bytes, bytes]] = {}
        self._changed: dict[bytes, bytes | None] = {}
        #: Slices that wait in the changelog.
        self._stored: set[bytes] = set()
        self._settled_until = 0
        #: Up to where all lanes have come, and the buckets before that which are not settled yet, the latest first.
        self._until = 0.0
        self._due: list[int] = []
        #: The offset of the last message applied.
        self.applied = -1
        #: Incidents since the last `take_told`.
        self.told: list[Incident] = []
        #: Slices that came after their bucket was settled; detectors have not seen them.
        self.too_late = 0

    def apply(self, offset: int, key: bytes, value: bytes) -> None:
        """Take in a message; one that was applied before is skipped. Then call `settle` until it says no."""
        if offset <= self.applied:
            return
        self.applied = offset
        if value.startswith(_PROGRESS):
            self._lanes.note(_progress(value))
            clock = self._lanes.clock()
            if clock is not None:
                for tenant in self._tenants.values():
                    self.told += tenant.sources.advance(clock)
            self._until = inf if self._lanes.surely_idle() else self._lanes.complete()
            self._find_due()
            return
        if value.startswith(_HEARD):
            heard = _heard(value)
            self._known(heard.tenant).sources.hear(heard)
            return
        head = _head(value)
        if head.bucket < self._settled_until:
            self.too_late += 1
            return
        here = self._waiting.get(head.bucket)
        if here is None:
            here = self._waiting[head.bucket] = {}
        stored = _WAITING + key
        # A former owner that wakes up publishes old slices late.
        if (before := here.get(stored)) is None or _head(before).version <= head.version:
            here[stored] = self._changed[stored] = value

    def _find_due(self) -> None:
        self._due = sorted((start for start in self._waiting if start + BUCKET_S <= self._until), reverse=True)
        self._all_settled()

    def _all_settled(self) -> None:
        """Once no bucket is due, all up to where the lanes have come are settled, the empty ones too."""
        if not self._due and self._until < inf:
            self._settled_until = max(self._settled_until, int(self._until // BUCKET_S) * BUCKET_S)

    @property
    def position(self) -> tuple[int, int]:
        """The offset to go on from, and up to where buckets are settled (epoch seconds).

        A message counts as read once all that it has settled is settled.
        """
        return self.applied + (not self._due), self._settled_until

    def take_told(self) -> list[Incident]:
        """What there is to publish: of each incident the newest message."""
        told, self.told = {incident.id: incident for incident in self.told}, []
        return list(told.values())

    def take_corridor(self) -> list[Standing | Way]:
        """Importance, priority and drift of one tenant of which the last minute has not been told; the oldest first.

        One at a time: the chain of a large corridor takes a tenth of a second.
        """
        due = [tenant for tenant in self._tenants.values() if tenant.fed_until - tenant.told_until >= _MINUTE_S]
        if not due:
            return []
        tenant = min(due, key=lambda each: each.told_until)
        tenant.told_until = -(-tenant.fed_until // _MINUTE_S) * _MINUTE_S
        return tenant.corridor.tell(tenant.told_until, self.applied + 1)

    def open(self) -> list[Incident]:
        """All open incidents, as last told."""
        return [
            incident
            for tenant in self._tenants.values()
            for incident in (*tenant.detectors.open(), *tenant.sources.open())
        ]

    def cut_off(self) -> list[tuple[str, str, str]]:
        """Tenant, source and touchpoint: what is fed mainly by a source that is silent."""
        return [place for tenant in self._tenants.values() for place in tenant.sources.cut_off()]

    @property
    def left_out(self) -> int:
        """How often a place, segment pair or source was seen that is not watched, for there are too many."""
        return sum(tenant.detectors.left_out + tenant.sources.left_out for tenant in self._tenants.values())

    # -- settling ------------------------------------------------------------------------------------------------

    def settle(self) -> bool:
        """Feed the next bucket that every lane has passed (any, once nothing is expected at all); whether more are due.

        One by one: a replay of sparse history passes thousands at once, and others want their turn. State may be
        stored between any two.
        """
        if not self._due:
            return False
        start = self._due.pop()
        waiting = self._waiting.pop(start)
        for tenant, bucket in settle(start, map(_slice, waiting.values())).items():
            self.told += self._feed(tenant, bucket, _pack(bucket))
            if self._tell_settled is not None:
                self._tell_settled(tenant, bucket)
        for stored in waiting:
            if stored in self._stored:
                self._stored.discard(stored)
                self._changed[stored] = None
            else:
                self._changed.pop(stored, None)
        self._settled_until = start + BUCKET_S
        self._all_settled()
        return bool(self._due)

    def _feed(self, name: str, bucket: Settled, packed: bytes) -> list[Incident]:
        tenant = self._known(name)
        tenant.starts.append(bucket.start)
        tenant.size += len(packed)
        self._changed[_key_of(name, bucket.start)] = packed
        return tenant.feed(bucket)

    def _known(self, name: str) -> _Tenant:
        tenant = self._tenants.get(name)
        if tenant is None:
            tenant = self._tenants[name] = _Tenant(name, self._corridor, self._rules)
        return tenant

    # -- state ---------------------------------------------------------------------------------------------------

    def snapshot(self, told: list[Incident]) -> State:
        """What changed since the last call, to be stored in one transaction; `told` is about to be published."""
        for name, tenant in self._tenants.items():
            if len(tenant.starts) >= _LEAST_SETTLED and tenant.size >= tenant.stored:
                self._store(name, tenant)
            if tenant.sources.changed:
                self._changed[_SOURCES + name.encode()] = tenant.sources.pack()
        self._stored.update(key for key, value in self._changed.items() if value is not None and key[:1] == _WAITING)
        due_until = self._until if self._due else 0.0
        here = _Here(self.applied, self._settled_until, self.too_late, self._lanes.of, due_until)
        state: State = [*self._changed.items(), (_HERE, _pack(here)), (_TOLD, _pack(told))]
        self._changed = {}
        return state

    def _store(self, name: str, tenant: _Tenant) -> None:
        """Store what is known, and with that let go of the buckets that changed it."""
        self._changed.update({_key_of(name, start): None for start in tenant.starts})
        tenant.starts, tenant.size, written = [], 0, 0
        for watching, state in tenant.detectors.changed():
            self._changed[_DETECTOR + _pack([name, watching])] = state
            written += len(state)
        packed = self._changed[_CORRIDOR + name.encode()] = _pack(tenant.corridor.state)
        tenant.stored = max(written + len(packed), tenant.stored)

    def restore(self, state: Mapping[bytes, bytes]) -> None:
        """Take back all that `snapshot` gave, the newest value of each key; once, before the first message.

        What was about to be published is told again.
        """
        settled: list[tuple[str, Settled, bytes]] = []
        for key, value in state.items():
            kind, rest = key[:1], key[1:]
            if kind == _HERE:
                here = _unpack(value, type=_Here)
                self.applied, self._settled_until, self.too_late = here.applied, here.settled_until, here.too_late
                self._lanes.of.update(here.lanes)
                self._until = here.due_until
            elif kind == _WAITING:
                self._waiting.setdefault(_head(value).bucket, {})[key] = value
                self._stored.add(key)
            elif kind == _SETTLED:
                settled.append((_tenant_of(rest), _unpack(value, type=Settled), value))
            elif kind == _DETECTOR:
                name, watching = _unpack(rest, type=tuple[str, bytes])
                self._known(name).detectors.restore(watching, value)
                self._known(name).stored += len(value)
            elif kind == _CORRIDOR:
                name = rest.decode()
                self._known(name).corridor = CorridorNow(name, self._corridor, _unpack(value, type=CorridorState))
            elif kind == _SOURCES:
                name = rest.decode()
                self._known(name).sources = Sources(name, self._rules.tuning, _unpack(value, type=SourcesState))
            elif kind == _TOLD:
                self.told = _unpack(value, type=list[Incident])
        for name, bucket, packed in sorted(settled, key=lambda item: (item[1].start, item[0])):
            # What it tells has been published, or is among what is told again.
            self._feed(name, bucket, packed)
        self._find_due()
        self._changed = {}


def _key_of(tenant: str, start: int) -> bytes:
    return _SETTLED + _pack([tenant, start])


def _tenant_of(rest: bytes) -> Any:
    return _unpack(rest)[0]

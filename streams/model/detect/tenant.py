"""All detectors of one tenant: each settled bucket in, incidents out."""

from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import msgspec

from schemas.corridor import CorridorMap
from schemas.incident import Incident
from schemas.transition import START
from streams.model.detect.blockage import BlockageDetector, Blocked
from streams.model.detect.causes import Pair
from streams.model.detect.congestion import PileUpDetector, WaitDetector
from streams.model.detect.drop import BROKEN, NEGATIVE, DropDetector
from streams.model.detect.flow import Flow, flows
from streams.model.detect.settled import Felt, Settled
from streams.model.detect.tuning import Tuning
from streams.model.detect.watch import ALL, Counts, Watched

#: Places watched, at most: sources choose the names of unmapped touchpoints. The first ones seen are.
MOST_PLACES = 2_000
#: Segment pairs watched at one place, at most, where the map does not list the values. Again the first ones.
MOST_PAIRS = 200
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.decode
_Count = TypeVar("_Count")
#: What is watched of the experience at a touchpoint: events, and the bad ones among them.
_SHARES: tuple[tuple[str, Callable[[Felt], tuple[int, int]]], ...] = (
    ("negative", attrgetter("scored", "negative")),
    ("broken", attrgetter("gap_n", "gap_broken")),
)
_touchpoint = attrgetter("touchpoint")


class Watching(NamedTuple):
    """What is watched: the kind of detector, the touchpoint, and for waits the following one."""

    kind: str
    touchpoint: str
    following: str = ""


class Rules:
    """What the map says about detection, the same for all tenants."""

    def __init__(self, corridor: CorridorMap) -> None:
        self._patience = {touchpoint.name: touchpoint.patience for touchpoint in corridor.touchpoints}
        self._default_patience = corridor.defaults.patience
        wanted = corridor.detection
        # Four detectors watch a touchpoint and one a transition: each may err so much more rarely.
        places = 4 * len(corridor.touchpoints) + len(corridor.transitions)
        self.tuning = Tuning(
            false_alarm_s=float(wanted.false_alarm_time) * places,
            min_bad=wanted.minimum_bad,
            time_zone=wanted.time_zone,
        )

    def patience_s(self, touchpoint: str) -> float:
        """Silence after which a journey stalls there, seconds."""
        return float(self._patience.get(touchpoint) or self._default_patience)


class Detectors:
    """Drops, blockages and pile-ups of every touchpoint and congestion of every transition of a tenant.

    A function of the buckets fed, each once and in time order.
    """

    def __init__(self, tenant: str, rules: Rules) -> None:
        self._tenant = tenant
        self._rules = rules
        self._detectors: dict[Watching, Any] = {}
        self._pairs: dict[str, dict[Pair, None]] = {}
        self._changed: set[Watching] = set()
        #: Places and pairs that were seen and are not watched, for there are too many.
        self.left_out = 0

    def feed(self, bucket: Settled) -> list[Incident]:
        """What a settled bucket has to tell."""
        told: list[Incident] = []
        start = bucket.start
        for touchpoint, felt in groupby(bucket.felt, _touchpoint):
            here = self._watched(touchpoint, {(item.segment, item.value): item for item in felt})
            whole = here.pop(ALL, Felt(touchpoint, *ALL))
            for kind, count in _SHARES:
                n, bad = count(whole)
                if n and (drop := self._find(Watching(kind, touchpoint))) is not None:
                    told += drop.feed(start, n, bad, {pair: count(item) for pair, item in here.items()})
        for touchpoint, by_pair in sorted(flows(bucket.went).items()):
            flow = self._watched(touchpoint, by_pair)
            everyone = flow.pop(ALL, Flow())
            if (pile := self._find(Watching("pile", touchpoint))) is not None:
                passed = {pair: (part.came, part.left) for pair, part in flow.items()}
                told += pile.feed(start, everyone.came, everyone.left, passed)
            if (block := self._find(Watching("block", touchpoint))) is not None:
                stopped = {pair: (part.came, part.stopped) for pair, part in flow.items() if part.came or part.stopped}
                told += block.feed(start, everyone.came, everyone.stopped, stopped)
        real = (way for way in bucket.went if way.touchpoint != START and not way.following.startswith("@"))
        for (touchpoint, following), ways in groupby(real, lambda item: (item.touchpoint, item.following)):
            sums = {(way.segment, way.value): Counts(way.wait_n, way.wait_log_sum, way.wait_log_sum2) for way in ways}
            waits = self._watched(touchpoint, sums)
            if (wait := self._find(Watching("wait", touchpoint, following))) is not None:
                told += wait.feed(start, waits.pop(ALL, Counts(0, 0.0)), waits)
        return told

    def open(self) -> list[Incident]:
        """The incidents that are open, as last told."""
        incidents = (detector.incident for detector in self._detectors.values())
        return [incident for incident in incidents if incident is not None]

    def changed(self) -> Iterator[tuple[bytes, bytes]]:
        """Name and state of every detector that was fed since the last call, to be stored."""
        for watching in sorted(self._changed):
            yield _pack(watching), _pack(self._detectors[watching].state)
        yield b"", _pack({touchpoint: list(pairs) for touchpoint, pairs in self._pairs.items()})
        self._changed.clear()

    def restore(self, name: bytes, state: bytes) -> None:
        """Take back what `changed` gave."""
        if not name:
            pairs = _unpack(state, type=dict[str, list[Pair]])
            self._pairs = {touchpoint: dict.fromkeys(here) for touchpoint, here in pairs.items()}
            return
        watching = Watching(*_unpack(name))
        kind = Blocked if watching.kind == "block" else Watched
        self._detectors[watching] = self._make(watching, _unpack(state, type=kind))

    def _find(self, watching: Watching) -> Any:
        """The detector, made where there is none; None where too many places are watched already."""
        detector = self._detectors.get(watching)
        if detector is None:
            if len(self._detectors) >= MOST_PLACES:
                self.left_out += 1
                return None
            detector = self._detectors[watching] = self._make(watching, None)
        self._changed.add(watching)
        return detector

    def _make(self, watching: Watching, state: Any) -> Any:
        kind, touchpoint, following = watching
        tenant, tuning = self._tenant, self._rules.tuning
        match kind:
            case "negative":
                return DropDetector(tenant, touchpoint, tuning, state, NEGATIVE)
            case "broken":
                return DropDetector(tenant, touchpoint, tuning, state, BROKEN)
            case "pile":
                return PileUpDetector(tenant, touchpoint, tuning, state)
            case "block":
                return BlockageDetector(tenant, touchpoint, self._rules.patience_s(touchpoint), tuning, state)
        return WaitDetector(tenant, touchpoint, following, tuning, state)

    def _watched(self, touchpoint: str, counts: dict[Pair, _Count]) -> dict[Pair, _Count]:
        """The counts of the pairs that are watched there."""
        known = self._pairs.setdefault(touchpoint, {})
        kept = {}
        for pair, count in counts.items():
            if pair != ALL and pair not in known:
                if len(known) >= MOST_PAIRS:
                    self.left_out += 1
                    continue
                known[pair] = None
            kept[pair] = count
        return kept

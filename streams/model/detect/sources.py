"""The sources of one tenant under watch: a source that should be heard of and is not, is silent.

They are watched by event time as the log tells it: what a lane has heard counts for the time up to the next step of the
clock, which goes on with the wall clock while all lanes are idle. So here too everything is a function of the messages
in the order of the log, and history that is replayed at any speed has no gaps but its own.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from schemas.heard import Heard
from schemas.incident import Incident
from schemas.slice import BUCKET_S
from streams.model.detect.silence import SilenceDetector, Silent
from streams.model.detect.tuning import Tuning

#: Sources watched, at most: senders choose their names. The first ones heard of are.
MOST_SOURCES = 200
#: A silent source cuts a touchpoint off if so large a part of the touchpoint's events came from it.
_FED = 0.5


class SourcesState(Struct):
    """Everything that is known; write and read it with msgspec."""

    #: How far the clock has come (epoch seconds; -1: not yet begun).
    upto: int = -1
    #: By lane: the version of its last message, and its counts by source and touchpoint.
    lanes: dict[str, tuple[int, dict[str, dict[str, int]]]] = {}
    #: Events heard of since the clock's last step, by source.
    new: dict[str, int] = {}
    #: By touchpoint and source: all events ever heard of.
    fed: dict[str, dict[str, int]] = {}
    silent: dict[str, Silent] = {}


class Sources:
    """Takes what the lanes have heard and the steps of the clock; says who is silent."""

    def __init__(self, tenant: str, tuning: Tuning, state: SourcesState | None = None) -> None:
        self.state = state or SourcesState()
        self._tenant = tenant
        self._tuning = tuning
        self._detectors = {name: self._detector(name, silent) for name, silent in self.state.silent.items()}
        #: Whether the state differs from what was last stored.
        self.changed = False
        #: How often a source was heard of that is not watched, for there are too many.
        self.left_out = 0

    def hear(self, heard: Heard) -> None:
        """Take in what a lane has counted. A message that is not newer than the last one is skipped."""
        version, known = self.state.lanes.get(heard.origin, (-1, {}))
        if heard.version <= version:
            return
        self.state.lanes[heard.origin] = (heard.version, heard.sources)
        self.changed = True
        for source, counts in heard.sources.items():
            before = known.get(source, {})
            for touchpoint, n in counts.items():
                last = before.get(touchpoint, 0)
                more = n - last if n >= last else n
                if more and self._watched(source):
                    self.state.new[source] = self.state.new.get(source, 0) + more
                    fed = self.state.fed.setdefault(touchpoint, {})
                    fed[source] = fed.get(source, 0) + more

    def advance(self, clock: float) -> list[Incident]:
        """Event time has come to `clock` (epoch seconds), in steps of a bucket: what there is to tell."""
        state, until = self.state, int(clock // BUCKET_S) * BUCKET_S
        if until <= state.upto or not self._detectors:
            return []
        told: list[Incident] = []
        for source, detector in sorted(self._detectors.items()):
            told += detector.hear(until, state.new.pop(source, 0))
        state.upto = until
        self.changed = True
        return told

    def open(self) -> Iterator[Incident]:
        """The silences that last, as last told."""
        return (silent.told for silent in self.state.silent.values() if silent.told is not None)

    def cut_off(self) -> Iterator[tuple[str, str, str]]:
        """Tenant, source and touchpoint: what is fed mainly by a source that is silent."""
        quiet = {incident.touchpoint for incident in self.open()}
        for touchpoint, fed in self.state.fed.items() if quiet else ():
            for source in quiet & fed.keys():
                if touchpoint and fed[source] >= _FED * sum(fed.values()):
                    yield self._tenant, source, touchpoint

    def pack(self) -> bytes:
        """The state, to be stored."""
        self.changed = False
        return msgspec.msgpack.encode(self.state)

    def _watched(self, source: str) -> bool:
        if source not in self._detectors:
            if len(self._detectors) >= MOST_SOURCES:
                self.left_out += 1
                return False
            detector = self._detectors[source] = self._detector(source, None)
            self.state.silent[source] = detector.state
            # It is heard of from the last step of the clock on.
            detector.state.upto = self.state.upto
        return True

    def _detector(self, source: str, state: Silent | None) -> SilenceDetector:
        return SilenceDetector(self._tenant, source, self._tuning, state)

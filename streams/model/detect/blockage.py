"""Blockage: the chance of going on from a touchpoint fell; journeys stall there, or leave.

A stall is known one patience after the contact. Set against those who go on at the same time, stalls would seem to grow
whenever going on merely takes longer: fewer leave for a while. So they are set against those who came one patience ago.
"""

from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush

from msgspec import Struct, field

from schemas.incident import Incident
from schemas.slice import BUCKET_S
from streams.model.detect.causes import Pair
from streams.model.detect.cusum import Run
from streams.model.detect.incident import Measure, Place
from streams.model.detect.lines import share_lines
from streams.model.detect.tuning import Tuning
from streams.model.detect.watch import ALL, Counts, Watch, Watched

MEASURE = Measure(
    kind="blockage",
    measured="stopped",
    unit="share",
    shown=lambda share: share,
    points=True,
    counts_bad=True,
    hurt=lambda n, bad, expected: bad - expected,
)
#: Arrivals wait in at most about so many pieces.
_PIECES = 200


class Came(Struct, array_like=True, gc=False):
    """Arrivals between two times, and how many of them are decided already."""

    start: int
    end: int
    n: int
    decided: int = 0


class Undecided(Struct):
    """The arrivals of one series that still have patience."""

    segment: str
    value: str
    came: list[Came] = field(default_factory=list)


class Blocked(Struct):
    """The whole state of a `BlockageDetector`; write and read it with msgspec."""

    watched: Watched = field(default_factory=Watched)
    undecided: list[Undecided] = field(default_factory=list)


class BlockageDetector:
    """Watches, of the journeys that came to a touchpoint one patience ago, the share that has stalled or left.

    `patience_s` is the touchpoint's. Until it is over a blockage shows as a pile-up.
    """

    def __init__(
        self, tenant: str, touchpoint: str, patience_s: float, tuning: Tuning, state: Blocked | None = None
    ) -> None:
        self.state = state or Blocked()
        place = Place(tenant, touchpoint)
        self._watch = Watch(place, MEASURE, share_lines, self._enough, tuning, self.state.watched)
        self._min_bad = tuning.min_bad
        self._patience = max(int(patience_s) // BUCKET_S, 1) * BUCKET_S
        self._step = max(self._patience // _PIECES // BUCKET_S, 1) * BUCKET_S
        self._undecided = {(item.segment, item.value): item for item in self.state.undecided}
        #: When the next arrival of a pair is decided, or earlier: one entry for each pair with arrivals.
        self._deciding = [(item.came[0].start + 1, pair) for pair, item in self._undecided.items() if item.came]
        heapify(self._deciding)

    @property
    def incident(self) -> Incident | None:
        """The open incident, as last told."""
        return self._watch.told

    def feed(self, start: int, arrivals: int, stopped: int, pairs: Mapping[Pair, tuple[int, int]]) -> list[Incident]:
        """A settled bucket, once and in time order.

        `arrivals`: transitions into the touchpoint; `stopped`: stalled and abandoned ones (a journey that is gone has
        been counted as stalled). `pairs`: the same two numbers for each segment pair.
        """
        here = {ALL: (arrivals, stopped), **pairs}
        for pair in sorted(pair for pair, (came, _) in here.items() if came > 0):
            self._remember(pair, start, here[pair][0])
        counts = {pair: Counts(bad, bad) for pair, (_, bad) in here.items() if bad > 0}
        for pair, decided in self._decide(start + BUCKET_S - self._patience):
            bad = here.get(pair, (0, 0))[1]
            counts[pair] = Counts(max(decided, bad), bad)
        return self._watch.feed(start, counts.pop(ALL, Counts(0, 0)), counts)

    def _remember(self, pair: Pair, start: int, n: int) -> None:
        waiting = self._undecided.get(pair)
        if waiting is None:
            waiting = self._undecided[pair] = Undecided(*pair)
            self.state.undecided.append(waiting)
        last = waiting.came[-1] if waiting.came else None
        if last is not None and last.start // self._step == start // self._step:
            last.end, last.n = start + BUCKET_S, last.n + n
            return
        waiting.came.append(Came(start, start + BUCKET_S, n))
        if last is None:
            heappush(self._deciding, (start + 1, pair))

    def _decide(self, until: int) -> Iterator[tuple[Pair, int]]:
        """Arrivals before `until` that were not decided yet, of each pair with any: evenly over their piece's time."""
        deciding = self._deciding
        while deciding and deciding[0][0] <= until:
            _, pair = heappop(deciding)
            came, total = self._undecided[pair].came, 0
            for piece in came:
                if piece.start >= until:
                    break
                decided = piece.n * min(until - piece.start, piece.end - piece.start) // (piece.end - piece.start)
                total += decided - piece.decided
                piece.decided = decided
            while came and came[0].end <= until:
                del came[0]
            if came:
                heappush(deciding, (_next(came[0], until), pair))
            yield pair, total

    def _enough(self, run: Run) -> bool:
        return run.total >= self._min_bad


def _next(piece: Came, until: int) -> int:
    """Up to where patience has to have ended for one more of a piece to be decided, or less.

    While it lies after `until`, arrivals may still join it.
    """
    if piece.start >= until:
        return piece.start + 1
    seconds = piece.end - piece.start
    return piece.start + -(-(piece.decided + 1) * seconds // piece.n)

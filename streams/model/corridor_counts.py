"""What is kept of a tenant's transitions and scores: hourly sums of a day, daily sums of the week before. Bounded.

**Bounds.** The map's touchpoints always have a place; others get one while there are fewer than `MOST_TOUCHPOINTS`. A
contact at any further touchpoint counts as one at `OTHER`. Beyond `MOST_WAYS` transitions a new one a -> b counts as
a -> `OTHER` -> b. So arrivals, departures and ends still add up; only who went where is blurred.
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct, field

from schemas.transition import ABANDONED, GOAL, GONE, STALLED, START

HOUR_S = 3600
DAY_S = 24 * HOUR_S
#: What is usual is the time from the window back to the midnight (UTC) that lies at least so many seconds before it.
USUAL_S = 7 * DAY_S
MOST_TOUCHPOINTS = 100
MOST_WAYS = 2_000
OTHER = "@other"
_NO_TOUCHPOINT = frozenset((START, GOAL, ABANDONED, STALLED, GONE, OTHER))

#: Events with a score x, sum of x, sum of x squared.
Scores = tuple[int, float, float]
#: Transitions, and how many of them resumed a journey that had ended or stalled.
Taken = tuple[int, int]


class Seen(Struct, array_like=True):
    """A transition in living memory: start of the first and last bucket with it, and its drift as last told."""

    touchpoint: str
    following: str
    first: int
    last: int
    told: str | None = None


class Block(Struct, array_like=True):
    """Sums from `start` (epoch seconds) on: by number of the transition, and by touchpoint."""

    start: int
    ways: dict[int, Taken]
    scores: dict[str, Scores]


class CorridorState(Struct, omit_defaults=True):
    """Everything that is kept of one tenant; write and read it with msgspec. `since` is -1 before the first bucket."""

    since: int = -1
    hours: list[Block] = field(default_factory=list)
    days: list[Block] = field(default_factory=list)
    ways: dict[int, Seen] = field(default_factory=dict)
    #: The hour in which everything was last told.
    told_hour: int = -1
    #: Transitions that were counted through `OTHER`.
    folded: int = 0


class CorridorCounts:
    """The counts of one tenant. `named` are the touchpoints of the map. Same buckets, same state, bit for bit."""

    def __init__(self, named: Collection[str], state: CorridorState) -> None:
        self.state = state
        self._named = frozenset(named)
        self._index()

    @property
    def touchpoints(self) -> list[str]:
        """Those in living memory, sorted, without `OTHER`."""
        return sorted(self._seats)

    def feed(self, start: int, touchpoints: Mapping[str, Scores], transitions: Mapping[tuple[str, str], Taken]) -> None:
        """Count the settled bucket that starts at `start`: each bucket once, in time order, empty ones left out."""
        state = self.state
        if state.since < 0:
            state.since = start
        hour = start // HOUR_S * HOUR_S
        if not state.hours or state.hours[-1].start < hour:
            self.roll(hour)
            state.hours.append(Block(hour, {}, {}))
        block = state.hours[-1]
        for name, scores in sorted(touchpoints.items()):
            if scores[0] and self._has_seat(name):
                _add_scores(block, name, scores)
        for (origin, following), taken in sorted(transitions.items()):
            if taken != (0, 0):
                way = (self._place(origin), self._place(following))
                if OTHER in way:
                    state.folded += taken[0]
                self._count(block, start, *way, taken)

    def roll(self, hour: int) -> None:
        """Make room for the hour that starts at `hour`: the window is that hour and the 23 before it."""
        state = self.state
        oldest = window_start(hour)
        leaving = [block for block in state.hours if block.start < oldest]
        for block in leaving:
            day = block.start // DAY_S * DAY_S
            if not state.days or state.days[-1].start < day:
                state.days.append(Block(day, {}, {}))
            for number, taken in block.ways.items():
                _add_taken(state.days[-1], number, taken)
        del state.hours[: len(leaving)]
        usual = usual_start(hour)
        kept = [block for block in state.days if block.start >= usual]
        if leaving or len(kept) < len(state.days):
            state.days = kept
            alive = {number for block in (*state.hours, *kept) for number in block.ways}
            state.ways = {number: seen for number, seen in state.ways.items() if number in alive}
            self._index()

    def window(self) -> dict[tuple[str, str], Taken]:
        """The sums of every transition in the window."""
        return self._sums(self.state.hours)

    def usual(self) -> dict[tuple[str, str], Taken]:
        """The sums of every transition in the days before the window."""
        return self._sums(self.state.days)

    def scores(self) -> dict[str, Scores]:
        """The sums of every touchpoint's experiences in the window."""
        total = Block(0, {}, {})
        for block in self.state.hours:
            for name, scores in block.scores.items():
                _add_scores(total, name, scores)
        return total.scores

    def _sums(self, blocks: Iterable[Block]) -> dict[tuple[str, str], Taken]:
        total = Block(0, {}, {})
        for block in blocks:
            for number, taken in block.ways.items():
                _add_taken(total, number, taken)
        ways = self.state.ways
        return {(ways[number].touchpoint, ways[number].following): taken for number, taken in total.ways.items()}

    def _index(self) -> None:
        self._numbers = {(seen.touchpoint, seen.following): number for number, seen in self.state.ways.items()}
        self._seats = {name for way in self._numbers for name in way} - _NO_TOUCHPOINT
        self._seats.update(name for block in self.state.hours for name in block.scores)

    def _has_seat(self, name: str) -> bool:
        if name not in self._seats:
            if name not in self._named and len(self._seats) >= MOST_TOUCHPOINTS:
                return False
            self._seats.add(name)
        return True

    def _place(self, name: str) -> str:
        return name if name in _NO_TOUCHPOINT or self._has_seat(name) else OTHER

    def _count(self, block: Block, start: int, origin: str, following: str, taken: Taken) -> None:
        ways = self.state.ways
        number = self._numbers.get((origin, following))
        if number is None:
            if len(ways) >= MOST_WAYS and OTHER not in (origin, following):
                self.state.folded += taken[0]
                self._count(block, start, origin, OTHER, taken)
                self._count(block, start, OTHER, following, (taken[0], 0))
                return
            number = max(ways, default=-1) + 1
            ways[number] = Seen(origin, following, start, start)
            self._numbers[origin, following] = number
        ways[number].last = start
        _add_taken(block, number, taken)


def window_start(hour: int) -> int:
    """Start of the 24 hours of which the last starts at `hour`."""
    return hour + HOUR_S - DAY_S


def usual_start(hour: int) -> int:
    """Start of the days that are compared with that window."""
    return (window_start(hour) - USUAL_S) // DAY_S * DAY_S


def _add_taken(block: Block, number: int, taken: Taken) -> None:
    n, resumed = block.ways.get(number, (0, 0))
    block.ways[number] = (n + taken[0], resumed + taken[1])


def _add_scores(block: Block, name: str, scores: Scores) -> None:
    n, total, squares = block.scores.get(name, (0, 0.0, 0.0))
    block.scores[name] = (n + scores[0], total + scores[1], squares + scores[2])

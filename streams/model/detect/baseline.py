"""What is usual at one place: a slow level with an hour-of-week rhythm, learned from the place's own past.

The same sums serve shares (s: bad events), mean log waits (s, ss: sums of ln w and its square) and rates (n: seconds,
s: events). Events train the baseline only after a delay, and never those of an incident, so that a fall does not
become usual before it is noticed. Sums fade exponentially with event time.

**Rhythm.** Each hour of the week has a factor on the level (for waits: an addend), shrunk to none. For shares and
rates the factor is (s + k) / (e + k) with s the hour's sum, e the same at the mean level and k = 1 / v: the posterior
mean under a gamma prior with mean 1 and variance v. For waits it is the normal analogue. v itself is learned
(empirical Bayes, method of moments; Morris, JASA 78, 1983): from `rhythm_variance` to what the hours seen show, the
more hours the surer.

**Uncertainty.** `Level.variance` is that of the log share (of the mean log wait). A line whose level is off by e on
that scale alarms exp(2 h e / delta) times as often (h: threshold, delta: log design ratio). Averaged over a normal e
with variance V this is exp(2 (h / delta)^2 V), and moving the level up by h V / delta cancels it exactly. That is
what `streams.model.detect.lines` does; and a line that would have to move by more than half its delta stays off.

**Dispersion.** Events that come in clusters vary more than independent ones. The Pearson statistic of the pieces that
were learned from, less what chance adds, divides all evidence.
"""

from math import exp, inf, sqrt
from typing import Literal, NamedTuple

from msgspec import Struct, field

from streams.model.detect.tuning import Tuning

Series = Literal["share", "wait", "rate"]

#: Hours of the week that the assumed rhythm variance counts as; events after which an hour counts as a half.
_PRIOR_HOURS = 4.0
_HOUR_EVENTS = 30.0
_HALF = _HOUR_EVENTS * _HOUR_EVENTS
_SMALLEST_VARIANCE = 1e-4
#: Pieces before the dispersion is believed, and its highest value.
_LEAST_PIECES = 30.0
_MOST_DISPERSION = 10.0
#: What is usual is worked out anew once so much of it is new.
_WORTH_LEARNING = 0.02


class Level(NamedTuple):
    """A usual level, the variance of its log (of itself for waits) and the sd of a single wait (0 for shares)."""

    value: float
    variance: float
    sigma: float = 0.0


class Piece(Struct, array_like=True, gc=False):
    """Sums of the time from `start` to `end` (epoch seconds), in the hour of the week `hour`."""

    start: int
    end: int
    hour: int
    n: int
    s: float
    ss: float


class Hour(Struct, array_like=True, gc=False):
    """Sums of one hour of the week, later events weighing exponentially more instead of earlier ones fading."""

    n: float = 0.0
    s: float = 0.0


class Baseline(Struct, omit_defaults=True, kw_only=True):
    """The usual level of one series. All sums fade; `upto` is the event time they have faded to."""

    #: What n, s and ss are: events, bad ones; waits, sums of log waits and squares; seconds, events.
    kind: Series
    #: Start of the first bucket ever seen; -1 before it.
    first: int = -1
    upto: int = -1
    #: Learned time (seconds) and sums.
    span: float = 0.0
    n: float = 0.0
    s: float = 0.0
    ss: float = 0.0
    hours: dict[int, Hour] = {}
    #: All hours together.
    week: Hour = field(default_factory=Hour)
    #: The hour last learned from.
    hour: int = -1
    #: Variance of the rhythm as now believed; None: as assumed.
    rhythm: float | None = None
    #: Pearson statistic and pieces it was summed over; deviation and variance not yet in it.
    scatter: float = 0.0
    pieces: float = 0.0
    deviation: float = 0.0
    expected: float = 0.0
    #: Not yet learned from, oldest first.
    pending: list[Piece] = []

    def add(self, start: int, end: int, hour: int, n: int, s: float, ss: float, tuning: Tuning) -> None:
        """Take in a bucket. It is kept as it is for one to two pieces' time, then merged with its neighbours."""
        if self.first < 0:
            self.first = self.upto = start
        pending, chunk = self.pending, tuning.chunk_s
        pending.append(Piece(start, end, hour, n, float(s), float(ss)))
        if len(pending) <= 2:
            return
        place, last = start // chunk, pending[-2].start // chunk
        if last == place:
            return
        # What lies in earlier chunks than the last two has been merged already.
        first, since = len(pending) - 2, (last - 1) * chunk
        while first > 0 and pending[first - 1].start >= since:
            first -= 1
        # Where the last one is alone, as in sparse history, there is nothing to merge it with.
        if first < len(pending) - 2:
            self._merge(first, place - 1, chunk)

    def _merge(self, first: int, before: int, chunk: int) -> None:
        """Make one piece of all that lie in the same chunk and hour, from the piece `first` to below chunk `before`."""
        merged: list[Piece] = []
        for piece in self.pending[first:]:
            last = merged[-1] if merged else None
            place = piece.start // chunk
            if last is not None and place < before and place == last.start // chunk and piece.hour == last.hour:
                last.end, last.n, last.s, last.ss = piece.end, last.n + piece.n, last.s + piece.s, last.ss + piece.ss
            else:
                merged.append(piece)
        self.pending[first:] = merged

    def settled(self, now: int, tuning: Tuning) -> float:
        """Up to where events have waited long enough, at event time `now`, to be learned from."""
        delay = (now - self.first) / 4.0
        if delay < tuning.learn_delay_s:
            return now - min(max(delay, tuning.chunk_s), tuning.learn_delay_s)
        return now - tuning.learn_delay_s

    def ripe(self, tuning: Tuning) -> float:
        """Until `settled` has come to this, `learn` need not be asked: what is pending would not be enough."""
        if not self.pending:
            return -inf
        enough, n = _WORTH_LEARNING * self.n, 0
        for piece in self.pending:
            n += piece.n
            if n >= enough:
                break
        return (piece.start // tuning.chunk_s + 1) * tuning.chunk_s

    def learn(self, now: int, tuning: Tuning) -> bool:
        """Learn, after `add`, from what has waited long enough at event time `now`, if it is enough to matter.

        Whether anything was learned.
        """
        if not self.pending:
            return False
        until = self.settled(now, tuning) // tuning.chunk_s * tuning.chunk_s
        due, n = 0, 0
        for piece in self.pending:
            if piece.start >= until:
                break
            due += 1
            n += piece.n
        if not due or n < _WORTH_LEARNING * self.n:
            return False
        hours = {piece.hour for piece in self.pending[:due]}
        for piece in self.pending[:due]:
            self._absorb(piece, tuning)
        del self.pending[:due]
        if self.n >= tuning.min_events and hours != {self.hour}:
            self.hour = piece.hour
            self._learn_rhythm(tuning)
        return True

    def _absorb(self, piece: Piece, tuning: Tuning) -> None:
        if self.n >= tuning.min_events:
            self._scatter(piece, tuning)
        past = piece.end - self.upto if piece.end > self.upto else 0
        fade = exp(-past / tuning.level_memory_s)
        self.span = self.span * fade + past
        self.n = self.n * fade + piece.n
        self.s = self.s * fade + piece.s
        self.ss = self.ss * fade + piece.ss
        self.scatter *= fade
        self.pieces *= fade
        self.upto += past
        weight = 1.0 / self._scale(tuning)
        hour = self.hours.get(piece.hour)
        if hour is None:
            hour = self.hours[piece.hour] = Hour()
        n, s = piece.n * weight, piece.s * weight
        for sums in (hour, self.week):
            sums.n += n
            sums.s += s

    def _scale(self, tuning: Tuning) -> float:
        """What the sums of hours have to be multiplied with to be in events that are as good as new."""
        return exp((self.first - self.upto) / tuning.rhythm_memory_s)

    def _scatter(self, piece: Piece, tuning: Tuning) -> None:
        """Compare a piece with what was expected of it; small ones are put together until one event is expected."""
        level, enough = self.level(piece.hour, tuning), 1.0
        single, scale = level.value, level.value
        if self.kind == "share":
            single *= 1.0 - level.value
        elif self.kind == "wait":
            single = enough = level.sigma**2
            scale = 1.0
        self.deviation += piece.s - piece.n * level.value
        # Chance within the piece, and what is not known of the level.
        self.expected += piece.n * single + (piece.n * scale) ** 2 * level.variance
        if self.expected >= enough:
            self.scatter += self.deviation**2 / self.expected
            self.pieces += 1.0
            self.deviation = self.expected = 0.0

    def cut(self, since: int) -> list[Piece]:
        """Take out what has not been learned from since event time `since`: it belongs to an incident."""
        taken = [piece for piece in self.pending if piece.end > since]
        self.pending = [piece for piece in self.pending if piece.end <= since]
        return taken

    def skip(self, now: int) -> None:
        """An incident is over at event time `now`: nothing is pending, and its time counts as not seen."""
        if self.first >= 0:
            self.upto = max(self.upto, now)

    @property
    def dispersion(self) -> float:
        """Variance as a multiple of that of independent events, from 1 on, less what chance explains."""
        if self.pieces < _LEAST_PIECES:
            return 1.0
        return min(max(self.scatter / self.pieces - 2.0 * sqrt(3.0 / self.pieces), 1.0), _MOST_DISPERSION)

    def per_second(self, amount: float) -> float:
        """`amount` (one of the faded sums) per second of learned time; 0 before any."""
        return amount / self.span if self.span > 0.0 else 0.0

    def level(self, hour: int, tuning: Tuning) -> Level:
        """What is usual in an hour of the week; `n` must not be 0.

        A share of bad events, from `min_share` to 0.95; a mean log wait and the sd of one; a rate s / n.
        """
        own, scale = self.hours.get(hour) or Hour(), self._scale(tuning)
        own_n, own_s = own.n * scale, own.s * scale
        k = 1.0 / (tuning.rhythm_variance if self.rhythm is None else self.rhythm)
        mean = self.s / self.n
        usual = self.week.s / self.week.n if self.week.n else mean
        if self.kind == "wait":
            square = self._square()
            weight = own_n + k * square
            value = mean + (own_s - own_n * usual) / weight
            return Level(value, square * self.dispersion / self.n + square / weight, sqrt(square))
        value = mean * (own_s + k) / (own_n * usual + k)
        evidence = self.s
        if self.kind == "share":
            value = min(max(value, tuning.min_share), 0.95)
            evidence = max(evidence, self.n * tuning.min_share)
        return Level(value, self.dispersion / max(evidence, 1e-9) + 1.0 / (own_s + k))

    def _square(self) -> float:
        """Variance of a single log wait."""
        return max(self.ss / self.n - (self.s / self.n) ** 2, 1e-4)

    def _learn_rhythm(self, tuning: Tuning) -> None:
        """The variance of the hours around their mean beyond chance: a weighted mean over hours and the prior."""
        waits, scale, mean = self.kind == "wait", self._scale(tuning), self.week.s / self.week.n
        total, weights = _PRIOR_HOURS * tuning.rhythm_variance, _PRIOR_HOURS
        single = self.dispersion * (self._square() if waits else 1.0)
        for hour in self.hours.values():
            size = hour.n * scale if waits else hour.n * scale * mean
            if size <= 0.0:
                continue
            difference = hour.s / hour.n - mean if waits else hour.s * scale / size - 1.0
            square = size * size
            weight = square / (square + _HALF)
            total += weight * (difference * difference - single / size)
            weights += weight
        self.rhythm = max(total / weights, _SMALLEST_VARIANCE)

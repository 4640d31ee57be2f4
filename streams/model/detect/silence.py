"""Silence: a source or touchpoint with an expected rate sends nothing.

In a Poisson stream of rate r a gap lasts longer than D with chance exp(-r D), and r gaps begin each second: gaps
during which r D = ln(r T) events were to be expected come once in T. So a silence is told once that many are missing,
T being the knob. The rate is the hour's own, two standard errors lower, but at most half of what the hour before the
gap showed: so neither the first night nor a quiet holiday is a silence. It is divided by how much the stream
clusters. It is over once the usual rate is proven: a CUSUM of rate r against r / 10.
"""

from math import exp, inf, log, sqrt

from msgspec import Struct, field
from msgspec.structs import replace

from schemas.incident import Incident
from streams.model.detect.baseline import Baseline
from streams.model.detect.calendar import hour_of_week
from streams.model.detect.cusum import Line, Run
from streams.model.detect.incident import Measure, Place, blank
from streams.model.detect.tuning import Tuning

MEASURE = Measure(
    kind="silence",
    measured="rate",
    unit="per_s",
    shown=lambda rate: rate,
    points=False,
    counts_bad=True,
    hurt=lambda seconds, events, expected: expected - events,
)
#: The rate may have halved since the time before the gap.
_RECENT_S = 3600
_RECENT_PART = 0.5
_NEARLY_DEAD = 0.1
#: Rates differ far more between hours than shares do.
_RHYTHM_VARIANCE = 1.0
#: Events before a rate counts as known.
_LEAST_EVENTS = 30.0


class Silent(Struct):
    """The whole state of a `SilenceDetector`; write and read it with msgspec."""

    baseline: Baseline
    #: How far it has been told (epoch seconds; -1: nothing yet), and the end of the last bucket with events.
    upto: int = -1
    heard: int = -1
    #: Events per second that are sure at the end of that time, seeing the hour before it.
    recent: float = 0.0
    #: Events missing since then, as the test counts them (cautiously) and as they are to be expected.
    missing: float = 0.0
    expected: float = 0.0
    events: int = 0
    told: Incident | None = None
    back: Run = field(default_factory=Run)


class SilenceDetector:
    """Watches one touchpoint, or one source (`touchpoint` is its name then)."""

    def __init__(self, tenant: str, touchpoint: str, tuning: Tuning, state: Silent | None = None) -> None:
        self.state = state or Silent(Baseline(kind="rate"))
        self._place = Place(tenant, touchpoint)
        self._tuning = replace(tuning, rhythm_variance=_RHYTHM_VARIANCE)
        #: See `Baseline.ripe`.
        self._ripe = -inf

    def hear(self, until: int, n: int) -> list[Incident]:
        """The time since the last call, up to `until` (epoch seconds), with n events somewhere in it; in time order.

        The first call says only when it begins. `until` comes from a clock that idle sources do not hold back.
        """
        state, chunk = self.state, self._tuning.chunk_s
        if state.upto < 0:
            state.upto = until
            return []
        messages: list[Incident] = []
        pieces = -(-until // chunk) - state.upto // chunk
        for piece in range(pieces):
            # Evenly: when they happened is not known.
            part = n * (piece + 1) // pieces - n * piece // pieces
            messages += self._take(state.upto, min(until, (state.upto // chunk + 1) * chunk), part)
        return messages

    def _take(self, start: int, end: int, n: int) -> list[Incident]:
        """The time from `start` to `end`, with n events."""
        state = self.state
        hour = hour_of_week(start, self._tuning.time_zone)
        seconds = end - start
        rate, least = self._rates(hour)
        state.upto = end
        if state.told is not None:
            return self._follow(state.told, start, seconds, n, rate)
        state.baseline.add(start, end, hour, seconds, n, 0.0, self._tuning)
        if state.baseline.settled(start, self._tuning) >= self._ripe:
            state.baseline.learn(start, self._tuning)
            self._ripe = state.baseline.ripe(self._tuning)
        if n > 0:
            state.heard, state.missing, state.expected = end, 0.0, 0.0
            return []
        if state.expected == 0.0:
            state.recent = self._recent()
        state.missing += min(least, state.recent / state.baseline.dispersion) * seconds
        state.expected += rate * seconds
        if state.heard < 0 or end - state.heard < self._tuning.min_silence_s:
            return []
        if rate <= 0.0 or state.missing < log(max(self._tuning.false_alarm_s * rate, 2.0)):
            return []
        state.baseline.cut(state.heard)
        self._ripe = -inf
        state.events = 0
        state.back.clear()
        state.told = blank(MEASURE, self._place, ("", ""), state.heard, end, state.expected / (end - state.heard))
        return [self._tell(state.told)]

    def _rates(self, hour: int) -> tuple[float, float]:
        """Expected events per second, and how few are sure; zeros while the rate is not known."""
        baseline = self.state.baseline
        if baseline.n < self._tuning.chunk_s or baseline.s < _LEAST_EVENTS:
            return 0.0, 0.0
        level = baseline.level(hour, self._tuning)
        return level.value, level.value * exp(-2.0 * sqrt(level.variance)) / baseline.dispersion

    def _recent(self) -> float:
        """Events per second before the gap, at most two standard errors lower, and a part of it."""
        state = self.state
        seconds, events = 0.0, 0.0
        for piece in reversed(state.baseline.pending):
            if piece.end <= state.heard - _RECENT_S:
                break
            seconds += piece.n
            events += piece.s
        return _RECENT_PART * events / seconds * exp(-2.0 / sqrt(events + 1.0)) if seconds else 0.0

    def _follow(self, told: Incident, start: int, seconds: int, n: int, rate: float) -> list[Incident]:
        state, tuning = self.state, self._tuning
        state.expected += rate * seconds
        state.events += n
        line = Line(log(1.0 / _NEARLY_DEAD), (1.0 - _NEARLY_DEAD) * rate, log(tuning.recovery_odds))
        if state.back.add(start, seconds, n, line) and state.upto - state.back.since >= tuning.recovery_hold_s:
            message = self._tell(told, resolved=True)
            state.baseline.skip(state.upto)
            state.told, state.heard, state.missing, state.expected = None, state.upto, 0.0, 0.0
            return [message]
        return [self._tell(told)] if state.upto - told.updated_at >= tuning.update_s else []

    def _tell(self, told: Incident, *, resolved: bool = False) -> Incident:
        state = self.state
        seconds, events = state.upto - told.since, state.events
        if resolved:
            seconds, events = max(state.back.since - told.since, 1), events - round(state.back.total)
        now = events / seconds
        state.told = replace(
            told,
            status="resolved" if resolved else "open",
            severity="page",
            updated_at=state.upto,
            resolved_at=state.upto if resolved else 0,
            ended_at=state.back.since if resolved else 0,
            now=now,
            depth=1.0 - now / told.before,
            n=events,
            hurt=max(0, round(told.before * seconds - events)),
            version=told.version + 1,
        )
        return state.told

"""One place under watch: all its events and each segment pair, their baselines and CUSUM lines, and its one incident.

While an incident is open, other alarms of the place belong to it: one fault shows in many segments at once. Nothing is
learned meanwhile. All events together may use half of the place's false alarms, the pairs share the other half.
"""

from collections.abc import Callable, Mapping
from math import exp, inf
from typing import NamedTuple

from msgspec import Struct, field

from schemas.incident import Cause, Incident
from schemas.slice import BUCKET_S
from streams.model.detect.baseline import Baseline
from streams.model.detect.calendar import hour_of_week
from streams.model.detect.causes import Pair, Sum, explain
from streams.model.detect.cusum import Run, add, at_zero
from streams.model.detect.incident import Measure, Open, Place, Tally, blank
from streams.model.detect.lines import Lines, Make
from streams.model.detect.tuning import Tuning

ALL: Pair = ("", "")


class Counts(NamedTuple):
    """One bucket of one series: n events; s bad events, or the sum of ln(wait in ms) and ss of its square."""

    n: int
    s: float
    ss: float = 0.0


class Series(Struct):
    """What is kept of one series."""

    segment: str
    value: str
    baseline: Baseline
    runs: list[Run]


class Watched(Struct):
    """The whole state of a `Watch`; write and read it with msgspec."""

    series: list[Series] = field(default_factory=list)
    incident: Open | None = None


class _Known:
    """A series, and what is worked out from it anew when it has changed."""

    __slots__ = ("lines", "ripe", "series")

    def __init__(self, series: Series) -> None:
        self.series = series
        #: By the hour they hold for.
        self.lines: dict[int, Lines | None] = {}
        #: See `Baseline.ripe`.
        self.ripe = -inf

    def learn(self, start: int, tuning: Tuning) -> None:
        """Learn from what has waited long enough when the bucket starts, and was just added to."""
        baseline = self.series.baseline
        if baseline.settled(start, tuning) >= self.ripe:
            if baseline.learn(start, tuning):
                self.lines.clear()
            self.ripe = baseline.ripe(tuning)


class _Alarm(NamedTuple):
    excess: float
    pair: Pair
    line: int
    since: int
    level: float


class Watch:
    """A detector of one place. `make` makes the lines, `enough` says whether a run holds enough evidence to be told."""

    def __init__(
        self,
        place: Place,
        measure: Measure,
        make: Make,
        enough: Callable[[Run], bool],
        tuning: Tuning,
        state: Watched | None = None,
    ) -> None:
        self.state = state or Watched()
        self._place = place
        self._measure = measure
        self._make = make
        self._enough = enough
        self._tuning = tuning
        #: What was usual for each pair when the open incident began.
        self._before: dict[Pair, Sum] | None = None
        self._known = {(item.segment, item.value): _Known(item) for item in self.state.series}

    @property
    def told(self) -> Incident | None:
        """The open incident, as last told."""
        return self.state.incident.told if self.state.incident is not None else None

    def feed(self, start: int, everything: Counts, pairs: Mapping[Pair, Counts]) -> list[Incident]:
        """Take in the settled bucket that starts at `start` (epoch seconds) and give what there is to tell.

        Each bucket once, in time order. `everything` counts all events, `pairs` those of each segment pair; empty
        ones may be left out, also whole buckets.
        """
        hour = hour_of_week(start, self._tuning.time_zone)
        present = [(pair, counts) for pair, counts in ((ALL, everything), *sorted(pairs.items())) if counts.n > 0]
        if not present:
            return []
        if self.state.incident is not None:
            return self._follow(self.state.incident, start, hour, present)
        alarms: list[_Alarm] = []
        fed: list[_Known] = []
        shares, end, tuning = self._measure.counts_bad, start + BUCKET_S, self._tuning
        for pair, counts in present:
            known = self._known.get(pair) or self._find(pair)
            fed.append(known)
            n, s, ss = counts
            baseline, runs = known.series.baseline, known.series.runs
            # No line is armed before, and without a bad event the statistic of a share only falls.
            if baseline.n >= tuning.min_events and (s or not shares or not at_zero(runs)):
                alarms += self._test(pair, known, start, hour, counts)
            baseline.add(start, end, hour, n, s, ss, tuning)
        if alarms:
            return [self._open(alarms, start)]
        for known in fed:
            known.learn(start, tuning)
        return []

    def _find(self, pair: Pair) -> _Known:
        known = self._known.get(pair)
        if known is None:
            baseline = Baseline(kind="share" if self._measure.counts_bad else "wait")
            series = Series(*pair, baseline, [Run() for _ in self._tuning.line_weights])
            self.state.series.append(series)
            # The pairs share what they may use of the false alarms.
            self._forget_lines()
            known = self._known[pair] = _Known(series)
        return known

    def _forget_lines(self) -> None:
        for known in self._known.values():
            known.lines.clear()

    def _lines_of(self, pair: Pair, known: _Known, hour: int) -> Lines | None:
        if hour not in known.lines:
            pairs = len(self._known) - (ALL in self._known)
            part = 1.0 if not pairs else 0.5 if pair == ALL else 0.5 / pairs
            known.lines[hour] = self._make(known.series.baseline, hour, part, self._tuning)
        return known.lines[hour]

    def _test(self, pair: Pair, known: _Known, start: int, hour: int, counts: Counts) -> list[_Alarm]:
        lines = self._lines_of(pair, known, hour)
        if lines is None:
            return []
        total, runs, alarms = lines.within(counts.n, counts.s), known.series.runs, []
        for index in add(runs, lines.up, start, counts.n, total):
            run, line = runs[index], lines.up[index]
            if line is not None and self._enough(run):
                alarms.append(_Alarm(run.value - line.threshold, pair, index, run.since, lines.level))
        return alarms

    def _open(self, alarms: list[_Alarm], start: int) -> Incident:
        """All events speak before a pair does, and the clearest line before the others."""
        alarm = max(alarms, key=lambda item: (item.pair == ALL, item.excess))
        run = self._known[alarm.pair].series.runs[alarm.line]
        tallies = []
        for pair, known in self._known.items():
            taken = known.series.baseline.cut(alarm.since)
            if taken:
                tallies.append(Tally(*pair, sum(piece.n for piece in taken), sum(piece.s for piece in taken)))
        end = start + BUCKET_S
        before = self._measure.shown(alarm.level)
        self.state.incident = incident = Open(
            told=blank(self._measure, self._place, alarm.pair, alarm.since, end, before),
            line=alarm.line,
            level=alarm.level,
            n=run.n,
            s=run.total,
            expected=run.n * alarm.level,
            upto=end,
            tallies=tallies,
            back=Run(),
        )
        return incident.tell(self._measure, self._causes(incident), self._tuning)

    def _follow(self, incident: Open, start: int, hour: int, present: list[tuple[Pair, Counts]]) -> list[Incident]:
        tallies = {(tally.segment, tally.value): tally for tally in incident.tallies}
        incident.upto = start + BUCKET_S
        over = False
        for pair, counts in present:
            known = self._find(pair)
            tally = tallies.get(pair)
            if tally is None:
                tally = Tally(*pair, 0, 0.0)
                incident.tallies.append(tally)
            tally.n += counts.n
            tally.s += counts.s
            if pair == (incident.told.segment, incident.told.segment_value):
                lines = self._lines_of(pair, known, hour)
                if lines is not None:
                    over = incident.add(start, counts.n, lines.within(counts.n, counts.s), lines, self._tuning)
        if over:
            # The sums hold the time since it ended too: what was last said of the causes is nearer to it.
            causes = incident.told.causes or self._causes(incident)
            message = incident.tell(self._measure, causes, self._tuning, resolved=True)
            self._close(start + BUCKET_S)
            return [message]
        if incident.is_due(self._measure, self._tuning):
            return [incident.tell(self._measure, self._causes(incident), self._tuning)]
        return []

    def _close(self, now: int) -> None:
        self.state.incident = self._before = None
        for known in self._known.values():
            known.series.baseline.skip(now)
            # What is pending is not what it was when the incident began.
            known.ripe = -inf
            for run in known.series.runs:
                run.clear()
        # What was learned has aged meanwhile.
        self._forget_lines()

    def _causes(self, incident: Open) -> tuple[Cause, ...]:
        """What explains the change of all events; while the whole is not known, nothing."""
        whole = self._known[ALL].series if ALL in self._known else None
        now = {(tally.segment, tally.value): Sum(tally.n, tally.s) for tally in incident.tallies}
        all_now = now.pop(ALL, None)
        if whole is None or all_now is None or whole.baseline.n <= 0.0:
            return ()
        level = all_now.s / all_now.n
        hour = hour_of_week(incident.told.since, self._tuning.time_zone)
        if self._measure.counts_bad:
            variance = level * (1.0 - level)
        else:
            variance = whole.baseline.level(hour, self._tuning).sigma ** 2
        return explain(
            self._usual(whole.baseline),
            now,
            Sum(whole.baseline.n, whole.baseline.s),
            all_now,
            variance=variance,
            shown=self._measure.shown,
            least=self._tuning.min_explained,
            most=self._tuning.max_causes,
        )

    def _usual(self, whole: Baseline) -> dict[Pair, Sum]:
        """The learned sums of every pair, faded to the time of the whole; nothing changes them during an incident."""
        if self._before is None:
            self._before = {
                pair: self._faded(known.series.baseline, whole.upto)
                for pair, known in self._known.items()
                if pair != ALL and known.series.baseline.n > 0.0
            }
        return self._before

    def _faded(self, baseline: Baseline, upto: int) -> Sum:
        """The learned sums of a pair, faded to the time of the whole."""
        fade = exp(-max(upto - baseline.upto, 0) / self._tuning.level_memory_s)
        return Sum(baseline.n * fade, baseline.s * fade)

"""Congestion: waits of a transition rose, or journeys pile up at a touchpoint."""

from collections.abc import Mapping
from math import exp

from schemas.incident import Incident
from streams.model.detect.causes import Pair
from streams.model.detect.cusum import Run
from streams.model.detect.incident import Measure, Place
from streams.model.detect.lines import share_lines, wait_lines
from streams.model.detect.tuning import Tuning
from streams.model.detect.watch import Counts, Watch, Watched

WAITS = Measure(
    kind="congestion",
    measured="wait",
    unit="ms",
    shown=exp,
    points=False,
    counts_bad=False,
    hurt=lambda n, total, expected: n,
)
PILE_UP = Measure(
    kind="congestion",
    measured="pile_up",
    unit="arrivals_per_departure",
    shown=lambda share: share / max(1.0 - share, 1e-9),
    points=False,
    counts_bad=True,
    hurt=lambda n, arrivals, expected: 2.0 * arrivals - n,
)


class WaitDetector:
    """Watches the log waits of one transition, and of each segment pair of it."""

    def __init__(
        self, tenant: str, touchpoint: str, following: str, tuning: Tuning, state: Watched | None = None
    ) -> None:
        self._watch = Watch(Place(tenant, touchpoint, following), WAITS, wait_lines, self._enough, tuning, state)
        self._min_waits = tuning.min_waits

    @property
    def state(self) -> Watched:
        """Everything it knows; hand it to a new detector to go on."""
        return self._watch.state

    @property
    def incident(self) -> Incident | None:
        """The open incident, as last told."""
        return self._watch.told

    def feed(self, start: int, waits: Counts, pairs: Mapping[Pair, Counts]) -> list[Incident]:
        """A settled bucket, once and in time order, of all and of each segment pair.

        `n` waits, `s` the sum of ln(max(wait, 1 ms)) in ms, `ss` the sum of its square.
        """
        return self._watch.feed(start, waits, pairs)

    def _enough(self, run: Run) -> bool:
        return run.n >= self._min_waits


class PileUpDetector:
    """Watches the share of arrivals among arrivals and departures of one touchpoint: above a half, work piles up.

    Where departures were independent of arrivals, each would be as likely the next; really they follow them, so that
    the balance wanders less and false alarms are rarer than the knob says.
    """

    def __init__(self, tenant: str, touchpoint: str, tuning: Tuning, state: Watched | None = None) -> None:
        self._watch = Watch(Place(tenant, touchpoint), PILE_UP, share_lines, self._enough, tuning, state)
        self._min_growth = tuning.min_growth

    @property
    def state(self) -> Watched:
        """Everything it knows; hand it to a new detector to go on."""
        return self._watch.state

    @property
    def incident(self) -> Incident | None:
        """The open incident, as last told."""
        return self._watch.told

    def feed(self, start: int, arrivals: int, departures: int, pairs: Mapping[Pair, tuple[int, int]]) -> list[Incident]:
        """A settled bucket, once and in time order.

        `arrivals`: transitions into the touchpoint; `departures`: out of it, goals, stalls and abandonments included,
        less those resumed. `pairs`: the same two numbers for each segment pair.
        """
        return self._watch.feed(
            start,
            Counts(arrivals + departures, arrivals),
            {pair: Counts(came + left, came) for pair, (came, left) in pairs.items()},
        )

    def _enough(self, run: Run) -> bool:
        return 2.0 * run.total - run.n >= self._min_growth

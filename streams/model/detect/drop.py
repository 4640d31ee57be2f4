"""Drops: the share of negative events of a touchpoint rose, or that of broken promises."""

from collections.abc import Mapping

from schemas.incident import Incident
from streams.model.detect.causes import Pair
from streams.model.detect.cusum import Run
from streams.model.detect.incident import Measure, Place
from streams.model.detect.lines import share_lines
from streams.model.detect.tuning import Tuning
from streams.model.detect.watch import Counts, Watch, Watched

NEGATIVE = Measure(
    kind="drop",
    measured="negative",
    unit="share",
    shown=lambda share: share,
    points=True,
    counts_bad=True,
    hurt=lambda n, bad, expected: bad - expected,
)
BROKEN = NEGATIVE._replace(measured="broken_promise")


class DropDetector:
    """Watches the share of bad events at one touchpoint, and of each segment pair.

    With the measure `NEGATIVE` these are the negative ones among the scored events, with `BROKEN` the broken promises
    among those made: an experience may still be fair while the company has stopped keeping its word.
    """

    def __init__(
        self, tenant: str, touchpoint: str, tuning: Tuning, state: Watched | None = None, measure: Measure = NEGATIVE
    ) -> None:
        self._watch = Watch(Place(tenant, touchpoint), measure, share_lines, self._enough, tuning, state)
        self._min_bad = tuning.min_bad

    @property
    def state(self) -> Watched:
        """Everything it knows; hand it to a new detector to go on."""
        return self._watch.state

    @property
    def incident(self) -> Incident | None:
        """The open incident, as last told."""
        return self._watch.told

    def feed(self, start: int, n: int, bad: int, pairs: Mapping[Pair, tuple[int, int]]) -> list[Incident]:
        """A settled bucket, once and in time order: events and bad ones, of all and of each segment pair."""
        return self._watch.feed(start, Counts(n, bad), {pair: Counts(*counts) for pair, counts in pairs.items()})

    def _enough(self, run: Run) -> bool:
        return run.total >= self._min_bad

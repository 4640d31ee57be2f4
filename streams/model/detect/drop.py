"""Drops: the share of negative events of a touchpoint rose."""

from collections.abc import Mapping

from schemas.incident import Incident
from streams.model.detect.causes import Pair
from streams.model.detect.cusum import Run
from streams.model.detect.incident import Measure, Place
from streams.model.detect.lines import share_lines
from streams.model.detect.tuning import Tuning
from streams.model.detect.watch import Counts, Watch, Watched

MEASURE = Measure(
    kind="drop",
    unit="share",
    shown=lambda share: share,
    points=True,
    counts_bad=True,
    hurt=lambda n, bad, expected: bad - expected,
)


class DropDetector:
    """Watches the share of negatives among the scored events of one touchpoint, and of each segment pair."""

    def __init__(self, tenant: str, touchpoint: str, tuning: Tuning, state: Watched | None = None) -> None:
        self._watch = Watch(Place(tenant, touchpoint), MEASURE, share_lines, self._enough, tuning, state)
        self._min_bad = tuning.min_bad

    @property
    def state(self) -> Watched:
        """Everything it knows; hand it to a new detector to go on."""
        return self._watch.state

    def feed(self, start: int, scored: int, negative: int, pairs: Mapping[Pair, tuple[int, int]]) -> list[Incident]:
        """A settled bucket, once and in time order: scored and negative events of all, and of each segment pair."""
        return self._watch.feed(
            start, Counts(scored, negative), {pair: Counts(n, bad) for pair, (n, bad) in pairs.items()}
        )

    def _enough(self, run: Run) -> bool:
        return run.total >= self._min_bad

"""The worker's metrics: every name in one place, base units, all starting with `corredor_`."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from schemas.incident import Incident
from schemas.score import Score

EVENTS = Counter(
    "corredor_events", "Events by what became of them; accepted + rejected + duplicate = published", ["state"]
)
REJECTED = Counter("corredor_rejected_events", "Rejected events by reason", ["reason"])
UNMAPPED = Counter("corredor_unmapped_events", "Accepted events at touchpoints that the corridor map does not name")
FORGOTTEN = Counter("corredor_forgotten_journeys", "Journeys whose names were erased on request")
LATE = Counter("corredor_late_events", "Accepted events later than the map's allowed lateness behind their source")
BATCH_RECORDS = Histogram(
    "corredor_batch_records", "Records in one micro-batch", buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
)
BATCH_SECONDS = Histogram(
    "corredor_batch_processing_seconds",
    "Time to apply one micro-batch",
    buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
)
CHECKPOINT_SECONDS = Histogram(
    "corredor_checkpoint_seconds",
    "Time from taking a checkpoint to its commit",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
LAST_CHECKPOINT = Gauge("corredor_last_checkpoint_timestamp_seconds", "When the last checkpoint was committed")
LAG = Gauge("corredor_lag_records", "Records not yet applied", ["topic", "partition"])
LAST_EVENT = Gauge("corredor_source_last_event_timestamp_seconds", "Newest event time seen from a source", ["source"])
WATERMARK = Gauge("corredor_watermark_timestamp_seconds", "Smallest event time still expected", ["partition"])
RESTORE_SECONDS = Gauge("corredor_restore_seconds", "Time the last reading back of a partition's state took")
STATE_VALUES = Gauge("corredor_state_values", "Journeys and open slices held in memory", ["kind"])
SCORES_TOO_LATE = Counter("corredor_scores_too_late_slices", "Slices older than the longest window keeps")
DETECT_TOO_LATE = Counter("corredor_detect_too_late_slices", "Slices of buckets that the detectors had already seen")
DETECT_LEFT_OUT = Counter(
    "corredor_detect_left_out", "Times that a place or segment pair was not watched because there are too many"
)
CONTACTS = Counter(
    "corredor_contacts",
    "Scored contacts in settled buckets, each once; what was settled an hour or more late is left out",
    ["tenant", "touchpoint", "stage"],
)
NEGATIVE_CONTACTS = Counter(
    "corredor_negative_contacts", "Those of corredor_contacts that were negative", ["tenant", "touchpoint", "stage"]
)
IMPORTANCE = Gauge("corredor_touchpoint_importance", "Weight of a touchpoint in the journey's score", ["touchpoint"])


_shown: set[tuple[str, int]] = set()


def show_lag(lag: Mapping[tuple[str, int], int]) -> None:
    """Set the lag of every partition owned, and forget the others'. From one thread only."""
    for place in _shown - lag.keys():
        LAG.remove(*place)
        _shown.discard(place)
    for place, records in lag.items():
        LAG.labels(*place).set(records)
        _shown.add(place)


class WeightedHistogram(Collector):
    """A histogram that takes a value with a count, so that one observation can stand for a batch."""

    def __init__(self, name: str, documentation: str, bounds: tuple[float, ...]) -> None:
        self._name, self._documentation, self._bounds = name, documentation, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count `value` (in the metric's base unit) `count` times."""
        index = 0
        for bound in self._bounds:
            if value <= bound:
                break
            index += 1
        self._counts[index] += count
        self._sum += value * count

    def collect(self) -> Iterator[Metric]:
        """The family as Prometheus reads it."""
        buckets, total = [], 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)


LATENESS = WeightedHistogram(
    "corredor_lateness_seconds",
    "Time from an event to its recording at the source",
    (1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0, 604800.0),
)
END_TO_END = WeightedHistogram(
    "corredor_end_to_end_seconds",
    "Time from an event's arrival in Kafka to its durable results",
    (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class ScoreCollector(Collector):
    """The current window scores as gauges, computed when they are scraped. Unknown scores have no sample."""

    def __init__(self) -> None:
        self.current: Callable[[], Iterable[Score]] = list

    def collect(self) -> Iterator[Metric]:
        """Scores and shares of every scope and window, over all segments."""
        labels = ["tenant", "scope", "name", "window"]
        score = GaugeMetricFamily("corredor_score", "Experience score, 0 to 100", labels=labels)
        low = GaugeMetricFamily("corredor_score_low", "Lower end of the score's 95 % interval", labels=labels)
        high = GaugeMetricFamily("corredor_score_high", "Upper end of the score's 95 % interval", labels=labels)
        negative = GaugeMetricFamily("corredor_negative_ratio", "Share of negative events, 0 to 1", labels=labels)
        events = GaugeMetricFamily("corredor_score_events", "Scored events in the window", labels=labels)
        for row in self.current():
            if row.segment:
                continue
            values = [row.tenant, row.scope, row.name, row.window]
            events.add_metric(values, row.scored)
            for family, value in (
                (score, row.score),
                (low, row.score_low),
                (high, row.score_high),
                (negative, row.negative),
            ):
                if value is not None:
                    family.add_metric(values, value)
        yield from (score, low, high, negative, events)


class IncidentCollector(Collector):
    """The open incidents as gauges: what alerts are made of. A sample is gone once its incident is resolved."""

    def __init__(self) -> None:
        self.current: Callable[[], Iterable[Incident]] = list
        #: Tenant, source and touchpoint: what silent sources feed.
        self.cut_off: Callable[[], Iterable[tuple[str, str, str]]] = list

    def collect(self) -> Iterator[Metric]:
        """What alerts say. Causes stand apart: one that changes must not make a new alert."""
        labels = ["id", "tenant", "kind", "measure", "touchpoint", "following", "segment", "segment_value", "severity"]

        def family(name: str, documentation: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"corredor_incident_{name}", documentation, labels=labels)

        depth = family("depth", "How much worse: points of a share, or ratio to the usual")
        before = family(
            "before", "The usual level: a share, milliseconds, arrivals per departure, or events per second"
        )
        now = family("now", "The level since it began, in the same unit")
        hurt = family("hurt", "Events or journeys hurt beyond what is usual")
        since = family("since_timestamp_seconds", "When the change most likely began")
        cause = GaugeMetricFamily(
            "corredor_incident_cause_ratio",
            "Share of the change that a segment value explains",
            labels=["id", "tenant", "segment", "value"],
        )
        for row in self.current():
            place = (row.touchpoint, row.following, row.segment, row.segment_value)
            values = [row.id, row.tenant, row.kind, row.measure, *place, row.severity]
            for gauge, value in (
                (depth, row.depth),
                (before, row.before),
                (now, row.now),
                (hurt, row.hurt),
                (since, row.since),
            ):
                gauge.add_metric(values, value)
            for one in row.causes:
                cause.add_metric([row.id, row.tenant, one.segment, one.value], one.explained)
        cut_off = GaugeMetricFamily(
            "corredor_cut_off",
            "1: a source that feeds the touchpoint is silent",
            labels=["tenant", "source", "touchpoint"],
        )
        for silent in self.cut_off():
            cut_off.add_metric(silent, 1)
        yield from (depth, before, now, hurt, since, cause, cut_off)


SCORES = ScoreCollector()
INCIDENTS = IncidentCollector()
for _collector in (LATENESS, END_TO_END, SCORES, INCIDENTS):
    REGISTRY.register(_collector)

"""What the metrics of the running system say: processes, lag, events and scores, from Prometheus' text format."""

from dataclasses import dataclass, field, replace

#: Tenant, scope (touchpoint, channel, stage or corridor), name.
ScoreOf = tuple[str, str, str]
#: Metric name to field of `ScoreNow`.
_SCORE_FIELDS = {
    "corredor_score": "score",
    "corredor_score_low": "low",
    "corredor_score_high": "high",
    "corredor_negative_ratio": "negative",
    "corredor_score_events": "events",
}


@dataclass(frozen=True, slots=True)
class ScoreNow:
    """The score of one window. None is unknown: too few events."""

    #: Scored events in the window.
    events: float = 0.0
    #: 0 to 100, with the ends of its 95 % interval.
    score: float | None = None
    low: float | None = None
    high: float | None = None
    #: Share of negative events, 0 to 1.
    negative: float | None = None


@dataclass(slots=True)
class Process:
    """One process of the run."""

    up: bool = False
    restarts: int = 0
    #: When its last checkpoint was committed, epoch seconds; 0 where it makes none, or has not yet.
    last_checkpoint: float = 0.0


@dataclass(slots=True)
class Figures:
    """The figures of one scrape, added up over processes and partitions."""

    processes: dict[str, Process] = field(default_factory=dict)
    #: Records not yet handled: by topic, then `worker` or `sink`.
    lag: dict[str, dict[str, float]] = field(default_factory=dict)
    #: Events by state, and rejected ones by reason.
    events: dict[str, float] = field(default_factory=dict)
    rejected: dict[str, float] = field(default_factory=dict)
    #: By what is scored, then by window: 5m, 1h, 24h.
    scores: dict[ScoreOf, dict[str, ScoreNow]] = field(default_factory=dict)

    def score(self, tenant: str, touchpoint: str, window: str = "5m") -> ScoreNow:
        """The score of a touchpoint; unknown where the metrics do not name it."""
        return self.scores.get((tenant, "touchpoint", touchpoint), {}).get(window, ScoreNow())


def read_figures(text: str) -> Figures:
    """The figures of a /metrics page. Raises ValueError if it is none."""
    from prometheus_client.parser import text_string_to_metric_families

    from streams.runtime.federation import LABEL, RESTARTS, UP

    found = Figures()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            label, name, value = sample.labels, sample.name, sample.value
            if name in _SCORE_FIELDS:
                windows = found.scores.setdefault((label["tenant"], label["scope"], label["name"]), {})
                known = windows.get(label["window"], ScoreNow())
                windows[label["window"]] = replace(known, **{_SCORE_FIELDS[name]: value})
            elif name == UP:
                found.processes.setdefault(label[LABEL], Process()).up = value == 1
            elif name == f"{RESTARTS}_total":
                found.processes.setdefault(label[LABEL], Process()).restarts = int(value)
            elif name == "corredor_last_checkpoint_timestamp_seconds" and LABEL in label:
                found.processes.setdefault(label[LABEL], Process()).last_checkpoint = value
            elif name in ("corredor_lag_records", "corredor_sink_lag_records"):
                _add(found.lag.setdefault(label["topic"], {}), "sink" if "sink" in name else "worker", value)
            elif name == "corredor_events_total":
                _add(found.events, label["state"], value)
            elif name == "corredor_rejected_events_total":
                _add(found.rejected, label["reason"], value)
    return found


def _add(counts: dict[str, float], name: str, value: float) -> None:
    counts[name] = counts.get(name, 0.0) + value

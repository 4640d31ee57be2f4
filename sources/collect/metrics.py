"""The collector's Prometheus metrics: every name it exposes is here. Base units: seconds, bytes."""

from prometheus_client import Counter, Gauge, Histogram

ACCEPTED = Counter(
    "corredor_collect_accepted_events", "Events that Kafka has acknowledged, by key and mode.", ["key", "mode"]
)
REFUSED = Counter(
    "corredor_collect_refused_requests", "Requests not taken, by status and reason.", ["status", "reason"]
)
REFUSED_EVENTS = Counter("corredor_collect_refused_events", "Events that broke the contract, by reason.", ["reason"])
IGNORED = Counter("corredor_collect_ignored_webhooks", "Webhooks that their mapping makes no event of.", ["hook"])
SECONDS = Histogram(
    "corredor_collect_request_seconds",
    "From a request's headers to its answer, Kafka's acknowledgement included.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
IN_FLIGHT = Gauge("corredor_collect_in_flight_bytes", "Events handed to the Kafka client and not yet acknowledged.")

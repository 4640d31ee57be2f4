"""The sink's Prometheus metrics: every name the sink exposes is here. Base units: seconds, bytes."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_END_TO_END = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

ROWS = Counter("corredor_sink_rows", "Rows written to ClickHouse, replays included.", ["table"])
BYTES = Counter("corredor_sink_bytes", "Bytes of JSON written to ClickHouse.", ["table"])
INSERTS = Counter("corredor_sink_inserts", "Batches written to ClickHouse.", ["table"])
INSERT_SECONDS = Histogram(
    "corredor_sink_insert_seconds", "Time of one insert, failed ones included.", ["table"], buckets=_SECONDS
)
RETRIES = Counter("corredor_sink_retries", "Inserts put off, by the name of ClickHouse's error.", ["table", "code"])
REFUSED_ROWS = Counter("corredor_sink_refused_rows", "Rows that ClickHouse refused for good.", ["table"])
BUFFERED_ROWS = Gauge("corredor_sink_buffered_rows", "Rows read from Kafka and not yet written.", ["table"])
LAG = Gauge("corredor_sink_lag_records", "Records in Kafka that the sink has not acknowledged.", ["topic", "partition"])
COMMIT_FAILURES = Counter("corredor_sink_commit_failures", "Acknowledgements that Kafka did not take; made up later.")
END_TO_END_SECONDS = Histogram(
    "corredor_sink_end_to_end_seconds",
    "From the message's Kafka timestamp to its row visible in ClickHouse; an even sample of each batch.",
    ["table"],
    buckets=_END_TO_END,
)
LAST_WRITE = Gauge("corredor_sink_last_write_timestamp_seconds", "When a batch was last written, Unix time.", ["table"])

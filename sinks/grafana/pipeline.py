"""The dashboard `pipeline`: whether everything arrives, how fast, and what is in the way."""

from sinks.grafana.model import ALARM_STEPS, Json, dashboard, heading, lines, number, prom, rows, table
from sinks.prometheus import names

_TABLES = """
SELECT table, sum(rows) AS stored_rows, count() AS parts, sum(bytes_on_disk) AS bytes_on_disk
FROM system.parts
WHERE database = 'corredor' AND active
GROUP BY table
ORDER BY bytes_on_disk DESC
"""
_REJECTIONS = "SELECT reason, source, open, repaired, first_at, last_at, example FROM corredor.rejections_by_reason"
_INSERTS = "sum by (le, table) (rate(corredor_sink_insert_seconds_bucket[$__rate_interval]))"


def _rate(metric: str, by: str) -> Json:
    return prom(f"sum by ({by}) (rate({metric}[$__rate_interval]))", f"{{{{{by}}}}}")


def _quantiles(histogram: str) -> list[Json]:
    """Median and tails of a histogram over all processes."""
    grown = f"sum by (le) (rate({histogram}_bucket[$__rate_interval]))"
    return [prom(f"histogram_quantile({q}, {grown})", f"p{round(100 * q)}") for q in (0.5, 0.95, 0.99)]


def pipeline() -> Json:
    """Throughput, lag, delays, rejections, and the state of workers, sinks and the collector."""
    return dashboard(
        "corredor-pipeline",
        "Corredor: pipeline",
        "Whether everything arrives, how fast, and what is in the way.",
        [
            number(
                "Processes down", prom(f"count({names.PROCESS_UP} == 0) or vector(0)"), steps=ALARM_STEPS, base="green"
            ),
            number("Events per second", prom(f"sum(rate({names.EVENTS}[$__rate_interval]))"), unit="reqps"),
            number("Events not yet applied", prom(f"sum({names.LAG})")),
            number("Records not yet in ClickHouse", prom(f"sum({names.SINK_LAG})")),
            lines("Events by what became of them", _rate(names.EVENTS, "state"), unit="reqps", stacked=True),
            lines("Rejected by reason", _rate(names.REJECTED, "reason"), unit="reqps"),
            lines("Arrival to durable results", *_quantiles("corredor_end_to_end_seconds"), unit="s"),
            lines("Arrival to row in ClickHouse", *_quantiles("corredor_sink_end_to_end_seconds"), unit="s"),
            heading("Workers"),
            lines("Lag", prom(f"sum by (topic) ({names.LAG})", "{{topic}}")),
            lines(
                "Age of the last checkpoint",
                prom(f"time() - {names.LAST_CHECKPOINT}", "{{process}} {{instance}}"),
                unit="s",
            ),
            lines("Checkpoints", *_quantiles("corredor_checkpoint_seconds"), unit="s"),
            lines(
                "Watermark behind the clock",
                prom("time() - corredor_watermark_timestamp_seconds", "{{partition}}"),
                unit="s",
                about="Smallest event time still expected, by partition.",
            ),
            lines(
                "Records a batch",
                prom(
                    "sum(rate(corredor_batch_records_sum[$__rate_interval])) / "
                    "sum(rate(corredor_batch_records_count[$__rate_interval]))",
                    "mean",
                ),
            ),
            lines(
                "State", prom("sum by (kind) (corredor_state_values)", "{{kind}}"), about="Journeys and open slices."
            ),
            lines(
                "Late and unmapped events",
                prom("sum(rate(corredor_late_events_total[$__rate_interval]))", "late"),
                prom("sum(rate(corredor_unmapped_events_total[$__rate_interval]))", "not on the map"),
                unit="reqps",
            ),
            lines(
                "Waiting for others",
                _rate(names.WAITING, "for"),
                unit="percentunit",
                about="Share of the time spent waiting for Kafka, ClickHouse or another process.",
            ),
            heading("Sinks"),
            lines("Rows written", _rate("corredor_sink_rows_total", "table"), unit="wps", stacked=True),
            lines(
                "Time of an insert, 95th percentile",
                prom(
                    f"histogram_quantile(0.95, {_INSERTS})",
                    "{{table}}",
                ),
                unit="s",
            ),
            lines(
                "Inserts put off",
                _rate("corredor_sink_retries_total", "code"),
                about="By the name of ClickHouse's error.",
            ),
            lines(
                "Rows waiting and refused",
                prom("sum by (table) (corredor_sink_buffered_rows)", "waiting {{table}}"),
                prom(
                    "sum by (table) (increase(corredor_sink_refused_rows_total[$__rate_interval]))", "refused {{table}}"
                ),
            ),
            heading("Collector"),
            lines("Events accepted", _rate("corredor_collect_accepted_events_total", "mode"), unit="reqps"),
            lines("Requests refused", _rate("corredor_collect_refused_requests_total", "reason"), unit="reqps"),
            heading("Data"),
            table("Rejected events", rows(_REJECTIONS), about="`corredor repair` sends them again."),
            table("Tables", rows(_TABLES)),
        ],
        refresh="10s",
        span="now-1h",
    )

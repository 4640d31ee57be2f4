"""The page of metrics: every family that our processes expose, its type, labels and help."""

from collections.abc import Iterator
from types import ModuleType

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

import sinks.metrics
import sources.collect.metrics
import streams.runtime.metrics
from scripts.reference.markdown import code, sentence, table
from scripts.reference.markdown import page as whole
from streams.runtime.federation import LABEL, Federation
from streams.runtime.waiting import WAITS

_INTRODUCTION = """Workers, sinks and collectors serve `/metrics` in Prometheus' text format. `corredor run` serves
those of all its processes on one port (`CORREDOR_METRICS_PORT`), each with the label `process`. Base units: seconds,
bytes, records, and shares from 0 to 1; scores are 0 to 100. A histogram has `_bucket`, `_sum` and `_count`. Beside
these there are the process's own (`process_...`, `python_...`). What alerts are made of them:
[objectives](../objectives.md), [alerting](../alerting.md)."""


def page() -> str:
    """All metrics, by process."""
    supervisor = [(family, (LABEL,)) for family in Federation(dict).collect()]
    parts = (
        ("Worker", list(_families(streams.runtime.metrics))),
        ("Sink", list(_families(sinks.metrics))),
        ("Collector", list(_families(sources.collect.metrics))),
        ("Worker and sink", list(_collected(WAITS))),
        ("`corredor run`", supervisor),
    )
    sections = [
        f"## {heading}\n\n" + table(("metric", "type", "labels", "what it is"), [_row(*one) for one in families])
        for heading, families in parts
    ]
    return whole("Metrics", _INTRODUCTION, *sections)


def _families(module: ModuleType) -> Iterator[tuple[Metric, tuple[str, ...]]]:
    """The families of a module with their labels, in its order."""
    for value in {id(value): value for value in vars(module).values()}.values():
        if isinstance(value, MetricWrapperBase):
            (family,) = value.describe()
            yield family, value._labelnames
        elif hasattr(value, "collect") and not isinstance(value, type | CollectorRegistry):
            yield from _collected(value)


def _collected(collector: Collector) -> Iterator[tuple[Metric, tuple[str, ...]]]:
    for family in collector.collect():
        yield family, getattr(family, "_labelnames", ())


def _row(family: Metric, labels: tuple[str, ...]) -> tuple[str, str, str, str]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return code(name), family.type, ", ".join(map(code, labels)), sentence(family.documentation)

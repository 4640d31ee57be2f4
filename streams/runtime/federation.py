"""One /metrics for a group of processes: each one's samples, with a label that names the process."""

from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

LABEL = "process"
UP = "corredor_process_up"
RESTARTS = "corredor_process_restarts"
_TIMEOUT_S = 2.0


def get(url: str, timeout_s: float = _TIMEOUT_S) -> tuple[int, str]:
    """Status and text of a URL; status 0 and what went wrong when nothing answers."""
    try:
        with urlopen(url, timeout=timeout_s) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (OSError, HTTPException) as error:
        return 0, f"{url} does not answer: {error}"


class Federation(Collector):
    """Collects the metrics of processes at scrape time. `targets` gives base URL and restarts by process name."""

    def __init__(self, targets: Callable[[], Mapping[str, tuple[str, int]]]) -> None:
        self._targets = targets
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The whole in Prometheus' text format."""
        return generate_latest(self._registry)

    def joined(self, path: str) -> bytes:
        """The JSON lists that the processes have at `path`, as one."""
        answers = [get(f"{url}{path}") for url, _ in self._targets().values()]
        return msgspec.json.encode(
            [one for status, text in answers if status == 200 for one in msgspec.json.decode(text)]
        )

    def describe(self) -> list[Metric]:
        """Nothing is known before a scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Families merged by name over all processes that answer, and whether each does."""
        up = GaugeMetricFamily(UP, "1 while the process answers, else 0", labels=[LABEL])
        restarts = Metric(RESTARTS, "Times the process was started again", "counter")
        merged: dict[str, Metric] = {}
        for process, (url, count) in self._targets().items():
            status, text = get(f"{url}/metrics")
            up.add_metric([process], float(status == 200))
            restarts.add_sample(f"{RESTARTS}_total", {LABEL: process}, count)
            if status != 200:
                continue
            for family in text_string_to_metric_families(text):
                whole = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    whole.add_sample(sample.name, {**sample.labels, LABEL: process}, sample.value)
        yield from (up, restarts)
        yield from merged.values()

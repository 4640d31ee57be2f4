"""What the detect agent shows in /metrics: settled contacts of now, open incidents, what silent sources feed."""

import asyncio
import time
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from schemas import topics
from schemas.incident import Cause
from schemas.slice import Progress, Slice
from streams.agents import detect
from streams.agents.detect import DetectTask
from streams.runtime import metrics
from streams.runtime.positions import Positions
from streams.runtime.settings import load_settings
from tests.builders import Record, corridor
from tests.sinks.rows import slice_
from tests.sinks.test_incident_views import incident

LANE = "touchpoint.events/0"


class NoLog:
    """A state log that nobody reads."""

    def __init__(self, *_: Any) -> None: ...

    def upgrade(self, *_: Any) -> None:
        """There is nothing to upgrade."""


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> DetectTask:
    monkeypatch.setattr(detect, "read_back", lambda *_: {})
    monkeypatch.setattr(detect, "StateLog", NoLog)
    found = DetectTask(load_settings(kafka="localhost:1"), corridor(), [LANE])
    asyncio.run(found.assign([0], Positions({}, {}, False), lambda: True))
    return found


def give(task: DetectTask, messages: list[Slice | Progress], first: int = 0) -> None:
    records = [Record(first + n, 0, b"key" + bytes([n]), msgspec.json.encode(one)) for n, one in enumerate(messages)]
    assert asyncio.run(task.apply(topics.SLICES.name, 0, records)) == len(records)


def counted(name: str, touchpoint: str, stage: str = "during") -> float:
    labels = {"tenant": "metrics", "touchpoint": touchpoint, "stage": stage}
    return REGISTRY.get_sample_value(f"corredor_{name}_total", labels) or 0.0


def felt(touchpoint: str, bucket: int, **changes: Any) -> Slice:
    return slice_(tenant="metrics", touchpoint=touchpoint, bucket=bucket, **{"n": 20, "scored": 18, **changes})


def test_settled_contacts_are_counted_once_and_without_segments(task: DetectTask) -> None:
    now = int(time.time()) // 10 * 10 - 60
    whole = felt("web.cart", now, negative=3)
    part = felt("web.cart", now, negative=2, segment="region", segment_value="north")
    give(task, [whole, part])
    assert counted("contacts", "web.cart") == 0, "not settled yet"
    give(task, [Progress(LANE, 1, now + 10.0)], first=2)
    assert (counted("contacts", "web.cart"), counted("negative_contacts", "web.cart")) == (18, 3)
    give(task, [whole, Progress(LANE, 2, now + 20.0)], first=3)
    assert counted("contacts", "web.cart") == 18, "a slice that comes again is too late"


def test_a_flood_of_history_is_not_counted(task: DetectTask) -> None:
    old = int(time.time()) // 10 * 10 - 7200
    give(task, [felt("web.old", old, negative=18), Progress(LANE, 1, old + 10.0)])
    assert counted("contacts", "web.old") == 0


def test_stages_of_one_touchpoint_are_counted_apart(task: DetectTask) -> None:
    now = int(time.time()) // 10 * 10 - 60
    give(task, [felt("web.help", now), felt("web.help", now, stage="after"), Progress(LANE, 1, now + 10.0)])
    assert (counted("contacts", "web.help"), counted("contacts", "web.help", "after")) == (18, 18)


def test_incidents_and_their_causes_are_gauges_that_go(monkeypatch: pytest.MonkeyPatch) -> None:
    cause = Cause("carrier", "acme", 0.9, 0.16, 0.0, 0.02, 0.3, 60)
    monkeypatch.setattr(metrics.INCIDENTS, "current", lambda: [incident(status="open", causes=(cause,))])
    monkeypatch.setattr(metrics.INCIDENTS, "cut_off", lambda: [("default", "shop", "checkout")])
    found = {family.name: family.samples for family in metrics.INCIDENTS.collect()}
    assert [sample.value for sample in found["corredor_incident_depth"]] == [0.18]
    labels = found["corredor_incident_now"][0].labels
    assert (labels["touchpoint"], labels["severity"], labels["measure"]) == ("checkout", "page", "negative")
    assert found["corredor_incident_cause_ratio"][0].labels["value"] == "acme"
    assert found["corredor_cut_off"][0].labels == {"tenant": "default", "source": "shop", "touchpoint": "checkout"}
    monkeypatch.setattr(metrics.INCIDENTS, "current", list)
    assert not any(family.samples for family in metrics.INCIDENTS.collect() if family.name != "corredor_cut_off")


def test_open_incidents_are_shown_with_their_runbook_and_query(
    task: DetectTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "open", lambda: [incident(status="open")])
    (shown,) = msgspec.json.decode(task.open_with_links())
    assert (shown["touchpoint"], shown["depth"]) == ("checkout", 0.18)
    assert shown["links"]["runbook"] == "docs/runbooks/CorredorDrop.md"
    assert "band = 'negative'" in shown["links"]["sql"]

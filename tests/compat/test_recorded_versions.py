"""This version goes on from what earlier ones left in Kafka, and ends where one that did it all would end.

A test that fails here after a change of what is stored: raise the format and add a step (streams/model/state_format.py,
docs/upgrading.md). Recordings are never made anew for a version that is out.
"""

import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import pytest

from schemas import topics
from schemas.event import TouchpointEvent
from schemas.loader import load_map
from streams.model.state_format import DETECT, INGEST, KEY
from streams.runtime.local import LocalKafka
from streams.runtime.settings import load_settings
from streams.runtime.state_log import read_back
from streams.runtime.supervisor import free_port
from tests.chaos.feed import Feed, Message
from tests.chaos.judge import Judge
from tests.chaos.ledger import Ledger
from tests.chaos.publisher import NUMBER
from tests.chaos.system import System
from tests.compat.recording import FOLDER, WHOLE, Recording
from tests.conftest import SLOWNESS
from tests.pipeline import walks
from tests.pipeline.drained import wait_until_drained

VERSIONS = sorted(folder.name for folder in FOLDER.iterdir() if (folder / "recording.msgpack.xz").exists())
_PATIENCE_S = 30.0 * SLOWNESS


class _Published(NamedTuple):
    """What stood in `touchpoint.events`, in the place of the feed that made it."""

    messages: list[Message]


def test_every_recording_was_cut_short_in_the_middle_of_its_work() -> None:
    assert VERSIONS
    for version in VERSIONS:
        recorded = Recording.load(version)
        for topic in WHOLE:
            counts = [len(log) for log in recorded.logs[topic]]
            assert sum(recorded.positions[topic]) < sum(counts), f"{version}: {topic} was read to its end"
        assert sum(recorded.positions[topics.EVENTS.name]) > 0
        assert any(recorded.logs[topics.STATE_INGEST.name])


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_an_earlier_version_left_is_gone_on_with_and_the_result_is_exact(
    local_kafka: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    recorded = Recording.load(version)
    corridor_map = tmp_path / "map.yaml"
    corridor_map.write_text(recorded.map)
    settings = load_settings(
        kafka=local_kafka.bootstrap,
        data_dir=tmp_path / "data",
        group=f"test-{uuid.uuid4().hex[:8]}",
        partitions=recorded.partitions,
        map=corridor_map,
        metrics_port=0,
        query_port=free_port(),
    )
    recorded.pour(settings)
    # Once all is read, event time runs on with the wall clock, and since the recording it has gone far.
    monkeypatch.setattr(walks, "_DRIFT_S", time.time())
    feed = _Published(_messages(recorded))
    ledger = Ledger(settings, settings.partitions)
    with closing(ledger), closing(System(settings, local_kafka)) as system:
        system.start(1)
        wait_until_drained(settings, _PATIENCE_S)
        verdict = Judge(ledger, cast(Feed, feed), load_map(settings.map), settings).judge()
    assert not verdict.faults, verdict.examples
    assert not system.counts.deaths
    assert verdict.accepted + verdict.rejected + verdict.duplicates == verdict.published == len(feed.messages)
    assert verdict.handed_over and verdict.duplicates and verdict.slices and verdict.scores and verdict.journeys
    for form in (INGEST, DETECT):
        labels = [read_back(settings, form.topic, partition).get(KEY) for partition in range(settings.partitions)]
        assert labels == [form.label[1]] * settings.partitions, f"{form.topic} has today's format now"


def _messages(recorded: Recording) -> list[Message]:
    """The messages by number."""
    rejected = set(recorded.rejected)
    found: dict[int, Message] = {}
    for partition, log in enumerate(recorded.logs[topics.EVENTS.name]):
        for each in log:
            number = int(dict(each.headers)[NUMBER] or b"")
            event = None if number in rejected else msgspec.json.decode(each.value or b"", type=TouchpointEvent)
            found[number] = Message(number, each.key, each.value, partition, event)
    return [found[number] for number in range(len(found))]

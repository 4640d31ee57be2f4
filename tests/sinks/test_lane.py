"""A lane's batch: of absolute messages with one key the newest version goes into ClickHouse, once."""

import msgspec
import pytest

from schemas import topics
from schemas.journey import Journey
from schemas.slice import Slice
from sinks.lane import Batch, Lane, lanes
from streams.runtime.pacing import DEFAULT_BUDGET_BYTES
from tests.sinks.fakes import FakeMessage

CELL = {"tenant": "t", "touchpoint": "a", "channel": "web", "stage": "during", "actor": "buyer", "contact": "direct"}


def a_slice(version: int, n: int = 1) -> bytes:
    """The value of a slice whose segment would like to be taken for the version."""
    rest = {"segment": '"version":9', "segment_value": "x", "bucket": 10, "origin": "events/0", "part": 0}
    return msgspec.json.encode(Slice(n=n, version=version, **CELL, **rest))


def taken(topic: str, *messages: tuple[bytes, bytes]) -> Batch:
    lane = Lane(topic, 100, 10**6, 1.0)
    for offset, (key, value) in enumerate(messages):
        lane.add(FakeMessage(topic, 0, offset, value, None, key), 0.0)
    return lane.take()


@pytest.mark.parametrize("versions", [(1, 2, 10), (10, 2, 1), (2, 10, 9)])
def test_the_newest_version_of_a_key_is_written_whatever_the_order(versions: tuple[int, ...]) -> None:
    batch = taken(topics.SLICES.name, *((b"k", a_slice(version)) for version in versions))
    assert [message.value() for message in batch.messages] == [a_slice(10)]
    assert batch.size == len(a_slice(10))
    assert batch.positions == {0: 3}, "what was left out is acknowledged with the rest"


def test_of_equal_versions_the_later_one_is_written() -> None:
    batch = taken(topics.SLICES.name, (b"k", a_slice(1, n=1)), (b"k", a_slice(1, n=2)))
    assert [message.value() for message in batch.messages] == [a_slice(1, n=2)]


def test_another_key_is_another_row_and_the_next_batch_begins_anew() -> None:
    lane = Lane(topics.SLICES.name, 100, 10**6, 1.0)
    for offset, key in enumerate((b"k", b"l", b"k")):
        lane.add(FakeMessage(topics.SLICES.name, 0, offset, a_slice(offset), None, key), 0.0)
    assert len(lane.take().messages) == 2
    lane.add(FakeMessage(topics.SLICES.name, 0, 3, a_slice(0), None, b"k"), 0.0)
    assert len(lane.take().messages) == 1


def test_the_version_of_a_journey_is_not_that_of_its_segment() -> None:
    values = [
        msgspec.json.encode(
            Journey("t", "s", "j", version, "o", "open", 0.0, 1.0, "a", "b", 1, 0.5, segments={"version": "99"})
        )
        for version in (2, 1)
    ]
    batch = taken(topics.JOURNEYS.name, *((b"k", value) for value in values))
    assert [message.value() for message in batch.messages] == values[:1]


def test_events_are_written_each() -> None:
    batch = taken(topics.SCORED.name, (b"customer", b'{"id":1}'), (b"customer", b'{"id":2}'))
    assert len(batch.messages) == 2


def test_a_batch_is_due_by_the_bytes_that_came_even_if_newer_versions_replaced_them() -> None:
    lane = Lane(topics.SLICES.name, 100, 2 * len(a_slice(1)), 1.0)
    for version in (1, 2):
        assert lane.due_in(0.5) > 0
        lane.add(FakeMessage(topics.SLICES.name, 0, version, a_slice(version), None, b"k"), 0.0)
    assert lane.due_in(0.5) == -0.5
    lane.take()
    lane.add(FakeMessage(topics.SLICES.name, 0, 3, a_slice(3), None, b"k"), 0.5)
    assert lane.due_in(0.5) == 1.0


def test_where_publishers_wait_for_the_sink_an_unhurried_lane_does_not_wait_out_its_interval() -> None:
    value = b"x" * (DEFAULT_BUDGET_BYTES // 2)
    for paced, due in ((True, 0.0), (False, 1.0)):
        lane = lanes(100, 16 * 1024 * 1024, 0.25, paced=paced)[topics.SLICES.name]
        lane.add(FakeMessage(topics.SLICES.name, 0, 0, value), 0.0)
        assert lane.due_in(0.0) == due

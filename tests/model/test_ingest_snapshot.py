"""What a partition's snapshot holds and publishes, and how a partition goes on from what was written."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from streams.model import ingest
from tests.builders import NOW, event, record
from tests.model.partitions import EVENTS, REKEYED, new, slices

ROOT = Path(__file__).resolve().parents[2]


def test_positions_are_given_once_and_only_for_lanes_that_moved() -> None:
    state = new()
    assert state.snapshot().positions == {}
    state.apply(EVENTS, [record(4, event()), record(7, b"bad")])
    assert state.snapshot().positions == {EVENTS: 8}
    assert state.snapshot().positions == {}
    state.apply(REKEYED, [record(0, event(id="x"))])
    assert state.snapshot().positions == {REKEYED: 1}


def test_state_is_written_as_slices_transitions_journeys_lanes_and_the_partition() -> None:
    state = new()
    state.apply(EVENTS, [record(n, event(id=str(n), subject=f"c{n}")) for n in range(3)])
    state.apply(REKEYED, [record(0, event(id="x"))])
    kinds = [key[:1] for key, _ in state.snapshot().state]
    assert kinds == sorted(kinds, key=b"stjlp".index) and set(kinds) == {b"s", b"t", b"j", b"l", b"p"}


def test_a_restored_partition_goes_on_where_it_was() -> None:
    items = [record(n, event(NOW + n, id=str(n % 7), subject=f"c{n % 3}"), NOW + n) for n in range(60)]
    whole = new()
    expected = whole.apply(EVENTS, items)
    first = new()
    begun = first.apply(EVENTS, items[:30])
    second = new()
    for key, value in dict(first.snapshot().state).items():
        assert value is not None
        second.restore(key, value)
    second.restored({EVENTS: 30, REKEYED: 0})
    ended = second.apply(EVENTS, items)
    assert ended.replayed == 30
    assert begun.scored + ended.scored == expected.scored
    by_key = {item.key: item for item in slices(second)}
    assert by_key.items() <= {item.key: item for item in slices(whole)}.items()


def test_journeys_perhaps_not_published_come_a_few_at_a_time_and_none_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ingest, "AGAIN_AT_ONCE", 1)
    first = new()
    first.apply(EVENTS, [record(n, event(id=str(n), subject=f"c{n}")) for n in range(4)])
    changelog = dict(first.snapshot().state)
    published: list[bytes] = []
    for checkpoints in (2, 5):
        state = new()
        for key, value in changelog.items():
            assert value is not None
            state.restore(key, value)
        state.restored({EVENTS: 4, REKEYED: 0})
        for n in range(checkpoints):
            offset = 10 * checkpoints + n
            state.apply(EVENTS, [record(offset, event(id=str(offset), subject="c0"))])
            snapshot = state.snapshot()
            changelog.update(snapshot.state)
            published += [message["key"] for message in snapshot.journeys]
            assert len(snapshot.journeys) <= 2
    assert {msgspec.json.decode(key)[2] for key in published} == {"c0", "c1", "c2", "c3"}


def test_a_torn_state_value_is_an_error() -> None:
    state = new()
    state.apply(EVENTS, [record(0, event())])
    for key, value in state.snapshot().state:
        assert value is not None
        restored = new()
        with pytest.raises(msgspec.DecodeError):
            restored.restore(key, value[:-1])
            restored.restored({EVENTS: 1, REKEYED: 0})


def test_under_load_journeys_wait_and_go_out_at_once_when_nothing_is_expected() -> None:
    state = new()
    state.apply(EVENTS, [record(n, event(id=str(n), subject=f"c{n}")) for n in range(ingest.FEW_JOURNEYS + 1)])
    state.advance(None)
    assert state.snapshot().journeys == []
    state.advance(NOW)
    assert len(state.snapshot().journeys) == ingest.FEW_JOURNEYS + 1
    assert state.snapshot().journeys == []


def test_a_journey_goes_out_once_it_has_waited_though_others_change_on() -> None:
    state = new()
    published: list[int] = []
    for step in range(ingest.JOURNEY_WAITS + 1):
        first = step * (ingest.FEW_JOURNEYS + 1)
        items = [record(n, event(id=str(n), subject=f"c{n}")) for n in range(first, first + ingest.FEW_JOURNEYS + 1)]
        state.apply(EVENTS, items)
        state.advance(None)
        published.append(len(state.snapshot().journeys))
    assert published == [0] * ingest.JOURNEY_WAITS + [ingest.FEW_JOURNEYS + 1]


def test_partitions_are_read_back_at_once_in_a_fresh_process() -> None:
    # What msgspec does with a struct that it meets for the first time is not safe in two threads: most runs crashed.
    for _ in range(6):
        subprocess.run([sys.executable, "-m", "tests.model.first_read"], cwd=ROOT, check=True, timeout=60)

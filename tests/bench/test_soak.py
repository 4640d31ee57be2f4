"""What a soak is judged by. The soak itself is `make soak`."""

from pathlib import Path

import msgspec
import pytest

from bench import soak_judge
from bench.quick_map import quick_map
from bench.soak_judge import Published, Readers, Sample
from schemas import topics
from schemas.errors import StopProcess
from schemas.event import TouchpointEvent
from schemas.loader import load_map
from streams.runtime import clients
from streams.runtime.local import LocalKafka
from streams.runtime.settings import load_settings
from tests.builders import event


class Store:
    """ClickHouse's answers."""

    def __init__(self, events: list[tuple[str, int, int]], slices: list[tuple[str, int]], rejected: int = 0) -> None:
        self._answers = {
            soak_judge._EVENTS: events,
            soak_judge._SLICES: slices,
            soak_judge._REJECTED: [("json", rejected)] if rejected else [],
        }

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return list(self._answers[sql])


def published() -> Published:
    """Three different events of two touchpoints, one of them twice."""
    found = Published()
    for name, touchpoint in (("a", "home"), ("b", "home"), ("a", "home"), ("c", "pay")):
        found.add(msgspec.convert(event(id=name, data={"touchpoint": touchpoint}), TouchpointEvent))
    return found


def test_copies_count_once() -> None:
    found = published()
    assert (found.count, found.distinct, found.counts()) == (4, 3, {"home": 2, "pay": 1})


def test_nothing_differs_where_tables_hold_each_event_once() -> None:
    store = Store([("home", 2, 2), ("pay", 1, 1)], [("home", 2), ("pay", 1)])
    assert soak_judge.differences(store, published()) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("store", "told"),
    [
        (Store([("home", 2, 2)], [("home", 2), ("pay", 1)]), "pay: 1 events published, (rows, different) None"),
        (Store([("home", 3, 2), ("pay", 1, 1)], [("home", 2), ("pay", 1)]), "home: 2 events published, (rows, diff"),
        (Store([("home", 2, 2), ("pay", 1, 1)], [("home", 3), ("pay", 1)]), "home: 2 events published, 3 counted"),
        (Store([("home", 2, 2), ("pay", 1, 1)], [("home", 2), ("pay", 1)], rejected=1), "1 rejected as json"),
        (Store([("home", 2, 2), ("pay", 1, 1), ("x", 1, 1)], [("home", 2), ("pay", 1)]), "x: 0 events published"),
    ],
    ids=["missing", "twice", "counted twice", "rejected", "from elsewhere"],
)
def test_what_is_missing_or_too_much_is_told(store: Store, told: str) -> None:
    (found,) = soak_judge.differences(store, published())  # type: ignore[arg-type]
    assert found.startswith(told)


def test_growth_is_that_of_the_last_third_over_the_third_before() -> None:
    worker = [1.0, 50.0, 100.0, 100.0, 100.0, 100.0, 110.0, 110.0, 110.0]
    samples = [Sample(float(at), int(size), 10, 0) for at, size in enumerate(worker)]
    assert soak_judge.grown(samples) == (1.1, 1.0)
    with pytest.raises(StopProcess, match="too short"):
        soak_judge.grown(samples[:2])


def test_the_quick_map_is_a_map_whose_journeys_end_within_minutes(tmp_path: Path) -> None:
    corridor = load_map(quick_map(tmp_path))
    patience = [touchpoint.patience for touchpoint in corridor.touchpoints if touchpoint.patience is not None]
    times = [corridor.defaults.patience, *patience, corridor.defaults.allowed_lateness]
    assert max(times) <= 120
    assert corridor.defaults.duplicate_horizon == corridor.defaults.allowed_lateness


def test_lag_is_what_no_reader_has_acknowledged(local_kafka: LocalKafka, tmp_path: Path) -> None:
    settings = load_settings(kafka=local_kafka.bootstrap, group="soak", data_dir=tmp_path)
    producer = clients.producer(settings)
    for number in range(7):
        producer.produce(topics.SLICES.name, b"v", b"%d" % number)
    assert producer.flush(30) == 0
    readers = Readers(settings)
    try:
        # Worker and sink both read slices.
        assert readers.lag() == 14
        until = readers.ends()
        with_one = {place: end for place, end in until.items() if place[0] == "worker_group"}
        assert readers.lag(with_one) == 7
    finally:
        readers.close()

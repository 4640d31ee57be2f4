"""A state behind the commit, a log that has lost what comes next, skipped records: each stops the process."""

import asyncio

import pytest
from confluent_kafka import TopicPartition

from schemas import topics
from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.positions import Positions, check_gap
from streams.runtime.settings import Settings
from tests.conftest import Cluster
from tests.runtime.batches import build, produce_raw

TOPIC = topics.EVENTS.name
PLACE = (TOPIC, 0)


@pytest.mark.parametrize(
    ("committed", "start", "short", "applied", "problem"),
    [
        (0, 0, False, -1, None),
        (8, 0, False, 7, None),
        (8, 0, False, 9, None),
        (8, 0, False, 6, "the state read back ends at 6"),
        (8, 0, True, -1, "the state read back ends at -1"),
        (8, 8, False, 7, None),
        (8, 9, False, 8, None),
        (8, 9, False, 7, "offsets 8 to 8 were deleted"),
        (8, 20, True, 9, "offsets 10 to 19 were deleted"),
        (0, 20, False, -1, None),
        (0, 20, True, -1, "offsets 0 to 19 were deleted"),
        (0, 20, False, 3, "offsets 4 to 19 were deleted"),
    ],
)
def test_what_is_missing_is_said(committed: int, start: int, short: bool, applied: int, problem: str | None) -> None:
    positions = Positions({PLACE: committed}, {PLACE: start}, short)
    if problem is None:
        positions.check(*PLACE, applied)
        return
    with pytest.raises(StopProcess, match=problem):
        positions.check(*PLACE, applied)


def test_an_unknown_place_was_never_committed() -> None:
    assert Positions({}, {}, False).of(*PLACE) == 0


def test_positions_come_from_the_cluster(settings: Settings) -> None:
    producer = clients.producer(settings)
    for _ in range(5):
        producer.produce(TOPIC, b"v", partition=2)
    producer.flush()
    reader = clients.consumer(settings, settings.worker_group)
    reader.commit(offsets=[TopicPartition(TOPIC, 2, 3)], asynchronous=False)
    reader.close()
    positions = Positions.fetch(settings, settings.worker_group, [(TOPIC, 1), (TOPIC, 2)])
    assert (positions.of(TOPIC, 1), positions.of(TOPIC, 2)) == (0, 3)
    positions.check(TOPIC, 2, 2)
    with pytest.raises(StopProcess, match="acknowledged everything before offset 3"):
        positions.check(TOPIC, 2, 1)


def test_a_short_log_that_has_dropped_records_stops_the_process(settings: Settings, kafka: Cluster) -> None:
    if kafka.kind != "embedded":
        pytest.skip("only the embedded log is short")
    batch = build([b"x" * 900_000])
    for _ in range(8):
        assert asyncio.run(produce_raw(settings.kafka, TOPIC, 0, batch)) == 0
    positions = Positions.fetch(settings, settings.worker_group, [PLACE])
    with pytest.raises(StopProcess, match="were deleted from Kafka"):
        positions.check(*PLACE, -1)


def test_a_gap_without_records_is_none(settings: Settings, kafka: Cluster) -> None:
    if kafka.kind == "embedded":
        pytest.skip("the embedded cluster writes no transaction markers")
    producer = clients.producer(settings, **{"transactional.id": f"{settings.group}.source"})
    producer.init_transactions(30)
    for _ in range(2):
        producer.begin_transaction()
        producer.produce(TOPIC, b"v", partition=0)
        producer.commit_transaction(30)
    # Offsets 0 and 2 are records, 1 is the marker of the first transaction.
    check_gap(settings, TOPIC, 0, 1, 2)


def test_records_that_were_skipped_stop_the_process(settings: Settings) -> None:
    producer = clients.producer(settings)
    for n in range(4):
        producer.produce(TOPIC, str(n).encode(), partition=0)
    producer.flush()
    with pytest.raises(StopProcess, match="records from offset 1 to 2 did not reach the agent"):
        check_gap(settings, TOPIC, 0, 1, 3)
    check_gap(settings, TOPIC, 0, 3, 3)


def test_a_partition_that_went_on_without_this_worker_stops_the_process(settings: Settings) -> None:
    producer = clients.producer(settings)
    for n in range(4):
        producer.produce(TOPIC, str(n).encode(), partition=0)
    producer.flush()
    other = clients.consumer(settings, settings.worker_group)
    other.commit(offsets=[TopicPartition(TOPIC, 0, 3)], asynchronous=False)
    other.close()
    with pytest.raises(StopProcess, match="another worker has acknowledged everything before offset 3"):
        check_gap(settings, TOPIC, 0, 1, 4)


def test_a_cluster_that_does_not_answer_stops_the_process(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.runtime.positions._TIMEOUT_S", 0.5)
    away = settings.model_copy(update={"kafka": "127.0.0.1:1"})
    with pytest.raises(StopProcess, match="cannot be read"):
        Positions.fetch(away, "group", [PLACE])

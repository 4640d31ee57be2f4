import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from schemas.errors import StopProcess
from schemas.topics import EVENTS
from streams.runtime import clients
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.pacing import RECORD_OVERHEAD_BYTES, Pacer
from streams.runtime.settings import Settings, load_settings
from streams.runtime.topics_admin import ensure_topics

VALUE = bytes(1000)
#: What one record of these tests counts for.
SIZE = len(VALUE) + RECORD_OVERHEAD_BYTES


@pytest.fixture
def paced() -> Iterator[Settings]:
    with EmbeddedKafka() as kafka:
        settings = load_settings(kafka=kafka.bootstrap, kafka_paced=True)
        ensure_topics(settings)
        yield settings


def _write(settings: Settings, pacer: Pacer, partition: int, count: int) -> None:
    producer = clients.producer(settings)

    def delivered(error: object, message: Message) -> None:
        assert error is None
        pacer.note(partition, message.offset() or 0, len(VALUE))

    for _ in range(count):
        producer.produce(EVENTS.name, VALUE, partition=partition, on_delivery=delivered)
        pacer.sent(len(VALUE))
    assert producer.flush(10) == 0


def _commit(settings: Settings, group: str, **offsets: int) -> None:
    reader: Consumer = clients.consumer(settings, group)
    places = [TopicPartition(EVENTS.name, int(partition[1:]), offset) for partition, offset in offsets.items()]
    reader.commit(offsets=places, asynchronous=False)
    reader.close()


def _pacer(settings: Settings, *groups: str, records: int, patience_s: float = 20.0) -> Pacer:
    return Pacer(settings, EVENTS.name, groups, budget_bytes=records * SIZE, patience_s=patience_s)


def test_off_a_short_log_it_does_nothing() -> None:
    pacer = Pacer(load_settings(kafka="nowhere:1"), EVENTS.name, ["g"], budget_bytes=1)
    pacer.sent(10**9)
    pacer.note(0, 0, 10**9)
    assert not pacer.enabled
    assert not pacer.full
    pacer.wait()


def test_without_readers_nobody_is_waited_for(paced: Settings) -> None:
    pacer = Pacer(paced, EVENTS.name, [], budget_bytes=1)
    pacer.note(0, 0, 10**9)
    pacer.wait()


def test_within_the_budget_the_cluster_is_not_asked(monkeypatch: pytest.MonkeyPatch, paced: Settings) -> None:
    monkeypatch.setattr(clients, "consumer", lambda *_: pytest.fail("the cluster was asked"))
    pacer = _pacer(paced, "g", records=10)
    for offset in range(10):
        pacer.sent(len(VALUE))
        pacer.note(0, offset, len(VALUE))
    assert not pacer.full
    pacer.wait()


def test_what_is_still_under_way_counts_too(paced: Settings) -> None:
    pacer = _pacer(paced, "g", records=10)
    for _ in range(11):
        pacer.sent(len(VALUE))
    assert pacer.full


def test_what_could_not_be_delivered_takes_no_room(paced: Settings) -> None:
    pacer = _pacer(paced, "g", records=2)
    for _ in range(3):
        pacer.sent(len(VALUE))
    assert pacer.full
    pacer.failed(len(VALUE))
    assert not pacer.full


def test_a_writer_waits_until_the_slowest_group_has_committed(paced: Settings) -> None:
    pacer = _pacer(paced, "fast", "slow", records=10)
    _write(paced, pacer, 0, 15)
    _commit(paced, "fast", p0=15)
    done = threading.Event()
    waiting = threading.Thread(target=lambda: (pacer.wait(), done.set()))
    waiting.start()
    assert not done.wait(0.3)
    _commit(paced, "slow", p0=4)
    assert not done.wait(0.3)
    _commit(paced, "slow", p0=5)
    assert done.wait(10)
    waiting.join()
    pacer.close()


def test_partitions_that_nobody_wrote_to_hold_nobody_up(paced: Settings) -> None:
    pacer = _pacer(paced, "g", records=10)
    _write(paced, pacer, 2, 15)
    _commit(paced, "g", p2=15)
    pacer.wait()
    pacer.close()


def test_every_partition_has_a_budget_of_its_own(paced: Settings) -> None:
    pacer = _pacer(paced, "g", records=10)
    _write(paced, pacer, 0, 8)
    _write(paced, pacer, 1, 8)
    assert not pacer.full
    pacer.close()


def test_a_group_that_never_commits_is_named_after_a_while(paced: Settings) -> None:
    pacer = _pacer(paced, "asleep", records=10, patience_s=0.3)
    _write(paced, pacer, 0, 15)
    with pytest.raises(StopProcess, match=r"group asleep has committed nothing on touchpoint\.events"):
        pacer.wait()
    pacer.close()


def test_delivery_reports_arrive_while_waiting(paced: Settings) -> None:
    pacer = _pacer(paced, "g", records=10)
    producer = clients.producer(paced)

    def delivered(error: object, message: Message) -> None:
        assert error is None
        pacer.note(0, message.offset() or 0, len(VALUE))

    for _ in range(15):
        producer.produce(EVENTS.name, VALUE, partition=0, on_delivery=delivered)
        pacer.sent(len(VALUE))
    _commit(paced, "g", p0=15)
    pacer.wait(producer.poll)
    assert not pacer.full
    pacer.close()


def test_a_paced_writer_loses_nothing_of_five_times_the_log(paced: Settings) -> None:
    count = 25_000
    pacer = Pacer(paced, EVENTS.name, ["g"])
    producer = clients.producer(paced, **{"compression.type": "none"})
    seen: list[int] = []
    stop = threading.Event()

    def read() -> None:
        reader = clients.consumer(paced, "g", **{"auto.offset.reset": "error"})
        reader.assign([TopicPartition(EVENTS.name, 0, 0)])
        while len(seen) < count and not stop.is_set():
            messages = reader.consume(1000, 0.1)
            seen.extend(message.offset() or 0 for message in messages if message.error() is None)
            if messages:
                reader.commit(offsets=[TopicPartition(EVENTS.name, 0, seen[-1] + 1)], asynchronous=False)
        reader.close()

    def delivered(error: object, message: Message) -> None:
        assert error is None
        pacer.note(0, message.offset() or 0, len(VALUE))

    reading = threading.Thread(target=read)
    reading.start()
    for _ in range(count):
        pacer.wait(producer.poll)
        producer.produce(EVENTS.name, VALUE, partition=0, on_delivery=delivered)
        pacer.sent(len(VALUE))
        producer.poll(0)
    assert producer.flush(30) == 0
    reading.join(30)
    stop.set()
    reading.join(5)
    pacer.close()
    assert seen == list(range(count))

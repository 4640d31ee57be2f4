import threading
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas import topics
from schemas.errors import StopProcess
from schemas.rejection import Reason, RejectedEvent
from sinks.deliver import Deliver
from streams.runtime.settings import Settings
from tests.sinks.fakes import FakeKafka, FakeMessage, FakeProducer, FakeStore, World, away, message
from tests.sinks.rows import encode, progress

SCORED, SLICES, SCORES, REJECTED = (
    topic.name for topic in (topics.SCORED, topics.SLICES, topics.SCORES, topics.REJECTED)
)


@dataclass
class Run:
    world: World
    kafka: FakeKafka
    producer: FakeProducer
    deliver: Deliver
    stop: threading.Event

    def go(self) -> list[tuple[Any, ...]]:
        self.deliver.run(self.stop)
        return self.world.effects


def run(*chunks: list[FakeMessage], **changes: Any) -> Run:
    world, stop = World(), threading.Event()
    kafka = FakeKafka(world, list(chunks), stop.set)
    producer = FakeProducer(world)
    settings = Settings(kafka="fake:1", **{"sink_interval": 0.25, **changes})
    return Run(world, kafka, producer, Deliver(settings, FakeStore(world), kafka, producer, world.clock), stop)


def test_rows_are_written_before_they_are_acknowledged() -> None:
    effects = run([message(b"1", 4), message(b"2", 5), message(b"3", 9, partition=1)]).go()
    assert effects == [
        ("insert", "touchpoint_events", (b"1", b"2", b"3")),
        ("commit", (SCORED, 0, 6), (SCORED, 1, 10)),
        ("close",),
    ]


def test_each_table_is_acknowledged_on_its_own() -> None:
    effects = run([message(b"1", 4), message(b"s", 2, topic=SLICES)]).go()
    assert effects == [
        ("insert", "touchpoint_events", (b"1",)),
        ("commit", (SCORED, 0, 5)),
        ("insert", "experience_slices", (b"s",)),
        ("commit", (SLICES, 0, 3)),
        ("close",),
    ]


def test_a_batch_is_due_by_its_rows_at_once() -> None:
    one = run([message(b"1", 0), message(b"2", 1)], [message(b"3", 2)], [message(b"4", 3)], sink_rows=2)
    inserts = [effect[2] for effect in one.go() if effect[0] == "insert"]
    assert inserts == [(b"1", b"2"), (b"3", b"4")]


def test_a_batch_is_due_by_its_bytes() -> None:
    one = run([message(b"x" * 2000, 0)], [message(b"3", 1)], sink_bytes=1024)
    inserts = [len(effect[2]) for effect in one.go() if effect[0] == "insert"]
    assert inserts == [1, 1]


def test_a_batch_is_due_by_its_age() -> None:
    quiet: list[FakeMessage] = []
    one = run([message(b"1", 0)], *[quiet] * 20, [message(b"2", 1)], sink_interval=0.25)
    inserts = [effect[2] for effect in one.go() if effect[0] == "insert"]
    assert inserts == [(b"1",), (b"2",)]


def test_events_wait_for_one_other_insert_at_most_and_every_table_has_its_turn() -> None:
    first = [message(b"%d" % number, 0, topic) for number, topic in enumerate((SLICES, REJECTED, SCORED, SCORES))]
    one = run(
        first, [message(b"4", 1), message(b"5", 1, REJECTED)], [message(b"6", 2)], [message(b"7", 3)], sink_rows=1
    )
    inserts = [effect[2][0] for effect in one.go() if effect[0] == "insert"]
    assert [line for line in inserts if line in b"2467"] == [b"2", b"4", b"6", b"7"]
    assert inserts[0::2] == [b"2", b"4", b"6", b"7"]
    assert sorted(inserts[1::2]) == [b"0", b"1", b"3", b"5"]
    assert inserts[-1] == b"5", "what has waited longer goes first"


def test_progress_notes_and_tombstones_are_acknowledged_without_a_row() -> None:
    chunk = [message(encode(progress()), 7, topic=SLICES), message(None, 8, topic=SLICES)]
    assert run(chunk).go() == [("commit", (SLICES, 0, 9)), ("close",)]


def test_an_insert_put_off_is_repeated_until_it_succeeds_and_only_then_acknowledged() -> None:
    one = run([message(b"1", 0)])
    one.world.failures = [away(), away()]
    assert one.go() == [
        ("failed", "touchpoint_events", "too many parts"),
        ("pause",),
        ("failed", "touchpoint_events", "too many parts"),
        ("pause",),
        ("insert", "touchpoint_events", (b"1",)),
        ("resume",),
        ("commit", (SCORED, 0, 1)),
        ("close",),
    ]


def test_a_refused_row_is_found_kept_as_a_rejection_and_acknowledged_after_the_others_are_written() -> None:
    chunk = [message(b'"bad"' if offset == 5 else b"%d" % offset, offset) for offset in range(8)]
    one = run(chunk)
    effects = one.go()
    written = [line for effect in effects if effect[0] == "insert" for line in effect[2]]
    assert written == [b"0", b"1", b"2", b"3", b"4", b"6", b"7"]
    assert effects[-4:] == [
        ("produce", REJECTED, f"{SCORED}/0/5"),
        ("flush",),
        ("commit", (SCORED, 0, 8)),
        ("close",),
    ]
    kept = msgspec.json.decode(one.producer.values[0], type=RejectedEvent)
    assert (kept.reason, kept.topic, kept.offset, kept.raw) == (Reason.REFUSED_BY_STORE, SCORED, 5, b'"bad"')
    assert "CANNOT_PARSE_NUMBER" in kept.detail


def test_a_refused_rejection_is_kept_in_place_and_does_not_go_round_again() -> None:
    effects = run([message(b"bad", 3, topic=REJECTED)]).go()
    assert [effect[0] for effect in effects] == ["insert", "flush", "commit", "close"]
    row = msgspec.json.decode(effects[0][2][0], type=RejectedEvent)
    assert (row.reason, row.topic, row.offset, row.raw) == (Reason.REFUSED_BY_STORE, REJECTED, 3, b"bad")


def test_an_error_that_needs_a_person_ends_delivery_without_acknowledging() -> None:
    one = run([message(b"1", 0)])
    one.world.failures = [StopProcess("no rights")]
    with pytest.raises(StopProcess, match="no rights"):
        one.go()
    assert one.world.effects[-1] == ("close",)
    assert not any(effect[0] == "commit" for effect in one.world.effects)


def test_a_commit_that_kafka_does_not_take_is_made_up_with_the_next() -> None:
    one = run([message(b"1", 0)], [message(b"2", 1, partition=1)], sink_rows=1)
    one.kafka.commit_failures = [KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT))]
    commits = [effect for effect in one.go() if effect[0] == "commit"]
    assert commits == [("commit", (SCORED, 0, 1), (SCORED, 1, 2))]


def test_partitions_taken_away_while_clickhouse_is_away_are_left_to_their_next_owner() -> None:
    one = run([message(b"1", 0), message(b"2", 0, topic=SLICES)], sink_rows=1)
    one.world.failures = [away()]
    one.world.on_poll = lambda: one.kafka.callbacks["on_revoke"](one.kafka, [])
    effects = one.go()
    assert [effect[0] for effect in effects] == ["failed", "pause", "close"]


def test_partitions_taken_away_are_written_and_acknowledged_first() -> None:
    one = run([message(b"1", 0)])
    one.kafka._chunks.append([])
    consume = one.kafka.consume

    def revoke_at_second(num_messages: int, timeout: float) -> list[FakeMessage]:
        if len(one.kafka._chunks) == 1:
            one.kafka.callbacks["on_revoke"](one.kafka, [])
        return consume(num_messages, timeout)

    one.kafka.consume = revoke_at_second  # type: ignore[method-assign]
    assert [effect[0] for effect in one.go()] == ["insert", "commit", "close"]


def test_a_stop_while_clickhouse_is_away_ends_in_time_and_acknowledges_nothing() -> None:
    one = run([message(b"1", 0)], shutdown_timeout=4.0)
    one.world.failures = [away() for _ in range(1000)]
    one.world.on_poll = one.stop.set
    effects = one.go()
    assert one.world.now < 4.0
    assert {effect[0] for effect in effects} == {"failed", "pause", "close"}


@pytest.mark.parametrize("code", [KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE])
def test_a_position_below_the_start_of_the_log_ends_delivery_loudly(code: int) -> None:
    broken = FakeMessage(SCORED, 2, 0, None, KafkaError(code))
    with pytest.raises(StopProcess, match=f"{SCORED} partition 2 are gone from Kafka before the sink wrote them"):
        run([broken]).go()

"""The changelog of a partition: each write whole or not at all, read back as the newest value of every key."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from schemas import topics
from schemas.errors import StopProcess
from schemas.slice import Slice
from streams.model.shelf import MemoryShelf
from streams.model.state_format import StateFormat
from streams.runtime import clients, state_log
from streams.runtime.settings import Settings
from streams.runtime.state_log import StateLog, read_back, understood
from tests.conftest import Cluster

TOPIC = topics.STATE_INGEST.name
#: A format after the first: every value is longer.
SECOND = StateFormat(TOPIC, (lambda key, value: [(key, value + b".")],))


def test_what_was_written_is_read_back_newest_first(settings: Settings) -> None:
    log = StateLog(settings, TOPIC, 1)
    log.write([(b"a", b"1"), (b"b", b"1"), (b"c", b"1")])
    log.write([(b"b", None), (b"a", b"2"), (b"d", b"1")])
    log.write([(b"d", None), (b"d", b"2")])
    assert read_back(settings, TOPIC, 1) == {b"a": b"2", b"c": b"1", b"d": b"2"}
    assert read_back(settings, TOPIC, 0) == {}


def test_what_is_put_aside_lies_on_the_shelf_and_not_in_the_answer(settings: Settings) -> None:
    log = StateLog(settings, TOPIC, 1)
    log.write([(b"j1", b"old"), (b"s1", b"1"), (b"j2", b"1"), (b"j3", b"1")])
    log.write([(b"j1", b"new"), (b"j2", None), (b"never", None), (b"j4", None)])
    shelf = MemoryShelf()
    assert read_back(settings, TOPIC, 1, aside=(b"j", shelf)) == {b"s1": b"1"}
    assert shelf == {b"j1": b"new", b"j3": b"1"}


def test_a_next_owner_reads_back_and_writes_on(settings: Settings) -> None:
    StateLog(settings, TOPIC, 0).write([(b"a", b"1"), (b"b", b"1")])
    owner = StateLog(settings, TOPIC, 0)
    assert read_back(settings, TOPIC, 0) == {b"a": b"1", b"b": b"1"}
    owner.write([(b"a", None)])
    assert read_back(settings, TOPIC, 0) == {b"b": b"1"}


def test_only_what_lies_before_until_is_read(settings: Settings) -> None:
    producer = clients.producer(settings)
    for n in range(10):
        producer.produce("experience.slices", str(n).encode(), f"k{n % 3}".encode(), partition=0)
        producer.flush()
    assert read_back(settings, "experience.slices", 0, 4) == {b"k0": b"3", b"k1": b"1", b"k2": b"2"}
    assert read_back(settings, "experience.slices", 0, 0) == {}
    whole = {b"k0": b"9", b"k1": b"7", b"k2": b"8"}
    assert read_back(settings, "experience.slices", 0, 10) == whole
    assert read_back(settings, "experience.slices", 0, 99) == whole


def test_of_several_values_the_one_that_the_reader_calls_newer_is_kept(settings: Settings) -> None:
    producer = clients.producer(settings)
    for key, value in ((b"a", b"9"), (b"b", b"1"), (b"a", b"5"), (b"b", b"2"), (b"c", b"3"), (b"c", None)):
        producer.produce("experience.slices", value, key, partition=1)
    producer.flush()
    found = read_back(settings, "experience.slices", 1, replaces=lambda kept, later: later >= kept)
    assert list(found.items()) == [(b"a", b"9"), (b"b", b"2")]


def test_a_large_state_goes_in_several_chunks_of_one_write(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_log, "_CHUNK", 100)
    records: list[tuple[bytes, bytes | None]] = [(f"k{n}".encode(), b"v") for n in range(1050)]
    StateLog(settings, TOPIC, 2).write(records)
    assert read_back(settings, TOPIC, 2) == dict(records)


def test_a_former_owner_cannot_write_any_more(settings: Settings, kafka: Cluster) -> None:
    if kafka.kind == "embedded":
        pytest.skip("the embedded cluster does not fence; one worker alone uses it")
    zombie = StateLog(settings, TOPIC, 0)
    zombie.write([(b"a", b"old")])
    owner = StateLog(settings, TOPIC, 0)
    owner.write([(b"a", b"new")])
    with pytest.raises(StopProcess, match="could not be written"):
        zombie.write([(b"a", b"zombie")])
    assert read_back(settings, TOPIC, 0) == {b"a": b"new"}


def test_a_write_that_was_not_committed_is_not_read(settings: Settings, kafka: Cluster) -> None:
    if kafka.kind == "embedded":
        pytest.skip("the embedded cluster keeps no transactions apart; no state outlives it")
    StateLog(settings, TOPIC, 0).write([(b"a", b"1"), (b"b", b"1")])
    name = f"{settings.worker_group}.{TOPIC}.0"
    torn = clients.producer(settings, **{"transactional.id": name})
    torn.init_transactions(30)
    torn.begin_transaction()
    torn.produce(TOPIC, b"torn", b"a", partition=0)
    torn.flush()
    # Opening the log ends the transaction of whoever had the partition before.
    StateLog(settings, TOPIC, 0)
    assert read_back(settings, TOPIC, 0) == {b"a": b"1", b"b": b"1"}


def test_a_record_the_broker_refuses_stops_the_process(settings: Settings) -> None:
    log = StateLog(settings, TOPIC, 0)
    with pytest.raises(StopProcess):
        log.write([(b"a", b"x" * 9_000_000)])
    with pytest.raises(StopProcess):
        log.write([(b"b", b"1")])


def _fill(settings: Settings, megabytes: int) -> None:
    producer = clients.producer(settings, **{"compression.type": "none"})
    for n in range(megabytes * 10):
        producer.produce(TOPIC, b"x" * 100_000, f"k{n}".encode(), partition=0)
        producer.flush()


def test_a_short_log_without_its_beginning_stops_the_process(settings: Settings, kafka: Cluster) -> None:
    if kafka.kind != "embedded":
        pytest.skip("only the embedded log is short")
    _fill(settings, 7)
    with pytest.raises(StopProcess, match="dropped the beginning"):
        read_back(settings, TOPIC, 0)


def test_a_broker_that_does_not_answer_stops_the_process(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(state_log, "_READ_TIMEOUT_S", 0.5)
    away = settings.model_copy(update={"kafka": "127.0.0.1:1"})
    wanted: list[Callable[[], Any]] = [lambda: read_back(away, TOPIC, 0), lambda: StateLog(away, TOPIC, 0)]
    for attempt in wanted:
        with pytest.raises(StopProcess):
            attempt()


def test_the_writes_of_a_partition_stay_in_it(settings: Settings) -> None:
    written: dict[bytes, bytes | None] = {f"k{n}".encode(): b"v" for n in range(20)}
    StateLog(settings, TOPIC, 3).write(list(written.items()))
    assert [read_back(settings, TOPIC, partition) for partition in range(4)] == [{}, {}, {}, written]


def test_state_of_an_older_format_is_upgraded_with_the_first_transaction(settings: Settings) -> None:
    StateLog(settings, TOPIC, 0).write([(b"a", b"1"), (b"j1", b"1"), (b"b", b"1")])
    shelf = MemoryShelf()
    log = StateLog(settings, TOPIC, 0)
    read = read_back(settings, TOPIC, 0, aside=(b"j", shelf))
    log.upgrade(SECOND, read, shelf)
    assert read == {b"a": b"1.", b"j1": b"1.", b"b": b"1."}
    assert not shelf, "what was changed is given back with the rest"
    assert read_back(settings, TOPIC, 0) == {b"a": b"1", b"j1": b"1", b"b": b"1"}, "nothing is written before"
    log.write([(b"a", b"2"), (b"b", None)])
    assert read_back(settings, TOPIC, 0) == {b"a": b"2", b"j1": b"1.", b"v": b"2"}
    log.write([(b"c", b"1")])
    again = read_back(settings, TOPIC, 0)
    StateLog(settings, TOPIC, 0).upgrade(SECOND, again)
    assert again == {b"a": b"2", b"j1": b"1.", b"c": b"1"}, "once is enough"


def test_state_of_a_newer_format_is_refused_before_anything_is_written(settings: Settings) -> None:
    newer = StateLog(settings, TOPIC, 0)
    newer.upgrade(SECOND, {})
    newer.write([(b"a", b"1.")])
    before = read_back(settings, TOPIC, 0)
    with pytest.raises(StopProcess, match="a newer version wrote it"):
        StateLog(settings, TOPIC, 0).upgrade(StateFormat(TOPIC), dict(before))
    assert read_back(settings, TOPIC, 0) == before


def test_what_cannot_be_decoded_stops_the_process_and_says_where() -> None:
    with (
        pytest.raises(StopProcess, match=r"experience\.slices/3 holds what this version"),
        understood("experience.slices", 3),
    ):
        msgspec.json.decode(b'{"kind":"unheard-of"}', type=Slice)

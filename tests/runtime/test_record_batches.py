"""Record batches that cannot be read become records that ingest rejects, with the right offsets, and never an error."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.model.decode import UnreadableValue
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.record_batches import ReadableMemoryRecords
from tests.runtime.batches import LZ4, UNKNOWN_CODEC, build, patch, produce_raw

VALUES: list[bytes | None] = [b"one", b"two", None]


def read(data: bytes) -> list[Any]:
    records = ReadableMemoryRecords(data)
    found = []
    while records.has_next():
        batch = records.next_batch()
        assert batch is not None
        found += list(batch)
    assert records.next_batch() is None
    return found


def test_a_whole_batch_is_read_as_before() -> None:
    found = read(build(VALUES, base=7))
    assert [(item.offset, item.timestamp, item.key, item.value) for item in found] == [
        (7, 1000, b"key", b"one"),
        (8, 1001, b"key", b"two"),
        (9, 1002, b"key", None),
    ]
    assert all(list(item.headers) == [("h", b"v")] for item in found)


@pytest.mark.parametrize(
    ("codec", "records"),
    [(UNKNOWN_CODEC, None), (5, None), (7, None), (LZ4, b"garbage"), (1, b"garbage"), (2, b"x"), (4, b"x"), (LZ4, b"")],
)
def test_an_unreadable_batch_gives_a_stand_in_for_each_record(codec: int, records: bytes | None) -> None:
    raw = patch(build(VALUES, base=7), codec, records)
    found = read(raw)
    assert [item.offset for item in found] == [7, 8, 9]
    assert all(type(item.value) is UnreadableValue for item in found)
    assert all(item.timestamp == 1002 and item.headers == () and item.key is None for item in found)
    assert all(f"compression {codec}" in item.value.detail for item in found)


def test_the_raw_batch_is_kept_once_and_the_others_say_where() -> None:
    raw = patch(build(VALUES, base=7), UNKNOWN_CODEC)
    first, *others = read(raw)
    assert first.value == raw
    assert all(item.value == b"" and item.value.detail.endswith("kept with offset 7") for item in others)


def test_the_batches_around_an_unreadable_one_are_read() -> None:
    broken = patch(build([b"c", b"d"], base=2), UNKNOWN_CODEC)
    found = read(build([b"a", b"b"]) + broken + build([b"e"], base=4))
    assert [item.offset for item in found] == [0, 1, 2, 3, 4]
    assert [bytes(item.value) for item in found] == [b"a", b"b", broken, b"", b"e"]


def test_half_a_batch_at_the_end_waits_for_the_next_fetch() -> None:
    records = ReadableMemoryRecords(build([b"a"]) + build([b"b"], base=1)[:-3])
    batch = records.next_batch()
    assert batch is not None and [item.value for item in batch] == [b"a"]
    assert not records.has_next()


def test_the_records_before_a_torn_one_are_kept() -> None:
    whole = build([b"first", b"second", b"third"])
    cut = patch(whole, 0, whole[61:-20])
    found = read(cut)
    assert [item.offset for item in found] == [0, 1, 2]
    assert found[0].value == b"first" and type(found[2].value) is UnreadableValue


def test_everything_else_is_answered_by_the_batch_itself() -> None:
    batch = ReadableMemoryRecords(build(VALUES, base=7)).next_batch()
    assert batch is not None
    assert (batch.base_offset, batch.next_offset, batch.is_control_batch, batch.validate_crc()) == (7, 10, False, True)


@settings(deadline=None)
@given(st.binary(max_size=80), st.integers(0, 7))
def test_any_bytes_under_any_codec_give_the_batch_s_offsets(records: bytes, codec: int) -> None:
    found = read(patch(build([b"a", b"b", b"c"], base=40), codec, records))
    assert [item.offset for item in found if item.offset >= 40][:1] == [40]
    assert {item.offset for item in found} >= {40, 41, 42}


def test_a_consumer_goes_past_an_unreadable_batch_on_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", ReadableMemoryRecords)
    batches = [
        build([b"a", b"b"]),
        patch(build([b"c", b"d"]), UNKNOWN_CODEC),
        patch(build([b"e"]), LZ4, b"garbage"),
        build([b"f"]),
    ]

    async def scenario(bootstrap: str) -> list[Any]:
        for batch in batches:
            assert await produce_raw(bootstrap, "broken", 0, batch) == 0
        place = TopicPartition("broken", 0)
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            found: list[Any] = []
            while len(found) < 6:
                found += (await consumer.getmany(place, timeout_ms=5000))[place]
            return found
        finally:
            await consumer.stop()

    with EmbeddedKafka() as kafka:
        found = asyncio.run(asyncio.wait_for(scenario(kafka.bootstrap), 30))
    assert [item.offset for item in found] == [0, 1, 2, 3, 4, 5]
    assert [type(item.value) is UnreadableValue for item in found] == [False, False, True, True, True, False]
    assert [item.value for item in found if type(item.value) is bytes] == [b"a", b"b", b"f"]

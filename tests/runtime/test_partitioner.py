"""The partition of a key is the one that Java's producer would take."""

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.partitioner import partitioner


def murmur2(data: bytes) -> int:
    """Kafka's murmur2, after org.apache.kafka.common.utils.Utils."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for place in range(0, whole, 4):
        k = int.from_bytes(data[place : place + 4], "little") * m & mask
        k ^= k >> 24
        h = (h * m & mask) ^ (k * m & mask)
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h ^= h >> 13
    h = h * m & mask
    return h ^ (h >> 15)


@pytest.mark.parametrize(
    ("key", "hashed"),
    # The values of Kafka's own UtilsTest.
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_here_is_kafka_s(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed & 0xFFFFFFFF


@given(st.binary(max_size=64), st.integers(1, 1000))
def test_a_key_has_java_s_partition(key: bytes, partitions: int) -> None:
    assert partitioner(partitions)(key) == (murmur2(key) & 0x7FFFFFFF) % partitions


def test_our_producers_send_a_key_where_the_partitioner_says() -> None:
    landed: dict[bytes, int] = {}
    with EmbeddedKafka() as kafka:
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"})
        for n in range(40):
            producer.produce("keys", b"", f"ñ{n}", on_delivery=lambda _, m: landed.update({m.key(): m.partition()}))
        assert producer.flush(20) == 0
    partition_of = partitioner(4)
    assert len(landed) == 40 and all(partition_of(key) == partition for key, partition in landed.items())

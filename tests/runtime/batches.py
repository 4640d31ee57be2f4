"""Record batches made by hand, also broken ones, and a way to put them into a partition byte for byte."""

import struct

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

#: Kafka's record batch format, v2: where the checksum, the attributes and the records start.
_CRC, _ATTRIBUTES, _RECORDS = 17, 21, 61
UNKNOWN_CODEC = 6
LZ4 = 3


def build(values: list[bytes | None], base: int = 0, at_ms: int = 1000) -> bytes:
    """A whole, uncompressed batch whose first record has the offset `base`."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for n, value in enumerate(values):
        assert builder.append(n, at_ms + n, b"key", value, [("h", b"v")]) is not None
    return struct.pack(">q", base) + bytes(builder.build())[8:]


def patch(batch: bytes, codec: int, records: bytes | None = None) -> bytes:
    """The same batch with another codec in its attributes, perhaps other records, and a right checksum."""
    attributes = struct.unpack_from(">h", batch, _ATTRIBUTES)[0] & ~0x07 | codec
    body = struct.pack(">h", attributes) + batch[_ATTRIBUTES + 2 : _RECORDS]
    body += batch[_RECORDS:] if records is None else records
    length = _ATTRIBUTES + len(body) - 12
    return batch[:8] + struct.pack(">i", length) + batch[12:_CRC] + struct.pack(">I", calc_crc32c(body)) + body


async def produce_raw(bootstrap: str, topic: str, partition: int, batch: bytes) -> int:
    """Append a batch as it is; returns the broker's error code (0: taken)."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        await client.force_metadata_update()
        client.add_topic(topic)
        await client.force_metadata_update()
        node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        request = ProduceRequest(
            required_acks=-1, timeout=5000, topics=[(topic, [(partition, batch)])], transactional_id=None
        )
        response = await client.send(node, request)
        return int(response.topics[0][1][0][1])
    finally:
        await client.close()

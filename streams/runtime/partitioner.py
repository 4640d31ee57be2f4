"""Which partition a key belongs to: murmur2 as Java's producer computes it, by librdkafka's own function."""

import ctypes
from collections.abc import Callable

from confluent_kafka import cimpl


def partitioner(partitions: int) -> Callable[[bytes], int]:
    """A function from a key to its partition, 0 to `partitions` - 1."""
    murmur2 = ctypes.CDLL(cimpl.__file__).rd_kafka_msg_partitioner_murmur2
    murmur2.restype = ctypes.c_int32
    murmur2.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32, *[ctypes.c_void_p] * 2]

    def partition_of(key: bytes) -> int:
        return int(murmur2(None, key, len(key), partitions, None, None))

    return partition_of

"""What a contestant published to `experience.slices`, read while it runs: a short log would have dropped it later."""

import threading
from collections import Counter

import msgspec
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from bench.feed import Cell as Counted
from schemas import topics
from schemas.errors import StopProcess
from schemas.heard import Heard
from schemas.slice import Cell, Progress, Slice, Sums
from schemas.transition import TransitionSlice
from streams.model.slices import merge
from streams.runtime import clients
from streams.runtime.settings import Settings

_decode = msgspec.json.Decoder(Slice | TransitionSlice | Heard | Progress).decode
_PAUSE_S = 0.2
Merged = dict[tuple[Cell, int], Sums]


class Collector:
    """Keeps the newest value of every key. It sleeps most of the time: a contest is no place for a busy reader."""

    def __init__(self, settings: Settings) -> None:
        self._reader = clients.consumer(settings, "bench.collect")
        partitions = self._reader.list_topics(topics.SLICES.name, timeout=10).topics[topics.SLICES.name].partitions
        self._places = [TopicPartition(topics.SLICES.name, number, OFFSET_BEGINNING) for number in partitions]
        self._reader.assign(self._places)
        self._newest: dict[bytes, bytes] = {}
        self._next: dict[int, int] = dict.fromkeys(partitions, 0)
        self._stop = threading.Event()
        self._problem = ""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE_S):
            self._drain()

    def _drain(self) -> None:
        while messages := self._reader.consume(20_000, 0.05):
            for message in messages:
                error, partition, offset = message.error(), message.partition() or 0, message.offset() or 0
                if error is not None or offset != self._next[partition]:
                    self._problem = error.str() if error else f"partition {partition} is cut at offset {offset}"
                self._next[partition] = offset + 1
                self._newest[message.key() or b""] = message.value() or b""

    def close(self) -> None:
        """Stop reading. A second call does nothing."""
        self._stop.set()
        self._thread.join()
        self._reader.close()

    def finish(self) -> dict[bytes, bytes]:
        """Read to the end and stop: the newest value of each key. Raises StopProcess if anything was missed."""
        self._stop.set()
        self._thread.join()
        for place in self._places:
            _, high = self._reader.get_watermark_offsets(place, timeout=10)
            while self._next[place.partition] < high and not self._problem:
                self._drain()
        if self._problem:
            raise StopProcess(f"the slices of a contestant could not be read: {self._problem}")
        return self._newest


def merged(newest: dict[bytes, bytes]) -> Merged:
    """All parts of every slice added up, whoever counted them."""
    result: Merged = {}
    for value in newest.values():
        message = _decode(value)
        if isinstance(message, Slice):
            merge(result.setdefault((message.cell, message.bucket), Sums()), message)
    return result


def events(slices: Merged) -> Counter[Counted]:
    """Events of each touchpoint and bucket."""
    counts: Counter[Counted] = Counter()
    for (cell, bucket), sums in slices.items():
        if not cell.segment:
            counts[cell.touchpoint, bucket] += sums.n
    return counts


def plain_events(newest: dict[bytes, bytes]) -> Counter[Counted]:
    """The same of the minimal contestant, whose messages are plain lists."""
    counts: Counter[Counted] = Counter()
    for key, value in newest.items():
        touchpoint, bucket = msgspec.json.decode(key)
        counts[touchpoint, bucket] = msgspec.json.decode(value)[0]
    return counts

"""The steps of `corredor forget`, each of which may be done again: a request is worked off from the first, always.

1. The request is written down in `corredor.forget`: from now on it is not forgotten that somebody is to be.
2. Everything published until now is read by the workers.
3. The worker that keeps the customer's journeys takes their names off; state and changelog have no more of them.
4. The sink writes everything that the workers have published until now, and erases the customer's rows.
5. The topics are cut behind the customer's last record, the changelog is compacted.
6. A receipt is written, and the request itself is dropped.
"""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec
from confluent_kafka import Message

from command.results import connect
from schemas import retention, topics
from schemas.errors import StopProcess
from schemas.forget import ForgetReceipt, ForgetRequest, digest
from schemas.rejection import RejectedEvent
from sinks import forget as rows
from streams.model.forget import FORGET_HEADER
from streams.runtime import clients, erase
from streams.runtime.partitioner import partitioner
from streams.runtime.positions import Place
from streams.runtime.settings import Settings

LANES = (topics.EVENTS.name, topics.REKEYED.name)
#: Topics whose beginning nobody needs once it is read.
CUT = (*LANES, topics.SCORED.name, topics.REJECTED.name, topics.JOURNEYS.name)
_LOOK_S = 0.25
_SEND_TIMEOUT_S = 30.0
#: Numbers the steps as they are told.
STEPS = 6


@dataclass(slots=True)
class Erasure:
    """One request on its way. `tell` gets a line for every step and what it waits for."""

    settings: Settings
    request: ForgetRequest
    #: Monotonic seconds.
    until: float
    keep_topics: bool = False
    tombstones_s: float = erase.TOMBSTONES_S
    tell: Callable[[str], None] = lambda line: None
    records: dict[str, int] = field(default_factory=dict)
    remaining: dict[str, float | None] = field(default_factory=dict)

    def run(self) -> ForgetReceipt:
        """Do all of it; returns the receipt. Raises StopProcess where it cannot go on: do it again then."""
        settings, request = self.settings, self.request
        self._read_by(settings.worker_group, [topics.EVENTS.name], 2)
        self._read_by(settings.worker_group, [topics.REKEYED.name], 2)
        self._take_names_off()
        self._read_by(settings.sink_group, [topic.name for topic in topics.RESULTS], 4)
        self._erase_rows()
        self._erase_records()
        receipt = ForgetReceipt(
            request=request.request,
            asked_at=request.asked_at,
            done_at=time.time(),
            salt=request.salt,
            digest=digest(request.salt, request.subject),
            rows=request.rows,
            records=self.records,
            remaining=self.remaining,
        )
        self.tell(f"6 of {STEPS}: writing the receipt")
        send(settings, topics.FORGOTTEN.name, request.request, msgspec.json.encode(receipt))
        return receipt

    def _read_by(self, group: str, names: list[str], step: int) -> None:
        """Wait until a group has read what these topics hold now."""
        self._wait(step, f"waiting for {group}", partial(self._unread, group, erase.ends(self.settings, names)))

    def _take_names_off(self) -> None:
        topic = topics.REKEYED.name
        home = partitioner(len(erase.ends(self.settings, [topic])))(self.request.subject.encode())
        self.tell(f"3 of {STEPS}: journeys lose their name, partition {home}")
        send(self.settings, topic, None, msgspec.json.encode(self.request), home, [(FORGET_HEADER, b"1")])
        self._read_by(self.settings.worker_group, [topic], 3)

    def _erase_rows(self) -> None:
        # The rows that came since the request was first written down.
        ask(self.settings, self.request)
        self._read_by(self.settings.sink_group, [topics.FORGET.name], 4)
        results = connect(self.settings)

        def erased() -> str:
            left = sum(int(count) for _, count in results.rows(rows.count(self.request)))
            ((running,),) = results.rows(rows.unfinished())
            return f"ClickHouse still has {left:,} rows and works off {running} statements" if left or running else ""

        try:
            self._wait(4, "ClickHouse erases", erased)
        finally:
            results.close()

    def _erase_records(self) -> None:
        """Topics and changelog; what has to stay is noted in `remaining`."""
        settings = self.settings
        if settings.kafka_paced:
            self.remaining |= dict.fromkeys((*CUT, topics.STATE_INGEST.name), None)
            return
        if self.keep_topics:
            self.remaining |= {name: _retention_s(settings, name) for name in CUT}
        else:
            self._cut()
        self.tell(f"5 of {STEPS}: compacting {topics.STATE_INGEST.name}")
        compacted = erase.compact(
            settings,
            topics.STATE_INGEST.name,
            holder(self.request.subject),
            self.until,
            self.tombstones_s,
            lambda left: self.tell(f"5 of {STEPS}: compacting {topics.STATE_INGEST.name}, {left:,} records left"),
        )
        self.records[topics.STATE_INGEST.name] = compacted

    def _cut(self) -> None:
        until = erase.ends(self.settings, CUT)
        for name in CUT:
            self.tell(f"5 of {STEPS}: looking through {name}")
            group = self.settings.worker_group if name in LANES else self.settings.sink_group
            mine = {place: end for place, end in until.items() if place[0] == name}
            found = erase.find(self.settings, mine, holder(self.request.subject))
            places: dict[Place, int] = {}
            for place, item in found.items():
                self._wait(5, f"waiting for {group}", partial(self._unread, group, {place: item.after}))
                if late := erase.behind(self.settings, place, item.after):
                    self.tell(f"{name}/{place[1]} stays until it expires: {', '.join(late)} have not read so far")
                    self.remaining[name] = _retention_s(self.settings, name)
                    continue
                places[place] = item.after
            if places:
                erase.cut(self.settings, places)
            self.records[name] = sum(found[place].count for place in places)

    def _unread(self, group: str, until: dict[Place, int]) -> str:
        left = erase.unread(self.settings, group, until)
        return f"{left:,} records not read" if left else ""

    def _wait(self, step: int, doing: str, not_yet: Callable[[], str]) -> None:
        """Wait until nothing is said any more. Raises StopProcess after the deadline."""
        self.tell(f"{step} of {STEPS}: {doing}")
        while reason := not_yet():
            self.tell(f"{step} of {STEPS}: {doing}: {reason}")
            if time.monotonic() > self.until:
                raise StopProcess(
                    f"step {step} of {STEPS} was not done in time: {reason}. The request is written down: see that "
                    "workers and sink run (`corredor status`), then: corredor forget --resume"
                )
            time.sleep(_LOOK_S)


def _retention_s(settings: Settings, topic: str) -> float:
    default = next(each for each in topics.ALL if each.name == topic).retention_ms / 1000.0
    return retention.parse(settings.retention).get(topic, default)


def new_request(settings: Settings, subject: str) -> ForgetRequest:
    """A request for this subject, with the rows that hold it now; written down by `ask`."""
    request = ForgetRequest(
        request=secrets.token_hex(8), subject=subject, salt=secrets.token_hex(16), asked_at=time.time()
    )
    results = connect(settings)
    try:
        counted = {str(table): int(count) for table, count in results.rows(rows.count(request))}
    finally:
        results.close()
    return msgspec.structs.replace(request, rows=counted)


def ask(settings: Settings, request: ForgetRequest) -> None:
    """Write the request down; the sink erases the rows that are there each time. Raises StopProcess."""
    send(settings, topics.FORGET.name, request.request, msgspec.json.encode(request), 0)


def open_requests(settings: Settings) -> list[ForgetRequest]:
    """Requests that have no receipt, oldest first."""
    names = (topics.FORGET.name, topics.FORGOTTEN.name)
    asked: dict[str, ForgetRequest] = {}
    done: set[str] = set()

    for message in erase.records(settings, erase.ends(settings, names)):
        value = message.value()
        if value is None:
            continue
        if message.topic() == topics.FORGET.name:
            request = msgspec.json.decode(value, type=ForgetRequest)
            asked.setdefault(request.request, request)
        else:
            done.add(msgspec.json.decode(value, type=ForgetReceipt).request)
    return [request for name, request in asked.items() if name not in done]


def drop_requests(settings: Settings) -> None:
    """Drop the requests themselves, if every one of them has its receipt and the sinks have read them all."""
    ends = {place: end for place, end in erase.ends(settings, [topics.FORGET.name]).items() if end}
    if ends and not settings.kafka_paced and not open_requests(settings):
        erase.cut(settings, ends)


def holder(subject: str) -> Callable[[Message], bool]:
    """A function that says of a record whether it holds the subject in clear: as key, in headers, or inside JSON."""
    plain = subject.encode()
    written = {msgspec.json.encode(subject), json.dumps(subject).encode()}
    decode = msgspec.json.Decoder(RejectedEvent).decode

    def holds(message: Message) -> bool:
        key, value = message.key(), message.value()
        headers = [content for _, content in message.headers() or ()]
        if value is not None and message.topic() == topics.REJECTED.name:
            rejected = decode(value)
            key, value, headers = rejected.key, rejected.raw, list(rejected.headers.values())
        if plain == key or plain in headers:
            return True
        return any(text in part for part in (key, value) if part is not None for text in written)

    return holds


def send(
    settings: Settings,
    topic: str,
    key: str | None,
    value: bytes,
    partition: int | None = None,
    headers: list[tuple[str, str | bytes | None]] | None = None,
) -> None:
    """Publish one record and see it acknowledged. Raises StopProcess if it is not."""
    failed: list[str] = []
    producer = clients.producer(settings)
    producer.produce(
        topic,
        value,
        key,
        **({} if partition is None else {"partition": partition}),
        headers=headers or [],
        on_delivery=lambda error, _: failed.append(error.str()) if error is not None else None,
    )
    if producer.flush(_SEND_TIMEOUT_S) or failed:
        raise StopProcess(
            f"Kafka does not take a record for {topic}: {failed[0] if failed else 'no answer'}; nothing was erased by "
            "this step. Then: corredor forget --resume"
        )

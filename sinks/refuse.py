"""Rows that ClickHouse refuses: found by halving the batch, and kept as rejections."""

from dataclasses import dataclass

import msgspec

from schemas import topics
from schemas.errors import RejectEvent, StopProcess
from schemas.forget import ForgetRequest
from schemas.rejection import Reason, RejectedEvent
from sinks.clickhouse import Store
from sinks.lane import ERASURE, TABLES, Message

_DETAIL_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that ClickHouse will not take, and ClickHouse's words."""

    message: Message
    detail: str

    def event(self) -> RejectedEvent:
        """The rejection that keeps it: the message's own bytes, topic, partition and offset."""
        message = self.message
        return RejectedEvent(
            reason=Reason.REFUSED_BY_STORE,
            detail=self.detail[:_DETAIL_CHARS],
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
            received_at=message.timestamp()[1] / 1000,
            key=message.key(),
            raw=message.value(),
            headers=dict(message.headers() or []),
        )


def write(store: Store, table: str, messages: list[Message]) -> list[Refusal]:
    """Write all rows but those refused, which are returned; or erase the rows of those who are to be forgotten.

    A refused batch is halved until the row that breaks it stands alone: 2 log2(n) inserts for each such row. Raises
    StoreAway and StopProcess as `Store.insert` does; what was written by then is written again, and replaces itself.
    """
    if not messages:
        return []
    if table == ERASURE:
        for message in messages:
            store.erase(msgspec.json.decode(message.value(), type=ForgetRequest))
        return []
    try:
        store.insert(table, b"\n".join([message.value() for message in messages]))
    except RejectEvent as refused:
        if len(messages) == 1:
            return [Refusal(messages[0], refused.detail)]
        middle = len(messages) // 2
        return write(store, table, messages[:middle]) + write(store, table, messages[middle:])
    return []


def write_minimal(store: Store, refusal: Refusal) -> None:
    """Keep a refused rejection as a row of our own making, its value as the raw bytes; it must not go round again."""
    try:
        store.insert(TABLES[topics.REJECTED.name], msgspec.json.encode(refusal.event()))
    except RejectEvent as error:
        raise StopProcess(
            f"ClickHouse refuses even a plain row in rejected_events: {error.detail}; "
            f"compare its columns with the migrations (`corredor migrate --list`)"
        ) from error

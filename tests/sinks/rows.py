"""Messages as the workers publish them."""

from typing import Any

import msgspec

from schemas.rejection import Reason, RejectedEvent
from schemas.score import Score
from schemas.scored import ScoredEvent
from schemas.slice import Progress, Slice

#: 2026-11-21T12:00:00Z
NOON = 1_795_262_400


def scored(offset: int = 0, **changes: Any) -> ScoredEvent:
    fields: dict[str, Any] = {
        "tenant": "default",
        "touchpoint": "checkout",
        "channel": "web",
        "stage": "during",
        "actor": "buyer",
        "contact": "direct",
        "subject": f"customer-{offset % 7}",
        "journey": f"order-{offset}",
        "source": "shop",
        "id": f"event-{offset}",
        "time": NOON + offset / 8,
        "received_at": NOON + offset / 8 + 0.25,
        "outcome": "success",
        "band": "positive",
        "source_partition": 0,
        "source_offset": offset,
        "raw": msgspec.Raw(b'{"touchpoint":"checkout",\n "note":"caf\xc3\xa9"}'),
        "x": 0.875,
        "wait_ms": 1200,
        "segment": {"location": "Madrid", "device": "phone"},
        "aspects": {"kindness": 0.5},
    }
    return ScoredEvent(**(fields | changes))


def slice_(**changes: Any) -> Slice:
    fields: dict[str, Any] = {
        "tenant": "default",
        "touchpoint": "checkout",
        "channel": "web",
        "stage": "during",
        "actor": "buyer",
        "contact": "direct",
        "segment": "",
        "segment_value": "",
        "bucket": NOON,
        "origin": "touchpoint.events/0",
        "part": 0,
        "version": 0,
    }
    return Slice(**(fields | changes))


def score(**changes: Any) -> Score:
    fields: dict[str, Any] = dict.fromkeys(Score.__struct_fields__)
    counts = dict.fromkeys(("n", "scored", "gap_n", "nps_n", "csat_n", "ces_n", "wait_n"), 0)
    own = {"tenant": "default", "scope": "touchpoint", "name": "checkout", "segment": "", "segment_value": ""}
    return Score(**(fields | counts | own | {"window": "5m", "at": NOON, "version": 1} | changes))


def rejected(offset: int = 0, **changes: Any) -> RejectedEvent:
    fields: dict[str, Any] = {
        "reason": Reason.INVALID_JSON,
        "detail": "JSON is malformed",
        "topic": "touchpoint.events",
        "partition": 0,
        "offset": offset,
        "received_at": NOON + 0.5,
        "key": b"\x00\xff",
        "raw": b"{\xff\x00",
        "headers": {"ce_id": b"\xfe", "empty": None},
    }
    return RejectedEvent(**(fields | changes))


def progress() -> Progress:
    return Progress(origin="touchpoint.events/0", applied=9, watermark=float(NOON))


def encode(row: Any) -> bytes:
    return msgspec.json.encode(row)


def lines(*rows: Any) -> bytes:
    return b"\n".join(map(encode, rows))

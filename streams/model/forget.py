"""To forget a customer in the state of a partition: journeys lose their name, and what was counted stays counted.

An open journey is work in progress: cut out of the state it would stand in the corridor for ever. So its touchpoints
and times stay, under a name that says nothing, until it ends or is silent for long enough; it is never published.
"""

from typing import Final

import msgspec

from schemas.forget import ForgetRequest
from streams.model.decode import Record
from streams.model.journey_state import JourneyKey

#: The only header of a request to forget in `corredor.rekeyed`. An event that was handed over has another one there,
#: so that nobody who may only publish events can have a customer forgotten.
FORGET_HEADER: Final = "corredor-forget"
#: The subject of forgotten journeys: no event has an empty one.
_NOBODY: Final = ""
_decode = msgspec.json.Decoder(ForgetRequest).decode


def asked(record: Record) -> ForgetRequest | None:
    """The request that a record of `corredor.rekeyed` is; None if it is an event, or nothing that can be read."""
    headers = tuple(record.headers)
    if len(headers) != 1 or headers[0][0] != FORGET_HEADER or record.value is None:
        return None
    try:
        return _decode(record.value)
    except msgspec.DecodeError:
        return None


def nameless(key: JourneyKey, request: str, number: int) -> JourneyKey:
    """The name of a forgotten journey: the `number`-th that this request found in its partition."""
    return key[0], _NOBODY, f"{request}/{number}"


def is_nameless(key: JourneyKey) -> bool:
    """Whether the journey was forgotten."""
    return key[1] == _NOBODY

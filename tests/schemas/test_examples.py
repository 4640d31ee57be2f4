"""The examples say what they claim: valid ones pass schema and decoder, invalid ones are caught for their reason."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from schemas import generate
from schemas.errors import RejectEvent
from schemas.event import TouchpointData, TouchpointEvent
from schemas.incident import Incident
from schemas.journey import Journey
from schemas.rejection import Reason, RejectedEvent
from schemas.score import Score
from schemas.scored import ScoredEvent
from schemas.slice import Progress, Slice
from schemas.standing import Standing, Way
from schemas.transition import TransitionSlice
from streams.model.decode import check_times, decode

EXAMPLES = Path(generate.__file__).parent / "examples"
INVALID = EXAMPLES / "invalid"
INDEX: dict[str, dict[str, str]] = json.loads((INVALID / "index.json").read_text())
#: 2026-11-22, when the examples "arrive".
ARRIVAL_S = 1795305600.0
FAMILIES = {
    "event-web": ("touchpoint-event", TouchpointEvent),
    "event-store": ("touchpoint-event", TouchpointEvent),
    "event-delivery": ("touchpoint-event", TouchpointEvent),
    "event-support": ("touchpoint-event", TouchpointEvent),
    "event-survey": ("touchpoint-event", TouchpointEvent),
    "event-social": ("touchpoint-event", TouchpointEvent),
    "event-data": ("touchpoint-data", TouchpointData),
    "scored-event": ("scored-event", ScoredEvent),
    "rejected-event": ("rejected-event", RejectedEvent),
    "slice": ("slice", Slice),
    "progress": ("progress", Progress),
    "incident": ("incident", Incident),
    "standing": ("standing", Standing),
    "way": ("way", Way),
    "score": ("score", Score),
    "transition-slice": ("transition-slice", TransitionSlice),
    "journey": ("journey", Journey),
}


@dataclass(frozen=True)
class Arrived:
    """A Kafka record with this value."""

    value: bytes | None
    offset: int = 0
    timestamp: int = int(ARRIVAL_S * 1000)
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} == set(FAMILIES)
    assert {path.name for path in INVALID.iterdir()} == {*INDEX, "index.json"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_valid_example_fits_its_schema_and_survives_decoder_and_encoder(name: str) -> None:
    family, kind = FAMILIES[name]
    raw = (EXAMPLES / f"{name}.json").read_bytes()
    schema = json.loads((generate.GENERATED / f"{family}.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads(raw))
    value = msgspec.json.decode(raw, type=kind)
    encoded = msgspec.json.encode(value)
    assert msgspec.json.encode(msgspec.json.decode(encoded, type=kind)) == encoded
    Draft202012Validator(schema).validate(json.loads(encoded))


@pytest.mark.parametrize("name", [name for name in FAMILIES if name.startswith("event-") and name != "event-data"])
def test_a_valid_event_is_accepted_on_arrival(name: str) -> None:
    event = decode(Arrived((EXAMPLES / f"{name}.json").read_bytes()))
    check_times(event.time.timestamp(), ARRIVAL_S)


def test_the_data_example_is_accepted_in_binary_mode() -> None:
    attributes = {
        "specversion": "1.0",
        "id": "call-90211",
        "source": "contact-centre",
        "type": "io.corredor.touchpoint.v1",
        "time": "2026-11-21T12:30:45Z",
        "subject": "c-104233",
        "causationid": "h-55310",
    }
    headers = tuple((f"ce_{name}", value.encode()) for name, value in attributes.items())
    data = (EXAMPLES / "event-data.json").read_bytes()
    event = decode(Arrived(data, headers=(("content-type", b"application/json"), *headers)))
    assert event == decode(Arrived((EXAMPLES / "event-support.json").read_bytes()))


def test_the_scored_example_is_the_weighted_mean_of_its_components() -> None:
    scored = msgspec.json.decode((EXAMPLES / "scored-event.json").read_bytes(), type=ScoredEvent)
    assert scored.gap == (48 - 61.5) / 24
    assert scored.x_promise == pytest.approx(0.7 * math.exp(scored.gap), abs=1e-9)
    # Weights of delivery.handover in the retail map: outcome 2, promise 4, rating 4, effort 1.
    x = (2 * 1 + 4 * scored.x_promise + 4 * 0.75 + 1 * 1) / 11
    assert scored.x == pytest.approx(x, abs=1e-9)


@pytest.mark.parametrize("name", INDEX)
def test_an_invalid_example_is_rejected_for_its_reason(name: str) -> None:
    value = (INVALID / name).read_bytes()
    with pytest.raises(RejectEvent) as raised:
        check_times(decode(Arrived(value)).time.timestamp(), ARRIVAL_S)
    assert raised.value.reason == Reason(INDEX[name]["reason"])


@pytest.mark.parametrize("name", INDEX)
def test_an_invalid_example_is_caught_where_the_index_says(name: str) -> None:
    value = (INVALID / name).read_bytes()
    match INDEX[name]["caught"]:
        case "before the decoder":
            with pytest.raises(UnicodeDecodeError):
                value.decode()
        case "decoder":
            with pytest.raises((msgspec.DecodeError, RecursionError)):
                msgspec.json.decode(value, type=TouchpointEvent)
        case "after the decoder":
            msgspec.json.decode(value, type=TouchpointEvent)
        case other:
            pytest.fail(f"index.json: `{other}` is no place")

"""Nothing that strangers send makes the collector answer 500, end, or publish what ingest would reject."""

import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import RejectEvent
from sources.collect import keys_file
from sources.collect.contract import check
from sources.collect.limits import TokenBucket
from sources.collect.refusals import Refused
from sources.collect.webhooks import Hook
from streams.model.decode import decode
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.settings import Settings, load_settings
from tests.builders import NOW, Record
from tests.sources.collect.running import Collector, collecting, contact, encode, published

ROUNDS = 300
_PATHS = ("/events", "/events?faulty=skip", "/hooks/shop", "/hooks/help-desk", "/hooks/courier", "/hooks/survey")
_TYPES = (
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/json",
    "text/plain",
    "multipart/form-data; boundary=x",
    "application/cloudevents+json;;;=;charset",
    "",
)
_CELLS: tuple[object, ...] = (
    None,
    True,
    -1,
    2**63,
    10**400,
    1e308,
    "",
    "@goal",
    "\x00",
    "ñ" * 300,
    [],
    [[[]]],
    {},
    {"a": {"b": []}},
    "NaN",
)
_EXAMPLES = Path(__file__).resolve().parents[3] / "schemas" / "examples"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with EmbeddedKafka() as broker:
        yield load_settings(kafka=broker.bootstrap, data_dir=tmp_path_factory.mktemp("collect"))


@pytest.fixture(scope="module")
def collector(settings: Settings) -> Iterator[Collector]:
    with collecting(settings, "--body-timeout", "1") as running:
        yield running


def mutated(dice: random.Random) -> bytes:
    """An event, a list of events or a payload with something wrong: cut, a byte changed, a cell replaced."""
    whole = contact(dice.randrange(1000), ticket={"id": 1}, order={"id": 1}, parcel={}, survey={"type": "nps"})
    whole["type"] = dice.choice([whole["type"], "ticket.created", "ticket.solved"])
    whole |= {"topic": "checkout.completed", "event": dice.choice(["parcel.promised", "response.completed"])}
    places: list[dict[str, Any]] = [whole, whole["data"], whole["ticket"], whole["order"]]
    for _ in range(dice.randrange(3)):
        place = dice.choice(places)
        place[dice.choice([*place, "subject", "total", "score"])] = dice.choice(_CELLS)
    body = json.dumps([whole] * dice.randrange(1, 4) if dice.random() < 0.4 else whole).encode()
    kind = dice.randrange(4)
    if kind == 0:
        return body[: dice.randrange(len(body))]
    if kind == 1:
        at = dice.randrange(len(body))
        return body[:at] + dice.randbytes(1) + body[at + 1 :]
    return dice.randbytes(dice.randrange(400)) if kind == 2 else body


def test_random_truncated_and_mutated_bodies_are_answered_and_never_with_500(
    collector: Collector, settings: Settings
) -> None:
    dice = random.Random(6)
    corpus = [file.read_bytes() for file in sorted(_EXAMPLES.rglob("*.json"))]
    corpus += [mutated(dice) for _ in range(ROUNDS)]
    statuses = set()
    taken = len(published(settings))
    for body in corpus:
        path, content_type = dice.choice(_PATHS), dice.choice(_TYPES[:2] * 3 + _TYPES)
        ce = {"ce_id": dice.choice(["1", "%ff", "%", ""]), "ce_data": "x"} if dice.random() < 0.2 else {}
        answer = collector.post(path, body, content_type, **ce)
        statuses.add(answer.status_code)
        taken += answer.json().get("accepted", 0)
        assert answer.status_code in (202, 400, 413, 415, 422), (path, content_type, body, answer.text)
    assert {202, 400, 415, 422} <= statuses
    messages = published(settings)
    assert len(messages) == taken
    for message in messages:
        decode(Record(0, 0, message.key(), message.value(), tuple(message.headers() or ())))


def test_any_payload_is_mapped_or_rejected() -> None:
    dice = random.Random(7)
    hooks = keys_file.without_file()[1]

    def hold(hook: Hook, body: bytes) -> None:
        try:
            for sent in hook.events(body):
                check(sent, NOW + 86_400)
        except RejectEvent as error:
            assert error.detail

    for _ in range(1500):
        hold(hooks[dice.choice(sorted(hooks))], mutated(dice))


def test_large_bodies_are_refused_before_and_after_they_are_read(collector: Collector) -> None:
    large = b" " * (1024 * 1024 + 1)
    assert collector.structured(large).status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b"[" * 65536

    answer = collector.http.post("/events", content=chunks(), headers={"Content-Type": "application/cloudevents+json"})
    assert answer.status_code == 413
    exact = encode(contact())
    assert collector.structured(exact + b" " * (64 * 1024 - len(exact))).status_code == 202
    too_large = collector.structured(exact + b" " * (64 * 1024 + 1 - len(exact)))
    assert (too_large.status_code, too_large.json()["title"]) == (422, "too_large")
    long = b"[" + b",".join([b"{}"] * 1001) + b"]"
    assert collector.post("/events", long, "application/cloudevents-batch+json").status_code == 413
    assert collector.structured(exact, Content_Encoding="gzip").status_code == 415


def raw(collector: Collector, *pieces: bytes) -> bytes:
    """The answer to bytes on a connection of their own, to its end."""
    with socket.create_connection(collector.address, timeout=60) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
            while part := connection.recv(65536):
                answer += part
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answer


_HEAD = b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\n"


def test_a_slow_body_is_given_up(collector: Collector) -> None:
    assert raw(collector, _HEAD + b"Content-Length: 100\r\n\r\n", b"{").startswith(b"HTTP/1.1 408")


def test_floods_of_headers_and_broken_requests_are_refused(collector: Collector) -> None:
    flood = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 100) for number in range(5000))
    assert raw(collector, _HEAD + flood).startswith(b"HTTP/1.1 400")
    dice = random.Random(8)
    for _ in range(50):
        answer = raw(collector, dice.randbytes(dice.randrange(1, 200)) + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400")
    for head in (
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"Transfer-Encoding: gzip\r\n\r\n",
        b"X-Corredor-Key: \xff\xfe\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"Authorization: Bearer \xc3\xa9\r\nOrigin: \xff\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    ):
        answer = raw(collector, _HEAD + head)
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501")), (head, answer)
    assert collector.structured(encode(contact())).status_code == 202


def test_a_rate_is_kept_with_a_burst() -> None:
    clock = [0.0]
    bucket = TokenBucket(2.0, lambda: clock[0])
    for _ in range(2):
        bucket.take()
    with pytest.raises(Refused) as refused:
        bucket.take()
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "1")
    clock[0] = 0.5
    bucket.take()
    with pytest.raises(Refused):
        bucket.take()

"""Who may send what: keys, sources, tenants, origins, signatures; and a keys file that says what is wrong with it."""

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import UsageError
from sources.collect import keys_file
from sources.collect.keys import new_key
from sources.collect.refusals import Refused
from sources.collect.signatures import WINDOW_S, Signatures, SignatureSpec, sign
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.settings import Settings, load_settings
from tests.sources.collect.running import Collector, collecting, contact, encode, iso, now, published, start

KEY, DIGEST = new_key()
BROWSER_KEY, BROWSER_DIGEST = new_key()
SECRET = "0123456789abcdef-secret"
KEYS = f"""
keys:
  - name: shop
    sha256: "{DIGEST}"
    sources: [/shop, "/shop/*"]
    tenants: [default, brand-?]
    hooks:
      - {{name: orders, mapping: shop}}
  - name: browsers
    sha256: "{BROWSER_DIGEST}"
    sources: [/web]
    origins: [https://shop.example]
    rate: 2
  - name: help-desk
    sources: [/help-desk]
    hooks:
      - name: tickets
        mapping: help-desk
        secret: {{env: TICKETS_SECRET}}
"""
TICKET = encode(
    {
        "id": "evt-1",
        "type": "ticket.created",
        "time": iso(now()),
        "ticket": {"id": 7, "requester_id": "c-1", "reason": "delivery"},
    }
)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Settings]:
    with EmbeddedKafka() as broker:
        yield load_settings(kafka=broker.bootstrap, kafka_paced=True, data_dir=tmp_path / "data")


@pytest.fixture
def collector(embedded: Settings, tmp_path: Path) -> Iterator[Collector]:
    file = tmp_path / "keys.yaml"
    file.write_text(KEYS)
    with collecting(embedded, "--keys", str(file), environment={"TICKETS_SECRET": SECRET}) as running:
        yield running


def test_a_key_sends_only_its_sources_and_tenants(collector: Collector, embedded: Settings) -> None:
    bearer = {"Authorization": f"Bearer {KEY}"}
    assert collector.structured(encode(contact(1)), **bearer).status_code == 202
    assert collector.structured(encode(contact(2, source="/shop/app", tenant="brand-1")), X_Corredor_Key=KEY).is_success
    for foreign in (contact(3, source="/courier"), contact(3, tenant="other"), contact(3, source="/shopper")):
        answer = collector.batch([contact(4), foreign], **bearer)
        assert answer.status_code == 403
        assert answer.json()["errors"][0]["index"] == 1
    for wrong in ({}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": f"Basic {KEY}"}):
        answer = collector.structured(encode(contact(5)), **wrong)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert {message.key() for message in published(embedded)} == {b"customer-1", b"customer-2"}
    metrics = collector.http.get("/metrics").text
    assert 'corredor_collect_accepted_events_total{key="shop",mode="structured"} 2.0' in metrics
    assert 'corredor_collect_refused_requests_total{reason="foreign_source",status="403"} 2.0' in metrics


def test_a_secret_key_in_the_address_is_refused(collector: Collector) -> None:
    answer = collector.batch([contact()], f"/events?key={KEY}")
    assert (answer.status_code, answer.json()["title"]) == (401, "key_in_address")


def test_browsers_use_their_key_from_their_pages_only_and_within_its_rate(collector: Collector) -> None:
    page = contact(source="/web")
    path = f"/events?key={BROWSER_KEY}"
    allowed = collector.post(path, encode([page]), "text/plain", Origin="https://shop.example")
    assert allowed.status_code == 202
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    foreign = collector.post(path, encode([page]), "text/plain", Origin="https://evil.example")
    assert foreign.status_code == 403
    assert "access-control-allow-origin" not in foreign.headers
    ask = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    preflight = collector.http.options("/events", headers=ask)
    assert preflight.status_code == 204
    assert "x-corredor-key" in preflight.headers["access-control-allow-headers"]
    assert collector.http.options("/events", headers={**ask, "Origin": "https://evil.example"}).status_code == 403
    answers = [
        collector.post(path, encode([page]), "text/plain", Origin="https://shop.example").status_code for _ in range(20)
    ]
    assert 429 in answers
    limited = collector.post(path, encode([page]), "text/plain", Origin="https://shop.example")
    assert limited.status_code != 429 or int(limited.headers["retry-after"]) >= 1


def test_a_webhook_needs_its_signature_and_each_signature_works_once(collector: Collector, embedded: Settings) -> None:
    def send(body: bytes, signature: str) -> int:
        return collector.post("/hooks/tickets", body, "application/json", Corredor_Signature=signature).status_code

    at = int(time.time())
    good = sign(SECRET.encode(), TICKET, at)
    assert send(TICKET, "") == 401
    assert send(TICKET, good[:-1] + ("0" if good[-1] != "0" else "1")) == 401
    assert send(TICKET + b" ", good) == 401
    assert send(TICKET, sign(b"another secret..", TICKET, at)) == 401
    assert send(TICKET, sign(SECRET.encode(), TICKET, at - 301)) == 401
    assert send(TICKET, sign(SECRET.encode(), TICKET, at + 302)) == 401
    assert send(TICKET, good) == 202
    assert send(TICKET, good) == 401
    broken = b'{"id": "evt-2", "type": "ticket.created"}'
    signature = sign(SECRET.encode(), broken, at)
    assert [send(broken, signature) for _ in range(2)] == [422, 422], "what was not taken may be sent again"
    assert len(published(embedded)) == 1


def test_a_webhook_without_a_secret_needs_its_own_key(collector: Collector) -> None:
    nothing = b'{"topic": "cart.viewed"}'
    assert collector.post("/hooks/orders", nothing, "application/json").status_code == 401
    assert collector.post("/hooks/orders", nothing, "application/json", X_Corredor_Key=BROWSER_KEY).status_code == 403
    answer = collector.post("/hooks/orders", nothing, "application/json", X_Corredor_Key=KEY)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0})
    assert collector.post("/hooks/none", nothing, "application/json", X_Corredor_Key=KEY).status_code == 404


def test_a_signature_in_two_headers_and_base64_is_a_matter_of_the_file() -> None:
    spec = SignatureSpec(header="X-Sig", timestamp_header="X-At", encoding="base64", separator="")
    signatures = Signatures(spec, b"secret", lambda: 1_795_255_200.0)
    at = "2026-11-21T10:00:00Z"
    digest = base64.b64encode(hmac.new(b"secret", at.encode() + b"{}", hashlib.sha256).digest()).decode()
    assert signatures.claim({"x-sig": digest, "x-at": at}, b"{}")
    with pytest.raises(Refused, match="used before"):
        signatures.claim({"x-sig": digest, "x-at": at}, b"{}")


def test_used_signatures_are_forgotten_once_they_are_too_old() -> None:
    clock = [1000.0]
    signatures = Signatures(SignatureSpec(), b"secret", lambda: clock[0])
    for number in range(500):
        clock[0] = 1000.0 + 10 * number
        body = str(number).encode()
        signatures.claim({"corredor-signature": sign(b"secret", body, int(clock[0]))}, body)
    assert len(signatures._used) <= 2 * WINDOW_S / 10 + 2


def test_a_keys_file_says_file_line_and_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("keys:\n  - name: Shop\n    sha256: abc\n    sources: []\n    tenant: x\n")
    with pytest.raises(UsageError) as misfits:
        keys_file.load(file)
    for line, word in ((2, "Shop"), (3, "sha256"), (4, "sources"), (5, "did you mean `tenants`?")):
        assert any(f"keys.yaml:{line}:" in row and word in row for row in str(misfits.value).splitlines()), line
    file.write_text(
        "keys:\n"
        "  - name: a\n"
        "    sources: [/a]\n"
        "  - name: a\n"
        f'    sha256: "{DIGEST}"\n'
        "    sources: [/a]\n"
        "    origins: [shop.example]\n"
        "    hooks:\n"
        "      - {name: h, mapping: none-such, secret: {env: NOT_SET}}\n"
        "      - {name: h, mapping: shop, secret: {file: nowhere}}\n"
    )
    with pytest.raises(UsageError) as rules:
        keys_file.load(file, {})
    expected = ((2, "neither"), (4, "duplicate key"), (7, "origin"), (9, "none-such"), (9, "NOT_SET"), (10, "nowhere"))
    for line, word in (*expected, (10, "duplicate webhook")):
        assert any(f"keys.yaml:{line}:" in row and word in row for row in str(rules.value).splitlines()), (line, word)


def test_without_keys_only_this_machine_is_served(embedded: Settings) -> None:
    process = start(embedded, "--host", "0.0.0.0")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--keys" in said
    with collecting(embedded) as collector:
        assert collector.structured(encode(contact()), Origin="https://evil.example").status_code == 403
        assert collector.structured(encode(contact()), Origin="http://localhost:3000").status_code == 202


def test_a_new_key_is_shown_once_and_its_entry_works(embedded: Settings, tmp_path: Path) -> None:
    process = start(embedded, "--new-key", "web-shop")
    said, _ = process.communicate(timeout=60)
    token = next(word for word in said.split() if word.startswith("ck_"))
    file = tmp_path / "keys.yaml"
    file.write_text("keys:\n" + said[said.index("  - name:") :])
    keys, _ = keys_file.load(file)
    assert keys.find(token).name == "web-shop"
    assert token not in file.read_text()

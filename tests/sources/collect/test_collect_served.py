"""What else the collector serves: its OpenAPI document, its page, the beacon, health, TLS, idle connections."""

import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import uvicorn

from sources.collect import contract, openapi
from sources.collect.contract import Sent
from sources.collect.limits import Limits
from sources.collect.protocol import timed
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.settings import Settings, load_settings
from tests.conftest import wait_until
from tests.sources.collect.running import Collector, collecting, contact, encode, now, start

BEACON = Path(openapi.__file__).parent / "beacon.js"
#: A browser as far as the beacon needs one; prints what was sent.
BROWSER = """
const fs = require("fs"), vm = require("vm");
const sent = [], listeners = {}, store = {};
const on = (name, f) => { (listeners[name] = listeners[name] || []).push(f); };
const storage = { getItem: (k) => store[k] || null, setItem: (k, v) => { store[k] = v; } };
const document = { visibilityState: "visible", addEventListener: on, currentScript: {
  src: "https://collector.example/beacon.js", dataset: {key: "ck_x", source: "/web", touchpoint: "web.product"}}};
class Observer {
  constructor(f) { this.f = f; }
  observe(o) {
    const entries = {"largest-contentful-paint": [{startTime: 1234.4}], "layout-shift": [{value: 0.05}],
                     "event": [{interactionId: 1, duration: 250}]}[o.type];
    this.f({getEntries: () => entries});
  }
}
const window = { crypto: globalThis.crypto, localStorage: storage, innerWidth: 390, setTimeout: () => 1,
  get sessionStorage() { throw new Error("forbidden"); },
  clearTimeout: () => {}, addEventListener: on, PerformanceObserver: Observer,
  fetch: (url, o) => { sent.push({url, how: "fetch", type: o.headers["Content-Type"], body: o.body});
                       return Promise.resolve(); },
  navigator: { sendBeacon: (url, blob) => { sent.push({url, how: "beacon", type: blob.type, blob}); return true; } } };
const context = vm.createContext({window, document, Blob, URL, console});
new vm.Script(fs.readFileSync(process.argv[1], "utf8")).runInContext(context);
window.corredor.rate({value: 4, min: 1, max: 5, instrument: "csat"});
listeners.error[0]({target: window});
for (let i = 0; i < 50; i++) listeners.unhandledrejection[0]({});
window.corredor.flush(false);
window.corredor.page("web.cart");
document.visibilityState = "hidden";
listeners.visibilitychange[0]({});
listeners.pagehide[0]({});
Promise.all(sent.map(async (s) => ({...s, blob: undefined, body: s.body || await s.blob.text()})))
  .then((all) => console.log(JSON.stringify(all)));
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with EmbeddedKafka() as broker:
        yield load_settings(kafka=broker.bootstrap, data_dir=tmp_path_factory.mktemp("collect"))


@pytest.fixture(scope="module")
def collector(settings: Settings) -> Iterator[Collector]:
    with collecting(settings) as running:
        yield running


def test_the_openapi_document_describes_what_is_answered(collector: Collector) -> None:
    document = collector.http.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert document == json.loads(openapi.render(["courier", "help-desk", "shop", "survey"], Limits()))

    def valid(value: Any, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(value)

    valid(contact(), "TouchpointEvent")
    with pytest.raises(jsonschema.ValidationError):
        valid(contact(data={"outcome": "great"}), "TouchpointEvent")
    responses = document["paths"]["/events"]["post"]["responses"]
    for body, name in ((encode(contact()), "Accepted"), (b"{}", "Problem"), (b"", "Problem")):
        answer = collector.structured(body)
        assert str(answer.status_code) in responses
        valid(answer.json(), name)
    references = set(_references(document))
    assert all(each.removeprefix("#/components/schemas/") in document["components"]["schemas"] for each in references)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def test_it_serves_a_page_its_health_and_the_beacon(collector: Collector) -> None:
    assert "Corredor collector" in collector.http.get("/").text
    assert collector.http.get("/beacon.js").content == BEACON.read_bytes()
    assert (collector.http.get("/health").text, collector.http.get("/ready").text) == ("ok\n", "ready\n")
    assert collector.http.get("/nothing").status_code == 404
    assert collector.http.get("/events").status_code == 405


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_beacon_sends_views_errors_vitals_and_ratings_that_the_contract_accepts(collector: Collector) -> None:
    subprocess.run(["node", "--check", str(BEACON)], check=True)
    ran = subprocess.run(["node", "-e", BROWSER, str(BEACON)], check=True, capture_output=True, text=True)
    first, last = json.loads(ran.stdout)
    assert (first["how"], last["how"], last["type"]) == ("fetch", "beacon", "text/plain")
    assert last["url"] == "https://collector.example/events?key=ck_x"
    events = [*json.loads(first["body"]), *json.loads(last["body"])]
    for event in events:
        contract.check(Sent(msgspec.json.encode(event)), now() + 1)
    assert len({event["subject"] for event in events}) == len({event["data"]["journey"] for event in events}) == 1
    rating, *errors = [event["data"] for event in json.loads(first["body"])]
    assert rating["rating"]["instrument"] == "csat"
    assert [error["segment"]["error"] for error in errors] == ["script", *["promise"] * 4], "a loop is one trouble"
    product, cart = [event["data"] for event in json.loads(last["body"])]
    assert (product["touchpoint"], product["outcome"], product["wait_ms"]) == ("web.product", "partial", 1234)
    assert product["aspects"] == {"stability": 0.8, "responsiveness": 0.5}
    assert product["segment"] == {"device": "mobile"}
    assert (cart["touchpoint"], cart["outcome"]) == ("web.cart", "success")
    beacon = collector.post("/events", last["body"].encode(), "text/plain", Origin="http://localhost")
    assert beacon.json() == {"accepted": 2}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
def test_it_speaks_tls(settings: Settings, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-out", str(cert), "-keyout"]
    subprocess.run([*made, str(key), *names], check=True, capture_output=True)
    trust = ssl.create_default_context(cafile=str(cert))
    with collecting(settings, "--tls-cert", str(cert), "--tls-key", str(key), verify=trust) as collector:
        assert collector.url.startswith("https://")
        assert collector.structured(encode(contact())).status_code == 202
    process = start(settings, "--tls-cert", str(key), "--tls-key", str(cert))
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "PEM" in said


def test_a_connection_without_a_request_is_closed() -> None:
    async def hello(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(hello, http=timed(0.3), lifespan="off", log_config=None, timeout_keep_alive=3600)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            for begin in (b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET "):
                with socket.create_connection(listener.getsockname(), timeout=60) as connection:
                    connection.sendall(begin)
                    answer = b""
                    while part := connection.recv(4096):
                        answer += part
                assert answer.count(b"204") == begin.count(b"\r\n\r\n")
        finally:
            server.should_exit = True
            thread.join(30)
    wait_until(lambda: not thread.is_alive())

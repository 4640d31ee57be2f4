"""The Alertmanager file that we ship: accepted by amtool, routes as its page says, holds back and groups for real."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from ruamel.yaml import YAML

from tests.alerts.servers import CONFIG, RULES, alertmanager, program, told_to
from tests.alerts.webhook import Webhook
from tests.conftest import wait_until

EXAMPLES = sorted((CONFIG.parent / "examples").glob("*.yml"))
PLACE = {"tenant": "default", "touchpoint": "delivery.handover"}
ELSEWHERE = {"tenant": "default", "touchpoint": "web.checkout"}


def amtool(*arguments: str) -> str:
    done = subprocess.run([program("amtool"), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alert(name: str, severity: str, place: dict[str, str], **labels: str) -> dict[str, Any]:
    labels = {"alertname": name, "severity": severity, "corredor": "experience", **place, **labels}
    return {"labels": labels, "annotations": {"summary": name}}


def post(url: str, *alerts: dict[str, Any]) -> None:
    body = json.dumps(alerts).encode()
    request = Request(f"{url}/api/v2/alerts", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def held_back(url: str, name: str) -> bool:
    """Whether Alertmanager inhibits the alert of this name."""
    with urlopen(f"{url}/api/v2/alerts", timeout=10) as answer:
        found = [each for each in json.load(answer) if each["labels"]["alertname"] == name]
    return bool(found) and all(each["status"]["inhibitedBy"] for each in found)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        yield server


@pytest.fixture
def url(webhook: Webhook, tmp_path: Path) -> Iterator[str]:
    with alertmanager(tmp_path, told_to(webhook.url, CONFIG, tmp_path)) as address:
        yield address


@pytest.mark.parametrize("file", [CONFIG, *EXAMPLES], ids=lambda file: file.stem)
def test_amtool_accepts_every_file(file: Path) -> None:
    amtool("check-config", str(file))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_an_examples_receivers_fit_in_place_of_the_webhooks(example: Path, tmp_path: Path) -> None:
    yaml = YAML(typ="safe")
    whole, part = yaml.load(CONFIG), yaml.load(example)
    theirs = {receiver["name"]: receiver for receiver in part["receivers"]}
    assert theirs.keys() <= {receiver["name"] for receiver in whole["receivers"]}
    whole["receivers"] = [theirs.get(receiver["name"], receiver) for receiver in whole["receivers"]]
    whole |= {"global": part.get("global", {}), "templates": [f"{CONFIG.parent}/templates/*.tmpl"]}
    merged = tmp_path / "alertmanager.yml"
    yaml.dump(whole, merged)
    amtool("check-config", str(merged))


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("severity=page corredor=experience touchpoint=web.checkout", "on-call"),
        ("severity=ticket corredor=experience touchpoint=web.checkout", "tickets"),
        ("severity=none corredor=experience touchpoint=web.checkout", "nobody"),
        ("severity=page corredor=pipeline", "pipeline-on-call"),
        ("severity=ticket corredor=pipeline", "pipeline-tickets"),
        ("severity=none corredor=pipeline", "nobody"),
        ("alertname=SomethingElse", "tickets"),
    ],
)
def test_alerts_go_to_those_they_are_for(labels: str, receiver: str) -> None:
    assert amtool("config", "routes", "test", f"--config.file={CONFIG}", *labels.split()).strip() == receiver


def test_every_alert_of_ours_has_the_labels_that_routes_and_inhibition_go_by() -> None:
    assert RULES
    names = set()
    for file in RULES:
        for group in YAML(typ="safe").load(file)["groups"]:
            for rule in (rule for rule in group["rules"] if "alert" in rule):
                assert rule["labels"]["corredor"] in ("experience", "pipeline")
                # An incident's severity is a label of its gauge.
                assert "severity" in rule["labels"] or "severity" in rule["expr"]
                names.add(rule["alert"])
    spoken_of = {word for word in CONFIG.read_text().replace('"', "|").split("|") if word.startswith("Corredor")}
    assert spoken_of
    assert {name for name in spoken_of if name.isalpha()} <= names


def test_texts_name_place_depth_cause_and_runbook_in_both_languages(tmp_path: Path) -> None:
    words = {
        "summary": "web.checkout: negative contacts 2 % -> 20 %",
        "description": "40 contacts hurt beyond what is usual. Causes: device = mobile (95 % of the change).",
        "summary_es": "web.checkout: contactos negativos 2 % -> 20 %",
        "description_es": "40 contactos perjudicados. Causas: device = mobile (95 % del cambio).",
        "runbook_url": "docs/runbooks/CorredorDrop.md",
    }
    times = {"startsAt": "2026-11-22T10:00:00Z", "endsAt": "2026-11-22T10:09:00Z"}
    data = tmp_path / "data.json"
    for status, english, spanish in (
        ("firing", ("summary", "description", "runbook_url"), ("summary_es", "description_es", "runbook_url")),
        ("resolved", ("summary",), ("summary_es",)),
    ):
        labels = {"alertname": "CorredorDrop", **ELSEWHERE}
        one = {"status": status, "labels": labels, "annotations": words, **times}
        data.write_text(json.dumps({"status": status, "alerts": [one], "commonLabels": labels}))
        for ending, names in (("", english), (".es", spanish)):
            for text in ("title", "text", "html"):
                shown = amtool(
                    "template",
                    "render",
                    f"--template.glob={CONFIG.parent}/templates/*.tmpl",
                    f'--template.text={{{{ template "corredor.{text}{ending}" . }}}}',
                    f"--template.data={data}",
                )
                wanted: tuple[str, ...] = (
                    () if text == "title" and status == "resolved" else names[:1] if text == "title" else names
                )
                assert all(words[name] in shown for name in wanted), shown
                assert "web.checkout" in shown
                assert "<no value>" not in shown


@pytest.mark.slow
@pytest.mark.xdist_group("paging")
def test_alerts_of_a_touchpoint_are_held_back_while_its_source_is_silent(url: str, webhook: Webhook) -> None:
    post(url, alert("CorredorCutOff", "none", PLACE, source="/courier"))
    post(url, alert("CorredorDrop", "page", PLACE, id="1"), alert("CorredorBlockage", "page", ELSEWHERE, id="2"))
    wait_until(lambda: webhook.first("/on-call", "firing", **ELSEWHERE))
    wait_until(lambda: held_back(url, "CorredorDrop"))
    assert not webhook.first("/on-call", "firing", **PLACE)
    assert not held_back(url, "CorredorBlockage")

    over = alert("CorredorCutOff", "none", PLACE, source="/courier") | {"endsAt": "2026-01-01T00:00:00Z"}
    post(url, over | {"startsAt": "2025-12-31T00:00:00Z"})
    wait_until(lambda: webhook.first("/on-call", "firing", **PLACE), 90)


@pytest.mark.slow
@pytest.mark.xdist_group("paging")
def test_pages_of_one_place_are_one_notification_and_its_tickets_wait(url: str, webhook: Webhook) -> None:
    post(
        url,
        alert("CorredorDrop", "page", PLACE, id="1", measure="negative"),
        alert("CorredorDrop", "page", PLACE, id="2", measure="broken_promise"),
        alert("CorredorCongestion", "ticket", PLACE, id="3"),
        alert("CorredorDrop", "page", ELSEWHERE, id="4"),
    )
    wait_until(lambda: len([notice for notice in webhook.notices if notice.path == "/on-call"]) == 2)
    told = {notice.payload["groupLabels"]["touchpoint"]: notice for notice in webhook.notices}
    assert {each["labels"]["id"] for each in told["delivery.handover"].alerts} == {"1", "2"}
    assert {each["labels"]["id"] for each in told["web.checkout"].alerts} == {"4"}
    assert held_back(url, "CorredorCongestion")


def test_without_workers_nobody_is_told_that_they_fall_behind(url: str) -> None:
    pipeline = {"corredor": "pipeline"}
    post(url, alert("CorredorNoWorker", "page", {}, **pipeline), alert("CorredorLagGrowing", "ticket", {}, **pipeline))
    post(url, alert("CorredorSinkLagGrowing", "ticket", {}, **pipeline))
    wait_until(lambda: held_back(url, "CorredorLagGrowing"))
    assert not held_back(url, "CorredorSinkLagGrowing")

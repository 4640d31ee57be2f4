"""Events all the way to ClickHouse through a Kafka that lets nobody in without a right, and no secret on the way."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from confluent_kafka.admin import AdminClient

from schemas import topics
from streams.runtime import endpoints
from streams.runtime.settings import Settings, load_settings
from streams.runtime.supervisor import PROGRAM, as_environment, free_port
from streams.runtime.topics_admin import delete_topics, ensure_topics
from tests.builders import event
from tests.conftest import wait_until
from tests.pipeline.running import Running, arrived, own_settings, running, wait_for_exactly
from tests.security.rights import give
from tests.security.secured_kafka import PASSWORDS, PRINCIPALS, SECRETS, SecuredKafka, add_scram

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
EVENTS = 200
ROLES = ("operator", "worker", "sink", "publisher")


@pytest.fixture
def empty(secured: SecuredKafka) -> SecuredKafka:
    """The secured Kafka, its topics empty."""
    client = AdminClient({"bootstrap.servers": secured.broker.bootstrap})
    delete_topics(client, {topic.name for topic in topics.ALL} & _names(client))
    ensure_topics(load_settings(kafka=secured.broker.bootstrap))
    return secured


def _names(client: AdminClient) -> set[str]:
    return set(client.list_topics(timeout=30).topics)


def corredor(settings: Settings, *arguments: str, said: str = "") -> str:
    """A command that ends, with code 0; what it printed."""
    environment = {**os.environ, **as_environment(settings)}
    done = subprocess.run(
        [*PROGRAM, *arguments], env=environment, input=said, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def publish(settings: Settings, first: int = 0) -> str:
    now = time.time()
    lines = (event(now, id=f"e-{n}", subject=f"c-{n % 20}") for n in range(first, first + EVENTS))
    return corredor(settings, "publish", said="\n".join(json.dumps(line) for line in lines))


def shown(group: Running, settings: Settings) -> dict[str, str]:
    """Everything that a run shows to anybody, by where."""
    run = group.run
    urls = [
        f"{url}{path}"
        for url in (run.metrics, *run.processes.values())
        for path in ("/metrics", "/ready", "/health", "/incidents")
    ]
    found = {url: httpx.get(url).text for url in urls}
    files = [*settings.data_dir.rglob("*.log"), endpoints.run_file(settings)]
    found |= {str(file): file.read_text(errors="replace") for file in files}
    processes = [psutil.Process(group.process.pid), *group.children()]
    found |= {f"command line of {each.pid}": " ".join(each.cmdline()) for each in processes}
    found["corredor status"] = corredor(settings, "status")
    found["corredor topics"] = corredor(settings, "topics", "--describe")
    found["repr of the settings"] = repr(settings)
    return found


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "TLS"])
def test_a_whole_run_brings_events_to_clickhouse_and_shows_no_secret(
    empty: SecuredKafka, mechanism: str, tmp_path: Path
) -> None:
    access = empty.settings(mechanism)
    if mechanism == "OAUTHBEARER":
        # So short that every client renews its tokens on the way.
        empty.endpoint.lifetime_s = 10.0
    settings = own_settings(access.pop("kafka"), tmp_path, **access)
    for principal in PRINCIPALS:
        give(empty.broker.bootstrap, principal, ROLES, settings.group)
    with running(settings, log_level="DEBUG") as group:
        said = publish(settings)
        wait_for_exactly(EVENTS, group.run.clickhouse)
        said += publish(settings, EVENTS)
        wait_for_exactly(2 * EVENTS, group.run.clickhouse)
        places = {**shown(group, settings), "corredor publish": said}
    places["after its end"] = group.said()
    leaks = [(where, secret) for where, text in places.items() for secret in SECRETS if secret in text]
    assert not leaks
    # The search finds what is there.
    assert settings.kafka in places[str(endpoints.run_file(settings))]
    if mechanism == "OAUTHBEARER":
        assert empty.endpoint.scopes


def test_a_run_whose_password_is_taken_back_ends_with_code_2_and_says_why(empty: SecuredKafka, tmp_path: Path) -> None:
    bootstrap = empty.broker.bootstrap
    add_scram(bootstrap, "leaver", "while-it-lasts")
    access = {**empty.settings("SCRAM-SHA-512"), "kafka_username": "leaver", "kafka_password": "while-it-lasts"}
    settings = own_settings(access.pop("kafka"), tmp_path, **access)
    give(bootstrap, "User:leaver", ROLES, settings.group)
    with running(settings) as group:
        add_scram(bootstrap, "leaver", "another-one")
        # A connection that is open stays open: the next one is refused.
        empty.broker.restart()
        wait_until(lambda: group.process.poll() is not None, 60)
        assert group.process.returncode == 2
        said = " ".join(group.said().split())
    assert "refuses user 'leaver' (SCRAM-SHA-512): SASL authentication error" in said
    assert "check CORREDOR_KAFKA_USERNAME, CORREDOR_KAFKA_PASSWORD" in said


@contextmanager
def process(settings: Settings, *arguments: str) -> Iterator[Callable[[], str]]:
    """A command that runs until the end of the body; gives what it has said so far."""
    log = settings.data_dir / f"{arguments[0]}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        started = subprocess.Popen(
            [*PROGRAM, *arguments],
            env={**os.environ, **as_environment(settings)},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield log.read_text
    finally:
        started.terminate()
        started.wait(60)
        print(log.read_text())
        assert started.returncode == 0


def test_worker_sink_and_publisher_need_no_more_than_the_rights_that_the_page_lists(
    empty: SecuredKafka, tmp_path: Path
) -> None:
    def of(role: str, **changes: Any) -> Settings:
        user = {"kafka_username": role, "kafka_password": PASSWORDS[role]}
        return load_settings(**{**empty.settings("PLAIN"), **user}, data_dir=tmp_path, group="corredor", **changes)

    for role in ROLES:
        give(empty.broker.bootstrap, f"User:{role}", [role])
    corredor(of("operator"), "topics", "--create")
    query_port = free_port()
    with ExitStack() as stack:
        said = stack.enter_context(process(of("sink", metrics_port=0, query_port=query_port), "sink"))
        stack.enter_context(process(of("worker", metrics_port=0), "worker"))
        publish(of("publisher"))
        wait_until(lambda: "sink ready" in said())
        clickhouse = f"http://127.0.0.1:{query_port}/corredor"
        wait_until(lambda: arrived(clickhouse) == (EVENTS, EVENTS), 60)

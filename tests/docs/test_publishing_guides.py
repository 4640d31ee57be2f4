"""The programs of docs/publishing, run as the pages show them, against Apache Kafka and a real `corredor collect`."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Message
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from schemas.event import TouchpointEvent
from schemas.topics import EVENTS
from sources.collect.keys import new_key
from streams.model.decode import decode
from streams.runtime import clients
from streams.runtime.local import LocalKafka
from streams.runtime.partitioner import partitioner
from streams.runtime.settings import load_settings
from streams.runtime.supervisor import free_port
from streams.runtime.topics_admin import ensure_topics, with_controller
from tests.builders import Record
from tests.conftest import SLOWNESS, wait_until
from tests.docs.guides import Workshop, commands, end, example_events
from tests.security.secured_kafka import USER, secured_kafka
from tests.sources.collect.running import collecting, contact, published

ONE = "o-1047:checkout"
#: Enough subjects, some beyond ASCII, that a wrong partitioner cannot be right by chance.
MANY = [
    *example_events(),
    *(json.dumps(contact(number, subject=f"cliente-ñ{number}"), ensure_ascii=False) for number in range(500)),
]
STRUCTURED, BINARY = b"application/cloudevents+json", b"application/json"
RIGHTS = (AclOperation.WRITE, AclOperation.DESCRIBE)
SECRET = "0123456789abcdef-tickets"


@dataclass(frozen=True)
class Guide:
    """A page, what it needs on the machine, and how often its commands send the one event and those of the file."""

    page: str
    runtimes: tuple[str, ...]
    install: bool = True
    single: int = 1
    batches: int = 2
    mechanisms: tuple[str, ...] = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


KAFKA = [
    Guide("python.md", (), install=False),
    Guide("java.md", ("java", "mvn")),
    Guide("node.md", ("node", "npm")),
    Guide("go.md", ("go",)),
    # Distributions have a librdkafka older than 2.6.1, whose SCRAM Kafka 4 refuses.
    Guide("kcat.md", ("kcat", "jq"), install=False, single=2, batches=1, mechanisms=("PLAIN",)),
]
CURL = Guide("curl.md", ("curl", "jq", "openssl"), install=False, single=2, batches=1)
Prepared = Callable[[Guide], Workshop]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("local-kafka"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A page's programs with the client they need; each is installed once."""
    there: dict[str, Workshop] = {}

    def prepare(guide: Guide) -> Workshop:
        if guide.page not in there:
            folder = tmp_path_factory.mktemp(guide.page.removesuffix(".md"))
            there[guide.page] = Workshop(guide.page, folder, guide.runtimes, guide.install)
            (folder / "events.ndjson").write_text("".join(f"{line}\n" for line in MANY))
        return there[guide.page]

    return prepare


def read_back(bootstrap: str, guide: Guide) -> list[tuple[Message, TouchpointEvent]]:
    """Everything in the topic, once all that the guide sends is there; each message is right by the rules."""
    settings = load_settings(kafka=bootstrap)
    partition_of = partitioner(settings.partitions)
    found = []
    for message in published(settings, guide.single + guide.batches * len(MANY)):
        headers = tuple(message.headers() or ())
        event = decode(Record(0, 0, message.key(), message.value(), headers))
        assert message.key() == event.subject.encode()
        assert message.partition() == partition_of(event.subject.encode())
        assert dict(headers)["content-type"] == (BINARY if "ce_id" in dict(headers) else STRUCTURED)
        found.append((message, event))
    assert settings.partitions > 1
    return found


def sent_as_shown(found: list[tuple[Message, TouchpointEvent]], guide: Guide) -> None:
    ids = Counter(event.id for _, event in found)
    assert ids == {ONE: guide.single, **dict.fromkeys((json.loads(line)["id"] for line in MANY), guide.batches)}
    modes = {dict(message.headers() or ())["content-type"] for message, _ in found}
    assert modes == {STRUCTURED, BINARY}


@pytest.mark.parametrize("guide", KAFKA, ids=lambda guide: guide.page)
def test_the_programs_of_a_page_publish_right_events(guide: Guide, prepared: Prepared, local_kafka: LocalKafka) -> None:
    workshop = prepared(guide)
    for command in commands(guide.page):
        done = workshop.run(command, {"CORREDOR_KAFKA": local_kafka.bootstrap})
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert "acknowledged" in done.stdout or command == "bash config.sh", (command, done.stdout)
    sent_as_shown(read_back(local_kafka.bootstrap, guide), guide)


def test_without_kafka_every_program_says_so_and_fails(prepared: Prepared) -> None:
    environment = {"CORREDOR_KAFKA": f"127.0.0.1:{free_port()}"}
    running: list[tuple[str, subprocess.Popen[str]]] = []
    try:
        for guide in KAFKA:
            try:
                workshop = prepared(guide)
            except pytest.skip.Exception:
                continue
            for command in commands(guide.page):
                if command == "bash config.sh":
                    assert workshop.run(command, environment).returncode == 0
                    continue
                running.append((command, workshop.start(command, environment)))
        for command, process in running:
            said, wrong = process.communicate(timeout=SLOWNESS * 60)
            assert process.returncode == 1, (command, said, wrong)
            assert "acknowledged" not in said, command
            assert "not published: " in wrong or "% ERROR: " in wrong, (command, wrong)
    finally:
        for _, process in running:
            end(process)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, _broker: LocalKafka) -> Iterator[dict[str, str]]:
    """How to reach a cluster with SASL_SSL whose user has the rights that README.md names; skipped as `_broker`."""
    with secured_kafka(tmp_path_factory.mktemp("secured")) as cluster:
        ensure_topics(load_settings(kafka=cluster.broker.bootstrap))
        topic = (ResourceType.TOPIC, EVENTS.name, ResourcePatternType.LITERAL, f"User:{USER}", "*")
        rights = [AclBinding(*topic, right, AclPermissionType.ALLOW) for right in RIGHTS]
        client = with_controller(AdminClient({"bootstrap.servers": cluster.broker.bootstrap}))
        for made in client.create_acls(rights).values():
            made.result()
        settings = cluster.settings("PLAIN")
        user = clients.admin(load_settings(**settings))
        wait_until(lambda: EVENTS.name in user.list_topics(timeout=30).topics)
        yield {f"CORREDOR_{name.upper()}": str(value) for name, value in settings.items()}


@pytest.mark.parametrize("guide", KAFKA, ids=lambda guide: guide.page)
def test_the_programs_reach_a_secured_cluster_by_the_environment(
    guide: Guide, prepared: Prepared, secured: dict[str, str]
) -> None:
    workshop = prepared(guide)
    one = next(command for command in commands(guide.page) if command != "bash config.sh")
    for mechanism in guide.mechanisms:
        environment = {**secured, "CORREDOR_KAFKA_SASL_MECHANISM": mechanism}
        if guide.page == "kcat.md":
            assert workshop.run("bash config.sh", environment).returncode == 0
            assert (workshop.folder / "kcat.conf").stat().st_mode & 0o077 == 0
        done = workshop.run(one, environment)
        assert done.returncode == 0, (mechanism, done.stdout, done.stderr)
        assert "acknowledged" in done.stdout


def test_the_curl_page_speaks_to_a_real_collector(prepared: Prepared, local_kafka: LocalKafka, tmp_path: Path) -> None:
    workshop = prepared(CURL)
    key, digest = new_key()
    keys = tmp_path / "keys.yaml"
    keys.write_text(
        "keys:\n"
        f'  - {{name: shop, sha256: "{digest}", sources: [/shop, /survey]}}\n'
        "  - name: help-desk\n    sources: [/help-desk]\n"
        "    hooks: [{name: tickets, mapping: help-desk, secret: {env: TICKETS_SECRET}}]\n"
    )
    settings = load_settings(kafka=local_kafka.bootstrap)
    environment = {"TICKETS_SECRET": SECRET}
    with collecting(settings, "--keys", str(keys), environment=environment) as collector:
        environment |= {"CORREDOR_COLLECTOR": collector.url, "CORREDOR_KEY": key}
        for command, count in zip(commands(CURL.page), (1, 1, len(MANY)), strict=True):
            done = workshop.run(command, environment)
            assert (done.returncode, done.stdout) == (0, f'{{"accepted":{count}}}'), (command, done.stderr)
        sent_as_shown(read_back(local_kafka.bootstrap, CURL), CURL)

        hook = workshop.run("bash webhook.sh", environment)
        assert (hook.returncode, hook.stdout) == (0, '{"accepted":1}'), hook.stderr
        refusals = {
            "bash publish.sh": ({"CORREDOR_KEY": "ck_wrong"}, '"status":401'),
            "bash webhook.sh": ({"TICKETS_SECRET": "another secret, a wrong one"}, '"status":401'),
            'bash batch.sh <<< \'{"source": "/shop"}\'': ({}, '"status":422'),
        }
        for command, (changed, status) in refusals.items():
            refused = workshop.run(command, {**environment, **changed})
            assert refused.returncode == 22, command
            assert status in refused.stdout, (command, refused.stdout)
    gone = workshop.run("bash publish.sh", environment)
    assert gone.returncode == 7, gone.stderr

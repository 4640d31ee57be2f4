"""One secured Kafka for all tests here; its users have the rights of every role."""

from collections.abc import Iterator

import pytest

from streams.runtime import security
from streams.runtime.settings import load_settings
from streams.runtime.topics_admin import ensure_topics
from tests.conftest import need_apache_kafka
from tests.security.rights import give
from tests.security.secured_kafka import PRINCIPALS, SecuredKafka, secured_kafka


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the secured Kafka share one: with xdist they go to one worker (`--dist loadgroup`)."""
    for item in items:
        if "_secured" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
            item.add_marker(pytest.mark.xdist_group("secured-kafka"))


@pytest.fixture(scope="session")
def _secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    need_apache_kafka()
    with secured_kafka(tmp_path_factory.mktemp("secured-kafka")) as kafka:
        ensure_topics(load_settings(kafka=kafka.broker.bootstrap))
        for principal in PRINCIPALS:
            give(kafka.broker.bootstrap, principal, ("operator", "worker", "sink", "publisher"))
        yield kafka


@pytest.fixture
def secured(_secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecuredKafka]:
    """A Kafka that nobody has been let in to yet, as far as this process knows; its token endpoint well."""
    monkeypatch.setattr(security, "_known", set())
    yield _secured
    _secured.endpoint.heal()

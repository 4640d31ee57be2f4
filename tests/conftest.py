"""What every test may ask for: a Kafka cluster of each kind, settings bound to it, the real sample data."""

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from confluent_kafka.admin import AdminClient

from schemas.errors import UsageError
from streams.runtime import local
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings, load_settings
from streams.runtime.topics_admin import delete_topics, ensure_topics

SHARED_DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
#: A shared machine may be so much slower than a quiet one; deadlines are for tests that hang.
SLOWNESS = 4
hypothesis.settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared machine")
# A shell's background job ignores Ctrl-C, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
KEPT = ("CORREDOR_REQUIRE_KAFKA", "CORREDOR_REQUIRE_PROMETHEUS", "CORREDOR_REQUIRE_CHROMIUM", "CORREDOR_CACHE")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster with our topics, empty. `broker` is there for tests that hurt it."""

    kind: str
    bootstrap: str
    broker: EmbeddedKafka | LocalKafka

    @property
    def paced(self) -> bool:
        return self.kind == "embedded"


class TooLateError(AssertionError):
    """A deadline has passed: nothing is known to be wrong. CI tries such a test once more (docs/decisions/021)."""


def wait_until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Return once `condition()` holds; TooLateError if it does not within `timeout_s` (more on a slow machine)."""
    deadline = time.monotonic() + SLOWNESS * timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TooLateError(f"not within {SLOWNESS * timeout_s:g} s")
        time.sleep(0.02)


def _topics(client: AdminClient) -> list[str]:
    return [name for name in client.list_topics(timeout=30).topics if not name.startswith("__")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on Apache Kafka share one broker: with xdist they go to one worker (`--dist loadgroup`)."""
    for item in items:
        if (limit := item.get_closest_marker("timeout")) is not None:
            item.add_marker(pytest.mark.timeout(SLOWNESS * limit.args[0]), append=False)
        fixtures = getattr(item, "fixturenames", ())
        kind = item.callspec.params.get("kafka") if hasattr(item, "callspec") else None
        if "kafka" in fixtures or "local_kafka" in fixtures:
            item.add_marker(pytest.mark.kafka)
        if kind == "local" or "local_kafka" in fixtures:
            item.add_marker(pytest.mark.xdist_group("local-kafka"))


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings of the shell it was started from."""
    for name in [name for name in os.environ if name.startswith("CORREDOR_") and name not in KEPT]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CORREDOR_CONFIG", str(tmp_path / "no-such-file.toml"))


def need_apache_kafka() -> None:
    """Skip without Java or Kafka's jars; fail with CORREDOR_REQUIRE_KAFKA=1."""
    try:
        local.java()
        local.fetch_jars()
    except UsageError as error:
        if os.environ.get("CORREDOR_REQUIRE_KAFKA") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def _broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """One Apache Kafka for the session; skipped without Java or its jars, unless CORREDOR_REQUIRE_KAFKA=1."""
    need_apache_kafka()
    with LocalKafka(tmp_path_factory.mktemp("local-kafka")) as broker:
        yield broker


@pytest.fixture
def local_kafka(_broker: LocalKafka) -> LocalKafka:
    """Apache Kafka with our topics, empty. A test may stop, kill or restart it."""
    if _broker.process is None or _broker.process.poll() is not None:
        _broker.start()
    client = AdminClient({"bootstrap.servers": _broker.bootstrap})
    delete_topics(client, _topics(client))
    ensure_topics(load_settings(kafka=_broker.bootstrap))
    return _broker


@pytest.fixture(params=["embedded", "local"])
def kafka(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """An empty cluster with our topics; the test runs once on the embedded one and once on Apache Kafka."""
    if request.param == "local":
        broker: LocalKafka = request.getfixturevalue("local_kafka")
        yield Cluster("local", broker.bootstrap, broker)
        return
    with EmbeddedKafka() as embedded:
        ensure_topics(load_settings(kafka=embedded.bootstrap, kafka_paced=True))
        yield Cluster("embedded", embedded.bootstrap, embedded)


@pytest.fixture
def settings(kafka: Cluster, tmp_path: Path) -> Settings:
    """Settings bound to `kafka`: a group and a data folder of its own, free ports."""
    return load_settings(
        kafka=kafka.bootstrap,
        kafka_paced=kafka.paced,
        data_dir=tmp_path / "data",
        group=f"test-{uuid.uuid4().hex[:8]}",
        metrics_port=0,
        query_port=0,
    )


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder ../shared/data; skipped where it is absent, a failure there with CI=true."""
    if not SHARED_DATA.is_dir():
        message = f"the sample data are not in {SHARED_DATA.resolve()}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return SHARED_DATA.resolve()

"""Who is refused is told by whom, why and what to do, and ends; who finds nobody waits."""

import asyncio
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from schemas import topics
from schemas.errors import StopProcess, UsageError
from streams.runtime import clients, security
from streams.runtime.faust_app import create_app
from streams.runtime.settings import Settings, load_settings
from streams.runtime.supervisor import PROGRAM, as_environment, free_port
from streams.runtime.watchdog import Probe, Watchdog
from tests.conftest import wait_until
from tests.security.secured_kafka import MECHANISMS, SECRETS, SecuredKafka

WRONG = "wr0ng-and-secret"


def settings_of(secured: SecuredKafka, mechanism: str, **changes: Any) -> Settings:
    return load_settings(**{**secured.settings(mechanism), **changes})


def said(settings: Settings) -> str:
    """What somebody hears who is refused."""
    with pytest.raises(UsageError) as refused:
        clients.producer(settings)
    text = str(refused.value)
    assert not [secret for secret in (WRONG, *SECRETS) if secret in text]
    return text


@pytest.mark.parametrize("mechanism", [*MECHANISMS, "TLS", "CLEAR"])
def test_librdkafka_gets_in_by_every_mechanism(secured: SecuredKafka, mechanism: str) -> None:
    producer = clients.producer(settings_of(secured, mechanism))
    # A broker hears of rights a moment after they were given.
    wait_until(lambda: topics.EVENTS.name in producer.list_topics(timeout=30).topics)


@pytest.mark.parametrize("mechanism", [*MECHANISMS, "TLS", "CLEAR"])
def test_aiokafka_gets_in_by_every_mechanism(secured: SecuredKafka, mechanism: str) -> None:
    app = create_app(settings_of(secured, mechanism))

    async def there() -> set[str]:
        auth = credentials_to_aiokafka_auth(app.conf.broker_credentials)
        async with AIOKafkaConsumer(bootstrap_servers=secured.settings(mechanism)["kafka"], **auth) as consumer:
            return set(await consumer.topics())

    wait_until(lambda: topics.EVENTS.name in asyncio.run(there()))


@pytest.mark.parametrize("mechanism", MECHANISMS[:3])
def test_a_wrong_password_is_told_at_once(secured: SecuredKafka, mechanism: str) -> None:
    text = said(settings_of(secured, mechanism, kafka_password=WRONG))
    assert f"Kafka at {secured.sasl} refuses user 'corredor' ({mechanism}): SASL authentication error" in text
    assert "check CORREDOR_KAFKA_USERNAME, CORREDOR_KAFKA_PASSWORD" in text


def test_a_wrong_client_secret_is_told_at_once(secured: SecuredKafka) -> None:
    text = said(settings_of(secured, "OAUTHBEARER", kafka_oauth_client_secret=WRONG))
    assert f"no token for Kafka from {secured.endpoint.url}" in text
    assert "unknown client or secret" in text
    assert "CORREDOR_KAFKA_OAUTH_CLIENT_ID" in text


def test_a_token_endpoint_that_is_away_at_the_start_is_worth_another_start(secured: SecuredKafka) -> None:
    url = f"https://localhost:{free_port()}/token"
    with pytest.raises(StopProcess, match=f"no token for Kafka from {url}: .*that the endpoint is up") as away:
        clients.producer(settings_of(secured, "OAUTHBEARER", kafka_oauth_url=url))
    assert away.value.exit_code == 1


def test_an_expired_token_is_told_at_once(secured: SecuredKafka) -> None:
    secured.endpoint.lifetime_s = -100
    assert "Must supply an unexpired token" in said(settings_of(secured, "OAUTHBEARER"))


def test_a_token_that_the_cluster_does_not_take_is_told_at_once(secured: SecuredKafka) -> None:
    secured.endpoint.forged = True
    text = said(settings_of(secured, "OAUTHBEARER"))
    assert f"Kafka at {secured.sasl} refuses the token of client 'corredor-client'" in text
    assert "are meant for this cluster" in text


def test_an_untrusted_token_endpoint_is_refused_by_us(secured: SecuredKafka) -> None:
    text = said(settings_of(secured, "OAUTHBEARER", kafka_oauth_ca=secured.other_ca))
    assert "certificate" in text
    assert "..._CA" in text


@pytest.mark.parametrize("mechanism", ["PLAIN", "TLS"])
def test_a_broker_that_an_unknown_authority_signed_is_refused_by_us(secured: SecuredKafka, mechanism: str) -> None:
    settings = settings_of(secured, mechanism, kafka_ca=secured.other_ca)
    text = said(settings)
    assert f"no TLS with Kafka at {settings.kafka}" in text
    assert "certificate verify failed" in text
    assert f"CORREDOR_KAFKA_CA ({secured.other_ca})" in text


def test_a_broker_with_another_host_s_certificate_is_refused_by_us(secured: SecuredKafka) -> None:
    by_number = secured.sasl.replace("localhost", "127.0.0.1")
    assert "name the host of CORREDOR_KAFKA" in said(settings_of(secured, "PLAIN", kafka=by_number))


def test_without_a_certificate_mutual_tls_is_told(secured: SecuredKafka) -> None:
    text = said(load_settings(kafka=secured.tls, kafka_security="ssl", kafka_ca=secured.ca))
    assert "alert" in text
    assert "CORREDOR_KAFKA_CERTIFICATE" in text


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (lambda kafka: {"kafka_key_password": WRONG}, "CORREDOR_KAFKA_CERTIFICATE"),
        (lambda kafka: {"kafka_key_password": ""}, "CORREDOR_KAFKA_KEY_PASSWORD"),
        (lambda kafka: {"kafka_key": kafka.ca}, "CORREDOR_KAFKA_CERTIFICATE"),
        (lambda kafka: {"kafka_ca": kafka.key}, "CORREDOR_KAFKA_CA"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    secured: SecuredKafka, changes: Callable[[SecuredKafka], dict[str, Any]], named: str
) -> None:
    assert named in said(settings_of(secured, "TLS", **changes(secured)))


def test_a_file_of_the_token_endpoint_that_cannot_be_used_is_named(secured: SecuredKafka) -> None:
    assert "CORREDOR_KAFKA_OAUTH_CA" in said(settings_of(secured, "OAUTHBEARER", kafka_oauth_ca=secured.key))


def test_a_broker_that_is_away_refuses_nobody(secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "FIRST_LOOK_S", 0.2)
    settings = settings_of(secured, "PLAIN", kafka=f"localhost:{free_port()}")
    assert clients.producer(settings)


def refused_later(secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that worked once, of a password that no longer does."""
    settings = settings_of(secured, "SCRAM-SHA-512", kafka_password=WRONG, stall_timeout=600)
    monkeypatch.setattr(security, "let_in", lambda _: None)
    return settings


def test_a_producer_that_is_refused_later_raises_and_its_owner_s_callback_hears_the_rest(
    secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    producer = clients.producer(
        refused_later(secured, monkeypatch), error_cb=lambda error: heard.append(error.name()), log_level=0
    )
    with pytest.raises(UsageError, match="refuses user 'corredor'"):
        wait_until(lambda: producer.poll(0.1))
    assert "_AUTHENTICATION" not in heard


def test_a_consumer_that_is_refused_later_raises(secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = clients.consumer(refused_later(secured, monkeypatch), "group", log_level=0)
    consumer.subscribe([topics.EVENTS.name])
    with pytest.raises(UsageError, match="refuses user 'corredor'"):
        wait_until(lambda: consumer.consume(1, timeout=0.1))
    consumer.close()


def test_the_watchdog_ends_a_worker_that_is_refused_later(
    secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    settings = refused_later(secured, monkeypatch)
    watchdog = Watchdog(settings, Probe(settings), lambda message, _: ended.append(message))
    watchdog.start()
    try:
        wait_until(lambda: ended)
    finally:
        watchdog.stop()
    assert "refuses user 'corredor'" in ended[0]


@pytest.mark.parametrize("arguments", [["topics"], ["worker"], ["sink"], ["publish", os.devnull], ["run"]])
def test_a_command_that_is_refused_ends_with_code_2_and_says_why(
    secured: SecuredKafka, arguments: list[str], tmp_path: Any
) -> None:
    settings = settings_of(
        secured, "SCRAM-SHA-256", kafka_password=WRONG, data_dir=tmp_path / "data", metrics_port=0, query_port=0
    )
    environment = {**os.environ, **as_environment(settings)}
    done = subprocess.run([*PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "refuses user 'corredor' (SCRAM-SHA-256)" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert WRONG not in done.stdout + done.stderr

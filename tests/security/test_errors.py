"""Which of librdkafka's errors end a program. The texts are its own (2.16)."""

from unittest import mock

import pytest
from confluent_kafka import KafkaError

from schemas.errors import UsageError
from streams.runtime import security
from streams.runtime.settings import load_settings

SETTINGS = load_settings(
    kafka="broker:9093",
    kafka_security="sasl_ssl",
    kafka_sasl_mechanism="PLAIN",
    kafka_username="user",
    kafka_password="hidden-value",
)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            KafkaError._AUTHENTICATION,
            "sasl_ssl://b:1/1: SASL authentication error: SaslAuthenticateRequest failed: Local: Broker transport "
            "failure (after 0ms in state DOWN)",
        ),
        (
            KafkaError._AUTHENTICATION,
            "GroupCoordinator: b:1: SASL OAUTHBEARER mechanism handshake failed: Broker: Request not valid in current "
            "SASL state: broker's supported mechanisms: ",
        ),
        (KafkaError._AUTHENTICATION, "Failed to acquire SASL OAUTHBEARER token: Could not connect to server"),
        (
            KafkaError._SSL,
            "sasl_ssl://b:1/bootstrap: SSL handshake failed: Disconnected (after 1ms in state SSL_HANDSHAKE)",
        ),
        (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"),
    ],
)
def test_what_may_pass_does_not_end_a_running_program_but_is_passed_on(code: int, text: str) -> None:
    then = mock.Mock()
    security.on_error(SETTINGS, then)(error := KafkaError(code, text))
    then.assert_called_once_with(error)


def test_a_mechanism_that_the_cluster_lacks_ends_it() -> None:
    text = (
        "sasl_ssl://b:1/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: "
        "broker's supported mechanisms: SCRAM-SHA-512"
    )
    with pytest.raises(UsageError, match="supported mechanisms: SCRAM-SHA-512; check"):
        security.on_error(SETTINGS, None)(KafkaError(KafkaError._AUTHENTICATION, text))


def test_a_broker_that_says_no_ends_it_and_what_it_quotes_is_masked() -> None:
    error = KafkaError(
        KafkaError._AUTHENTICATION,
        "sasl_ssl://b:1/1: SASL authentication error: user and hidden-value do not fit (after 12ms in state AUTH_REQ)",
    )
    with pytest.raises(UsageError) as refused:
        security.on_error(SETTINGS, None)(error)
    assert str(refused.value).startswith(
        "Kafka at broker:9093 refuses user 'user' (PLAIN): SASL authentication error: user and *** do not fit; check "
    )

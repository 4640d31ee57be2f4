"""Settings that are fine each by itself and cannot work together: found when they are read, not when Kafka refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.runtime.settings import Settings

_SASL = ("sasl_plaintext", "sasl_ssl")
_TLS = ("ssl", "sasl_ssl")
_TLS_SETTINGS = ("kafka_ca", "kafka_certificate", "kafka_key", "kafka_key_password")
_PASSWORD_SETTINGS = ("kafka_username", "kafka_password")
_OAUTH_SETTINGS = ("kafka_oauth_url", "kafka_oauth_client_id", "kafka_oauth_client_secret")


def problems(settings: "Settings") -> Iterator[str]:
    """What cannot work, each as the setting's name in capitals, what is wrong and what to do; never a value of it."""
    yield from _kafka(settings)
    yield from _missing_files(settings)
    registry = settings.schema_registry.get_secret_value()
    if registry and not registry.startswith(("http://", "https://")):
        yield "SCHEMA_REGISTRY: is no URL; give http://host:port or https://user:password@host"


def _kafka(settings: "Settings") -> Iterator[str]:
    security, mechanism = settings.kafka_security, settings.kafka_sasl_mechanism
    if security != "plaintext" and settings.kafka in ("embedded", "local"):
        yield (
            f"KAFKA_SECURITY: the {settings.kafka} Kafka listens on loopback, without TLS or SASL; "
            "set CORREDOR_KAFKA to the host:port of your cluster, or CORREDOR_KAFKA_SECURITY to plaintext"
        )
    if security not in _TLS:
        for name in _given(settings, _TLS_SETTINGS):
            yield f"{name}: is for TLS, and CORREDOR_KAFKA_SECURITY is {security}; set that to ssl or sasl_ssl"
    if security not in _SASL:
        for name in _given(settings, ("kafka_sasl_mechanism", *_PASSWORD_SETTINGS, *_OAUTH_SETTINGS)):
            yield f"{name}: is for SASL, and CORREDOR_KAFKA_SECURITY is {security}; set that to sasl_ssl"
    elif not mechanism:
        yield (
            f"KAFKA_SASL_MECHANISM: {security} needs one; "
            "set PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, as your cluster has it"
        )
    else:
        needed = _OAUTH_SETTINGS if mechanism == "OAUTHBEARER" else _PASSWORD_SETTINGS
        given = _given(settings, needed)
        for name in needed:
            if name.upper() not in given:
                yield f"{name.upper()}: {mechanism} needs it; set it, or put it into a file of CORREDOR_SECRETS"
    yield from _pairs(settings)


def _pairs(settings: "Settings") -> Iterator[str]:
    if settings.kafka_certificate and not settings.kafka_key:
        yield "KAFKA_KEY: CORREDOR_KAFKA_CERTIFICATE is of no use without its private key; name that file as well"
    if settings.kafka_key and not settings.kafka_certificate:
        yield "KAFKA_CERTIFICATE: CORREDOR_KAFKA_KEY is of no use without its certificate; name that file as well"
    if settings.kafka_key_password.get_secret_value() and not settings.kafka_key:
        yield "KAFKA_KEY: CORREDOR_KAFKA_KEY_PASSWORD is set and no key; name the file of the private key"


def _missing_files(settings: "Settings") -> Iterator[str]:
    for name in ("kafka_ca", "kafka_certificate", "kafka_key", "kafka_oauth_ca", "schema_registry_ca"):
        file: Path | None = getattr(settings, name)
        if file is not None and not file.is_file():
            yield f"{name.upper()}: there is no file {file}; name one that can be read"


def _given(settings: "Settings", names: tuple[str, ...]) -> list[str]:
    """Those that have a value, in capitals."""
    values = ((name, getattr(settings, name)) for name in names)
    return [
        name.upper()
        for name, value in values
        if (value.get_secret_value() if hasattr(value, "get_secret_value") else value)
    ]

"""Security of Kafka: from the settings `kafka_...` to what librdkafka and aiokafka want to hear, in this one place.

Who is refused is told so at once and ends; who finds Kafka away waits as always. Secrets leave this module only towards
the clients: whatever an error quotes is masked.
"""

import re
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from schemas.errors import StopProcess, UsageError
from streams.runtime.settings import Settings

if TYPE_CHECKING:
    from faust.auth import Credentials

#: How long the first connection may take before it counts as away, and not as refused. Seconds.
FIRST_LOOK_S = 5.0
_TOKEN = "Failed to acquire SASL OAUTHBEARER token: "
#: The token endpoint is not there, in curl's words; everything else it says about tokens is a refusal.
_NO_ENDPOINT = re.compile("Could not connect|Could not resolve|Failed to connect|[Tt]imed out|Timeout")
#: What librdkafka puts around the words of a broker: its address, and how far the connection had come.
_AROUND = re.compile(r"^\S+/(bootstrap|\d+): |\s*\(after \d+ms in state \w+[^)]*\)")
_known: set[tuple[str, ...]] = set()


def librdkafka(settings: Settings) -> dict[str, str]:
    """Configuration of a librdkafka client, beside its address. Holds secrets: never log it."""
    if settings.kafka_security == "plaintext":
        return {}
    conf = {
        "security.protocol": settings.kafka_security,
        "ssl.ca.location": _path(settings.kafka_ca),
        "ssl.certificate.location": _path(settings.kafka_certificate),
        "ssl.key.location": _path(settings.kafka_key),
        "ssl.key.password": settings.kafka_key_password.get_secret_value(),
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_username,
        "sasl.password": settings.kafka_password.get_secret_value(),
    }
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        conf |= {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": settings.kafka_oauth_url,
            "sasl.oauthbearer.client.id": settings.kafka_oauth_client_id,
            "sasl.oauthbearer.client.secret": settings.kafka_oauth_client_secret.get_secret_value(),
            "sasl.oauthbearer.scope": settings.kafka_oauth_scope,
            "https.ca.location": _path(settings.kafka_oauth_ca),
        }
    return {name: value for name, value in conf.items() if value}


def credentials(settings: Settings) -> "Credentials | None":
    """What Faust hands to aiokafka; None without security. Raises UsageError for files that cannot be used."""
    if settings.kafka_security == "plaintext":
        return None
    # Only workers need them, and they take a while to import.
    from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

    context = tls_context(settings)
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        from streams.runtime.oauth import TokenProvider

        return OAuthCredentials(oauth_cb=TokenProvider(settings), ssl_context=context)
    if settings.kafka_sasl_mechanism:
        return SASLCredentials(
            username=settings.kafka_username,
            password=settings.kafka_password.get_secret_value(),
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context)


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Checks the broker's certificate and its host name; None where TLS is off.

    Raises UsageError for files that cannot be used, or that do not fit together.
    """
    if settings.kafka_security not in ("ssl", "sasl_ssl"):
        return None
    context = authorities(settings, "kafka_ca")
    if settings.kafka_certificate is not None:
        try:
            # Without any password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(
                settings.kafka_certificate, settings.kafka_key, settings.kafka_key_password.get_secret_value()
            )
        except OSError as error:
            raise UsageError(
                f"CORREDOR_KAFKA_CERTIFICATE: {settings.kafka_certificate} with the key {settings.kafka_key} cannot be "
                f"used: {error}; both have to be PEM files that belong together, an encrypted key needs "
                "CORREDOR_KAFKA_KEY_PASSWORD"
            ) from None
    return context


def authorities(settings: Settings, name: str) -> ssl.SSLContext:
    """Trusts the authorities in the file of setting `name`, or the system's. Raises UsageError for a bad file."""
    file = getattr(settings, name)
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise UsageError(
            f"CORREDOR_{name.upper()}: {file} cannot be used: {error}; it has to be a PEM file of certificates"
        ) from None


def let_in(settings: Settings) -> None:
    """See that Kafka lets us in, the first time this process wants a client; does nothing without security.

    Raises UsageError if we are refused, StopProcess if the token endpoint is away. If Kafka does not answer, returns
    after `FIRST_LOOK_S`: waiting is up to others.
    """
    conf = librdkafka(settings)
    key = (settings.kafka, *conf.values())
    if not conf or key in _known:
        return
    tls_context(settings)
    authorities(settings, "kafka_oauth_ca")
    last: list[KafkaError] = []
    try:
        client = AdminClient({"bootstrap.servers": settings.kafka, **conf, "log_level": 0, "error_cb": last.append})
    except KafkaException as error:
        raise UsageError(f"Kafka's client does not take the settings: {_masked(settings, str(error))}") from None
    deadline = time.monotonic() + FIRST_LOOK_S
    while True:
        client.poll(0.02)
        for said in last:
            if _refuses(said):
                raise refusal(settings, said)
        try:
            client.list_topics(timeout=0.2)
            break
        except KafkaException:
            if time.monotonic() > deadline:
                if told := [said for said in last if said.code() != KafkaError._ALL_BROKERS_DOWN]:
                    _raise_for_tls(settings, told[-1])
                break
    _known.add(key)


def on_error(settings: Settings, then: Callable[[KafkaError], None] | None) -> Callable[[KafkaError], None]:
    """Error callback of a client: raises UsageError, out of its `poll`, once the broker refuses us for who we are.

    A token endpoint that is away is no such case, nor a connection that broke: librdkafka goes on trying.
    """

    def callback(error: KafkaError) -> None:
        if _refuses(error) and not error.str().startswith(_TOKEN):
            raise refusal(settings, error)
        if then is not None:
            then(error)

    return callback


def refusal(settings: Settings, error: KafkaError) -> StopProcess:
    """Who was refused by whom, why, and what to look at."""
    said = _masked(settings, _AROUND.sub("", error.str()))
    if said.startswith(_TOKEN):
        # One that is away comes back: whoever started us may start us again.
        kind = StopProcess if _NO_ENDPOINT.search(said) else UsageError
        return kind(
            f"no token for Kafka from {settings.kafka_oauth_url}: {said.removeprefix(_TOKEN)}; check "
            "CORREDOR_KAFKA_OAUTH_CLIENT_ID and ..._CLIENT_SECRET, ..._SCOPE, ..._CA, and that the endpoint is up"
        )
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        return UsageError(
            f"Kafka at {settings.kafka} refuses the token of client {settings.kafka_oauth_client_id!r}: {said}; see "
            f"that tokens of {settings.kafka_oauth_url} are meant for this cluster: issuer, audience, keys, clock"
        )
    return UsageError(
        f"Kafka at {settings.kafka} refuses user {settings.kafka_username!r} ({settings.kafka_sasl_mechanism}): "
        f"{said}; check CORREDOR_KAFKA_USERNAME, CORREDOR_KAFKA_PASSWORD and that the cluster has the user for this "
        "mechanism"
    )


def _refuses(error: KafkaError) -> bool:
    """Whether somebody said no. A connection that broke, or was about to renew its token, has that code too."""
    said = error.str()
    no = said.startswith(_TOKEN) or "Unsupported SASL mechanism" in said
    no = no or ("SASL authentication error: " in said and "failed: Local: " not in said)
    return error.code() == KafkaError._AUTHENTICATION and no


def _raise_for_tls(settings: Settings, error: KafkaError) -> None:
    """Raise UsageError if the connection fails by TLS; a broker that is away says nothing of TLS."""
    said = _AROUND.sub("", error.str())
    if error.code() == KafkaError._SSL or "SSL" in said:
        raise UsageError(
            f"no TLS with Kafka at {settings.kafka}: {said}; check that CORREDOR_KAFKA_CA "
            f"({settings.kafka_ca or 'now the authorities of the system'}) signs the certificates of the brokers, that "
            "these name the host of CORREDOR_KAFKA, that it is a TLS listener, and whether it wants "
            "CORREDOR_KAFKA_CERTIFICATE"
        )


def _masked(settings: Settings, text: str) -> str:
    """`text` without our secrets, should anybody have quoted them."""
    for value in dict(settings).values():
        if isinstance(value, SecretStr) and (secret := value.get_secret_value()):
            text = text.replace(secret, "***")
    return text


def _path(file: Any) -> str:
    return "" if file is None else str(file)

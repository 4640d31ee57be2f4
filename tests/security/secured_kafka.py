"""Apache Kafka that lets nobody in without a right: SASL_SSL with every mechanism, mutual TLS, and ACLs."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import serialization

from streams.runtime.local import LocalKafka
from streams.runtime.supervisor import free_port
from streams.runtime.topics_admin import with_controller
from tests.security.token_endpoint import AUDIENCE, ISSUER, TokenEndpoint

#: Distinctive, so that a search finds them wherever they leak.
USER, PASSWORD = "corredor", "s3cret-Passw0rd-of-kafka"
CLIENT, CLIENT_SECRET = "corredor-client", "s3cret-0f-the-oauth-client"
KEY_PASSWORD = "s3cret-of-the-private-key"
SECRETS = (PASSWORD, CLIENT_SECRET, KEY_PASSWORD)
#: Users that PLAIN knows besides, one for each role, and their passwords.
PASSWORDS = {role: f"s3cret-of-the-{role}" for role in ("operator", "worker", "sink", "publisher")}
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
#: Principals of the mechanisms, and of the certificate: who ACLs are about.
PRINCIPALS = (f"User:{USER}", f"User:{CLIENT}", f"User:CN={USER}")
_LOGIN = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class SecuredKafka:
    """A running broker. `broker.bootstrap` is a plaintext listener for the test itself, who may do everything."""

    broker: LocalKafka
    endpoint: TokenEndpoint
    sasl: str
    tls: str
    clear: str
    ca: Path
    other_ca: Path
    certificate: Path
    key: Path

    def settings(self, mechanism: str) -> dict[str, Any]:
        """Settings that get in: by a mechanism, by `TLS` with our own certificate, or `CLEAR`: PLAIN without TLS."""
        if mechanism == "CLEAR":
            return {
                "kafka": self.clear,
                "kafka_security": "sasl_plaintext",
                "kafka_sasl_mechanism": "PLAIN",
                "kafka_username": USER,
                "kafka_password": PASSWORD,
            }
        if mechanism == "TLS":
            return {
                "kafka": self.tls,
                "kafka_security": "ssl",
                "kafka_ca": self.ca,
                "kafka_certificate": self.certificate,
                "kafka_key": self.key,
                "kafka_key_password": KEY_PASSWORD,
            }
        common = {
            "kafka": self.sasl,
            "kafka_security": "sasl_ssl",
            "kafka_sasl_mechanism": mechanism,
            "kafka_ca": self.ca,
        }
        if mechanism == "OAUTHBEARER":
            return common | {
                "kafka_oauth_url": self.endpoint.url,
                "kafka_oauth_client_id": CLIENT,
                "kafka_oauth_client_secret": CLIENT_SECRET,
                "kafka_oauth_scope": "corredor",
                "kafka_oauth_ca": self.ca,
            }
        return common | {"kafka_username": USER, "kafka_password": PASSWORD}


@contextmanager
def secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    """Start the broker and the token endpoint, both with certificates of an authority made up for this."""
    authority, stranger = trustme.CA(), trustme.CA()
    server = authority.issue_cert("localhost")
    ca, other_ca = folder / "ca.pem", folder / "other-ca.pem"
    authority.cert_pem.write_to_path(ca)
    stranger.cert_pem.write_to_path(other_ca)
    certificate, key = folder / "client.pem", folder / "client.key"
    client = authority.issue_cert("client.test", common_name=USER)
    certificate.write_bytes(b"".join(blob.bytes() for blob in client.cert_chain_pems))
    key.write_bytes(_key(client, KEY_PASSWORD))
    broker_pem = folder / "broker.pem"
    broker_pem.write_bytes(_key(server) + b"".join(blob.bytes() for blob in server.cert_chain_pems))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.configure_cert(context)
    sasl, tls, clear = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        endpoint = stack.enter_context(TokenEndpoint({CLIENT: CLIENT_SECRET}, context))
        jwks = folder / "jwks.json"
        jwks.write_text(endpoint.keys())
        broker = LocalKafka(
            folder / "broker",
            properties=_properties(sasl, tls, clear, broker_pem, ca, jwks.as_uri()),
            jvm=[f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={jwks.as_uri()}"],
        )
        stack.enter_context(broker)
        add_scram(broker.bootstrap, USER, PASSWORD)
        where = (f"localhost:{sasl}", f"localhost:{tls}", f"localhost:{clear}")
        yield SecuredKafka(broker, endpoint, *where, ca, other_ca, certificate, key)


def _key(issued: trustme.LeafCert, password: str | None = None) -> bytes:
    """Its private key as PKCS 8, the only form that Java reads."""
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _properties(sasl: int, tls: int, clear: int, pem: Path, ca: Path, jwks: str) -> dict[str, str]:
    mine = "listener.name.sasl_ssl"
    users = " ".join(f'user_{name}="{password}"' for name, password in {USER: PASSWORD, **PASSWORDS}.items())
    return {
        "listeners": (
            "PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller_port},"
            f"SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{tls},SASL_PLAINTEXT://127.0.0.1:{clear}"
        ),
        "advertised.listeners": (
            f"PLAINTEXT://127.0.0.1:${{port}},SASL_SSL://localhost:{sasl},SSL://localhost:{tls},"
            f"SASL_PLAINTEXT://localhost:{clear}"
        ),
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(pem),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca),
        "listener.name.ssl.ssl.client.auth": "required",
        # The whole name of a certificate is the principal; of it only the common name.
        "listener.name.ssl.ssl.principal.mapping.rules": "RULE:^.*(CN=[^,]+).*$/$1/",
        f"{mine}.sasl.enabled.mechanisms": ",".join(MECHANISMS),
        f"{mine}.plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule required {users};",
        "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule required {users};",
        f"{mine}.scram-sha-256.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        f"{mine}.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        f"{mine}.oauthbearer.sasl.jaas.config": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required;",
        f"{mine}.oauthbearer.sasl.server.callback.handler.class": (
            f"{_LOGIN}.oauthbearer.OAuthBearerValidatorCallbackHandler"
        ),
        # Kafka 4.1.1 would choose the validator of clients by itself, which looks at no signature.
        "sasl.oauthbearer.jwt.validator.class": f"{_LOGIN}.oauthbearer.BrokerJwtValidator",
        "sasl.oauthbearer.jwks.endpoint.url": jwks,
        "sasl.oauthbearer.expected.audience": AUDIENCE,
        "sasl.oauthbearer.expected.issuer": ISSUER,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Whoever comes through the plaintext listener: the broker itself, and the test.
        "super.users": "User:ANONYMOUS",
    }


def add_scram(bootstrap: str, user: str, password: str) -> None:
    """Give a user a password for both SCRAM mechanisms, whatever it was before."""
    client = with_controller(AdminClient({"bootstrap.servers": bootstrap}))
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        change = UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), password.encode())
        # One request each: Kafka takes no two changes of a user at once.
        for future in client.alter_user_scram_credentials([change]).values():
            future.result()

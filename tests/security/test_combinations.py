"""Settings that cannot work are refused when they are read, by name; secrets come from files, and stay hidden."""

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UsageError
from streams.runtime.settings import load_settings
from streams.runtime.supervisor import as_environment

HOST = {"kafka": "broker:9093"}
SASL = {**HOST, "kafka_security": "sasl_ssl"}
USER = {"kafka_username": "u", "kafka_password": "p"}
OAUTH = {"kafka_oauth_url": "https://idp/token", "kafka_oauth_client_id": "c", "kafka_oauth_client_secret": "s"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kafka": "embedded", "kafka_security": "ssl"}, "CORREDOR_KAFKA_SECURITY: the embedded Kafka"),
        ({"kafka": "local", "kafka_security": "ssl"}, "CORREDOR_KAFKA_SECURITY: the local Kafka"),
        (SASL, "CORREDOR_KAFKA_SASL_MECHANISM: sasl_ssl needs one"),
        ({**SASL, "kafka_sasl_mechanism": "PLAIN", "kafka_username": "u"}, "CORREDOR_KAFKA_PASSWORD: PLAIN needs it"),
        ({**SASL, "kafka_sasl_mechanism": "SCRAM-SHA-512", "kafka_password": "p"}, "CORREDOR_KAFKA_USERNAME: SCRAM"),
        (
            {**SASL, **OAUTH, "kafka_sasl_mechanism": "OAUTHBEARER", "kafka_oauth_client_secret": ""},
            "CORREDOR_KAFKA_OAUTH_CLIENT_SECRET: OAUTHBEARER needs it",
        ),
        ({**SASL, "kafka_sasl_mechanism": "GSSAPI"}, "CORREDOR_KAFKA_SASL_MECHANISM: Input should be"),
        ({**HOST, **USER}, "CORREDOR_KAFKA_PASSWORD: is for SASL, and CORREDOR_KAFKA_SECURITY is plaintext"),
        ({**HOST, "kafka_security": "ssl", **USER}, "CORREDOR_KAFKA_USERNAME: is for SASL"),
        ({**HOST, "kafka_ca": __file__}, "CORREDOR_KAFKA_CA: is for TLS"),
        ({**HOST, "kafka_security": "ssl", "kafka_certificate": __file__}, "CORREDOR_KAFKA_KEY: CORREDOR_KAFKA_CERT"),
        ({**HOST, "kafka_security": "ssl", "kafka_key": __file__}, "CORREDOR_KAFKA_CERTIFICATE: CORREDOR_KAFKA_KEY"),
        ({**HOST, "kafka_security": "ssl", "kafka_key_password": "p"}, "CORREDOR_KAFKA_KEY: CORREDOR_KAFKA_KEY_PASS"),
        ({**HOST, "kafka_security": "ssl", "kafka_ca": "gone.pem"}, "CORREDOR_KAFKA_CA: there is no file gone.pem"),
        ({"kafka_oauth_url": "https://user:secret@idp/token"}, "CORREDOR_KAFKA_OAUTH_URL: String should match"),
        ({"schema_registry": "registry:8081"}, "CORREDOR_SCHEMA_REGISTRY: is no URL"),
    ],
)
def test_settings_that_cannot_work_together_are_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as refused:
        load_settings(**changes)
    assert named in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_what_each_mechanism_needs_is_enough(mechanism: str) -> None:
    own = OAUTH if mechanism == "OAUTHBEARER" else USER
    load_settings(**SASL, kafka_sasl_mechanism=mechanism, **own)


def test_a_refusal_does_not_show_the_value_of_a_secret() -> None:
    with pytest.raises(UsageError) as refused:
        load_settings(**HOST, kafka_password="hidden-value", schema_registry="user:hidden-value@registry")
    assert "hidden-value" not in str(refused.value)


def test_a_secret_may_be_a_file_below_the_environment_and_above_the_toml_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, toml = tmp_path / "secrets", tmp_path / "corredor.toml"
    folder.mkdir()
    (folder / "corredor_kafka_password").write_text("from-file\n")
    (folder / "corredor_kafka_username").write_text("from-file")
    toml.write_text('kafka_password = "from-toml"\nkafka = "b:1"\nkafka_security = "sasl_ssl"\n')
    monkeypatch.setenv("CORREDOR_SECRETS", str(folder))
    monkeypatch.setenv("CORREDOR_CONFIG", str(toml))
    monkeypatch.setenv("CORREDOR_KAFKA_USERNAME", "from-environment")
    monkeypatch.setenv("CORREDOR_KAFKA_SASL_MECHANISM", "PLAIN")
    settings = load_settings()
    assert settings.kafka_password.get_secret_value() == "from-file"
    assert settings.kafka_username == "from-environment"


def test_a_folder_of_secrets_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORREDOR_SECRETS", "/no/such/folder")
    with pytest.raises(UsageError, match="CORREDOR_SECRETS: /no/such/folder is no folder"):
        load_settings()


def test_a_child_process_gets_every_setting_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(**SASL, kafka_sasl_mechanism="PLAIN", **USER, kafka_ca=Path(__file__))
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    child = load_settings()
    assert child.kafka_password.get_secret_value() == "p"
    assert child.kafka_ca == Path(__file__).absolute()
    assert child.kafka_certificate is None

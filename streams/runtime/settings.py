"""Every setting, in one place: `CORREDOR_...` environment variables over secret files over a TOML file over defaults.

The TOML file is `corredor.toml` in the working folder, or the one that `CORREDOR_CONFIG` names. Secret files are those
of the folder that `CORREDOR_SECRETS` names, as Docker and Kubernetes mount them: `corredor_kafka_password` holds the
value of `CORREDOR_KAFKA_PASSWORD`, and so on.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from schemas import retention
from schemas.errors import UsageError
from streams.runtime import combinations

DEFAULT_MAP = Path(__file__).resolve().parents[2] / "schemas" / "maps" / "retail.yaml"
#: A file that need not be given.
_File = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"`{text}` is no JSON: {error}") from None


def _listed(value: object) -> object:
    """A list, of a TOML file or as JSON, as names with commas between them."""
    if isinstance(value, str):
        value = _json(value) if value.lstrip().startswith("[") else value.split(",")
    return ",".join(str(each).strip() for each in value) if isinstance(value, list) else value


def _kept(value: object) -> str:
    """A table, of a TOML file or as JSON, as `name=duration` pairs; raises ValueError for what cannot be."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _json(value)
    return retention.text(retention.parse(value))


class Settings(BaseSettings):
    """The settings of every program of ours. Times are seconds, sizes bytes."""

    model_config = SettingsConfigDict(env_prefix="CORREDOR_", extra="forbid", frozen=True)

    kafka: Annotated[
        str, Field(description="`embedded`, `local`, or the host:port list of a Kafka cluster", pattern=r"^\S+$")
    ] = "embedded"
    kafka_paced: Annotated[
        bool, Field(description="the cluster keeps a short log: wait for the readers before writing more")
    ] = False
    kafka_port: Annotated[int, Field(description="port of the `local` Kafka; 0 takes a free one", ge=0, le=65535)] = (
        9092
    )
    clickhouse: Annotated[
        SecretStr,
        Field(description="`chdb:///path`, or `http://user:password@host:8123/corredor`; default: chDB in `data_dir`"),
    ] = SecretStr("")
    data_dir: Annotated[Path, Field(description="where embedded and local servers keep their files")] = Path(
        ".corredor"
    )
    state_store: Annotated[
        Literal["memory", "rocksdb"],
        Field(description="where idle journeys are kept: in memory, or in RocksDB below `data_dir`"),
    ] = "memory"
    map: Annotated[Path, Field(description="the corridor map")] = DEFAULT_MAP
    runbooks: Annotated[
        str, Field(description="where your runbook pages are, a folder or an address: incidents and alerts link theirs")
    ] = "docs/runbooks"
    group: Annotated[str, Field(description="prefix of the consumer groups", pattern=r"^[\w.-]+$")] = "corredor"
    workers: Annotated[int, Field(description="worker processes of `corredor run`", ge=1, le=64)] = 1
    metrics_host: Annotated[str, Field(description="address that /metrics and health listen on")] = "127.0.0.1"
    metrics_port: Annotated[int, Field(description="port of /metrics; 0 takes a free one", ge=0, le=65535)] = 9464
    query_port: Annotated[
        int,
        Field(description="port of ClickHouse's HTTP interface in front of chDB; 0 takes a free one", ge=0, le=65535),
    ] = 8123
    checkpoint_interval: Annotated[float, Field(description="longest time between checkpoints", gt=0, le=60)] = 0.5
    sink: Annotated[
        bool, Field(description="a sink reads the results; without one a short log does not wait for it")
    ] = True
    sink_rows: Annotated[int, Field(description="rows that make the sink write", ge=1, le=1_000_000)] = 10_000
    sink_bytes: Annotated[int, Field(description="bytes that make the sink write", ge=1024)] = 16 * 1024 * 1024
    sink_interval: Annotated[float, Field(description="longest time a row waits in the sink", gt=0, le=60)] = 0.25
    partitions: Annotated[int, Field(description="partitions of a topic that we create", ge=1, le=1024)] = 4
    replication: Annotated[int, Field(description="replicas of a topic that we create", ge=1, le=16)] = 1
    shutdown_timeout: Annotated[float, Field(description="longest clean shutdown, then the process ends", gt=0)] = 8.0
    stall_timeout: Annotated[
        float,
        Field(description="a worker that has work and makes no progress for this long ends", ge=1),
    ] = 60.0
    session_timeout: Annotated[
        float,
        Field(description="after this long without a sign of life another process takes over; brokers allow 6 s", ge=1),
    ] = 6.0
    log_level: Annotated[
        str, Field(description="DEBUG, INFO, WARNING or ERROR", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    ] = "INFO"

    # Security of Kafka: docs/security.md
    kafka_security: Annotated[
        Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"],
        Field(description="how Kafka is spoken to: encrypted or not, with SASL or without"),
    ] = "plaintext"
    kafka_sasl_mechanism: Annotated[
        Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"],
        Field(description="how SASL proves who we are"),
    ] = ""
    kafka_username: Annotated[str, Field(description="user of PLAIN and SCRAM")] = ""
    kafka_password: Annotated[SecretStr, Field(description="password of PLAIN and SCRAM")] = SecretStr("")
    kafka_ca: Annotated[
        _File,
        Field(description="PEM file of the authorities that sign the brokers' certificates; default: the system's"),
    ] = None
    kafka_certificate: Annotated[_File, Field(description="PEM file of our own certificate, for mutual TLS")] = None
    kafka_key: Annotated[_File, Field(description="PEM file of the certificate's private key")] = None
    kafka_key_password: Annotated[SecretStr, Field(description="password of the private key")] = SecretStr("")
    kafka_oauth_url: Annotated[
        str,
        Field(description="token endpoint of OAUTHBEARER (OIDC client credentials)", pattern=r"^(https?://[^\s@]+)?$"),
    ] = ""
    kafka_oauth_client_id: Annotated[str, Field(description="client id at the token endpoint")] = ""
    kafka_oauth_client_secret: Annotated[SecretStr, Field(description="client secret at the token endpoint")] = (
        SecretStr("")
    )
    kafka_oauth_scope: Annotated[str, Field(description="scope to ask a token for")] = ""
    kafka_oauth_ca: Annotated[
        _File, Field(description="PEM file of the authorities of the token endpoint; default: the system's")
    ] = None
    schema_registry: Annotated[
        SecretStr,
        Field(
            description="URL of a schema registry: events may come in Confluent's wire format; may hold user:password@"
        ),
    ] = SecretStr("")
    schema_registry_ca: Annotated[
        _File, Field(description="PEM file of the authorities of the schema registry; default: the system's")
    ] = None

    # The console: docs/console.md
    console: Annotated[bool, Field(description="`corredor run` serves the console too")] = False
    console_host: Annotated[str, Field(description="address the console listens on")] = "127.0.0.1"
    console_port: Annotated[int, Field(description="port of the console; 0 takes a free one", ge=0, le=65535)] = 8080
    console_password: Annotated[SecretStr, Field(description="password of the console; default: none is asked")] = (
        SecretStr("")
    )
    console_proxy_header: Annotated[
        str,
        Field(
            description="header in which a login proxy before the console names the user, such as X-Forwarded-User",
            pattern=r"^[A-Za-z0-9-]*$",
        ),
    ] = ""

    # Privacy: docs/privacy.md
    pseudonym_key: Annotated[
        SecretStr,
        Field(description="key of the pseudonyms that take the place of customers at the edge, at least 16 bytes"),
    ] = SecretStr("")
    pseudonym_key_file: Annotated[_File, Field(description="file with that key, instead of the key itself")] = None
    pseudonym_fields: Annotated[
        str,
        BeforeValidator(_listed),
        Field(description="fields that get pseudonyms, such as subject,data.journey,data.segment.customer"),
    ] = "subject,data.journey"
    personal_data: Annotated[
        Literal["refuse", "allow"],
        Field(description="what becomes of events with e-mail addresses, phone or card numbers in free fields"),
    ] = "refuse"
    personal_data_allowed: Annotated[
        str,
        BeforeValidator(_listed),
        Field(description="fields that may look so, such as data.segment.order"),
    ] = ""
    retention: Annotated[
        str,
        BeforeValidator(_kept),
        Field(description="how long topics and tables keep it all, such as touchpoint.events=7d,journeys=400d"),
    ] = ""

    # BI on the embedded run: docs/bi.md
    query_host: Annotated[
        str,
        Field(description="address that ClickHouse's HTTP interface in front of chDB listens on too, beside loopback"),
    ] = "127.0.0.1"
    query_password: Annotated[
        SecretStr,
        Field(description="password that the query interface asks of other machines; `query_host` needs one"),
    ] = SecretStr("")

    # ClickHouse on a cluster: docs/deploy.md
    clickhouse_cluster: Annotated[
        str,
        Field(
            description="name of the ClickHouse cluster whose replicas all get the tables; default: one server",
            pattern=r"^[\w.-]*$",
        ),
    ] = ""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: arguments, environment, secret files, TOML file."""
        file = Path(os.environ.get("CORREDOR_CONFIG", "corredor.toml"))
        secrets = SecretsSettingsSource(settings_cls, secrets_dir=_secrets_folder())
        return init_settings, env_settings, secrets, TomlConfigSettingsSource(settings_cls, toml_file=file)

    @property
    def worker_group(self) -> str:
        """Consumer group of the workers."""
        return f"{self.group}.worker"

    @property
    def sink_group(self) -> str:
        """Consumer group of the sinks."""
        return f"{self.group}.sink"

    @property
    def clickhouse_dsn(self) -> str:
        """The ClickHouse DSN in clear, the default filled in. Never log it: it may hold a password."""
        return self.clickhouse.get_secret_value() or f"chdb://{self.data_dir.absolute() / 'clickhouse'}"


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; what is wrong raises UsageError with the name of each setting and what to do."""
    try:
        settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        lines = [
            f"  CORREDOR_{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise UsageError("settings cannot be used:\n" + "\n".join(lines)) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"the settings file cannot be read: {error}") from None
    if problems := list(combinations.problems(settings)):
        raise UsageError("settings cannot be used:\n" + "\n".join(f"  CORREDOR_{problem}" for problem in problems))
    return settings


def _secrets_folder() -> Path | None:
    folder = os.environ.get("CORREDOR_SECRETS")
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise UsageError(f"settings cannot be used:\n  CORREDOR_SECRETS: {folder} is no folder; name one, or unset it")
    return Path(folder)

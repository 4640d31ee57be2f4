"""Every setting, in one place: `CORREDOR_...` environment variables over a TOML file over the defaults.

The file is `corredor.toml` in the working folder, or the one that `CORREDOR_CONFIG` names.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from schemas.errors import UsageError

DEFAULT_MAP = Path(__file__).resolve().parents[2] / "schemas" / "maps" / "retail.yaml"


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
    group: Annotated[str, Field(description="prefix of the consumer groups", pattern=r"^[\w.-]+$")] = "corredor"
    workers: Annotated[int, Field(description="worker processes of `corredor run`", ge=1, le=64)] = 1
    metrics_host: Annotated[str, Field(description="address that /metrics and health listen on")] = "127.0.0.1"
    metrics_port: Annotated[int, Field(description="port of /metrics; 0 takes a free one", ge=0, le=65535)] = 9464
    query_port: Annotated[
        int,
        Field(description="port of ClickHouse's HTTP interface in front of chDB; 0 takes a free one", ge=0, le=65535),
    ] = 8123
    checkpoint_interval: Annotated[float, Field(description="longest time between checkpoints", gt=0, le=60)] = 0.5
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
    ] = 10.0
    log_level: Annotated[
        str, Field(description="DEBUG, INFO, WARNING or ERROR", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    ] = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: arguments, environment, TOML file."""
        file = Path(os.environ.get("CORREDOR_CONFIG", "corredor.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

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
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        lines = [
            f"  CORREDOR_{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise UsageError("settings cannot be used:\n" + "\n".join(lines)) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"the settings file cannot be read: {error}") from None

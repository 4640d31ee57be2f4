"""Where the running system is: `corredor run` writes `<data_dir>/run.json`, other commands find it there."""

import os
from pathlib import Path

import msgspec
import psutil
from pydantic import SecretStr

from schemas.errors import UsageError
from streams.runtime.settings import Settings

_START_TOLERANCE_S = 2.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A running `corredor run`: its process, and addresses that work from every process of this machine."""

    pid: int
    #: When that process started, Unix time: tells it from a later one with the same pid.
    started: float
    kafka: str
    kafka_paced: bool
    #: DSN that reads ClickHouse; empty where no sink runs.
    clickhouse: str
    #: Base URL of the aggregated /metrics, /health and /ready.
    metrics: str
    #: Base URL of the same for each process, by the process' name.
    processes: dict[str, str]


def run_file(settings: Settings) -> Path:
    """The file that describes the run."""
    return settings.data_dir / "run.json"


def write(settings: Settings, run: Run) -> None:
    """Write the description so that a reader sees the old one or the whole new one."""
    file = run_file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    # Only its owner may read it: a DSN may hold a password.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
    draft.replace(file)


def remove(settings: Settings) -> None:
    """Remove the description, if it is this process' own."""
    run = _read(settings)
    if run is not None and run.pid == os.getpid():
        run_file(settings).unlink(missing_ok=True)


def find(settings: Settings) -> Run | None:
    """The run that lives in `data_dir`, or None if there is none. A file that a dead process left does not count."""
    run = _read(settings)
    return run if run is not None and _alive(run) else None


def resolve(settings: Settings) -> Settings:
    """The settings with addresses in place of names, for a command that needs a running system.

    A host:port in `settings.kafka` and a server in `settings.clickhouse` stand as they are; everything else is taken
    from the run in `data_dir`. Raises UsageError if nothing runs there.
    """
    run = find(settings)
    named = settings.kafka in ("embedded", "local")
    if run is None:
        if not named:
            return settings
        raise UsageError(_nothing_runs(settings))
    changes: dict[str, object] = {}
    if named or settings.kafka == run.kafka:
        changes |= {"kafka": run.kafka, "kafka_paced": run.kafka_paced}
    if run.clickhouse and not settings.clickhouse.get_secret_value():
        changes["clickhouse"] = SecretStr(run.clickhouse)
    return settings.model_copy(update=changes)


def _read(settings: Settings) -> Run | None:
    try:
        return msgspec.json.decode(run_file(settings).read_bytes(), type=Run)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{run_file(settings)} cannot be read: {error}; end `corredor run`, then remove it") from None


def _alive(run: Run) -> bool:
    try:
        return abs(psutil.Process(run.pid).create_time() - run.started) < _START_TOLERANCE_S
    except psutil.NoSuchProcess:
        return False


def _nothing_runs(settings: Settings) -> str:
    where = settings.data_dir.absolute()
    left = _read(settings)
    stale = f" ({run_file(settings)} was left by process {left.pid}, which has ended)" if left is not None else ""
    return (
        f"nothing runs in {where}{stale}; start it with `corredor run`, "
        "or set CORREDOR_DATA_DIR to the folder of a run, or CORREDOR_KAFKA to the host:port of a cluster"
    )

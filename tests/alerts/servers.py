"""Prometheus and Alertmanager, started for a test: free loopback ports, files in a folder of the test's own."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from streams.runtime.federation import get
from streams.runtime.leash import leashed
from streams.runtime.supervisor import free_port
from tests.conftest import wait_until

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml"))
#: Where `CONFIG` posts to.
POSTS_TO = "http://127.0.0.1:5001"
#: The interval that deploy/prometheus has: scrapes and rules. Seconds.
EVERY_S = 5
_READY_S = 30.0
_END_S = 10.0


def program(name: str) -> str:
    """The path of one of them; the test is skipped without it, and fails if CORREDOR_REQUIRE_PROMETHEUS=1."""
    found = shutil.which(name)
    if found is not None:
        return found
    why = f"there is no `{name}`; `python -m scripts.monitoring` installs it"
    if os.environ.get("CORREDOR_REQUIRE_PROMETHEUS") == "1":
        pytest.fail(why)
    pytest.skip(why)


def told_to(url: str, config: Path, folder: Path) -> Path:
    """A copy of an Alertmanager file whose webhooks are at `url`; all else is as it is."""
    text = config.read_text()
    assert POSTS_TO in text
    copy = folder / config.name
    copy.write_text(text.replace(POSTS_TO, url).replace("templates/*", f"{config.parent}/templates/*"))
    return copy


@contextmanager
def alertmanager(folder: Path, config: Path) -> Iterator[str]:
    """An Alertmanager with this file; gives its URL."""
    port = free_port()
    options = [
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        # Alone, not one of a cluster.
        "--cluster.listen-address=",
    ]
    with _running("prometheus-alertmanager", options, port, folder / "alertmanager.log") as url:
        yield url


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, str], rules: Sequence[Path], alertmanager_url: str) -> Iterator[str]:
    """A Prometheus that scrapes each job's URL, evaluates the rules and alerts; gives its URL."""
    port = free_port()
    config = folder / "prometheus.yml"
    YAML(typ="safe").dump(
        {
            "global": {"scrape_interval": f"{EVERY_S}s", "evaluation_interval": f"{EVERY_S}s"},
            "rule_files": [str(file) for file in rules],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [_address(alertmanager_url)]}]}]},
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [_address(target)]}]}
                for job, target in targets.items()
            ],
        },
        config,
    )
    options = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with _running("prometheus", options, port, folder / "prometheus.log") as url:
        yield url


@contextmanager
def _running(name: str, options: list[str], port: int, log: Path) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            leashed([program(name), *options]), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: process.poll() is not None or get(f"{url}/-/ready")[0] == 200, _READY_S)
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # For the report of a test that fails.
        print(f"--- {name}\n{log.read_text()[-4000:]}")


def _address(url: str) -> str:
    return url.removeprefix("http://")

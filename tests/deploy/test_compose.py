"""compose.yaml: it keeps to the specification, and all that it names exists in the program or in the project."""

import importlib.util
import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from sinks.clickhouse import _check_server_dsn
from sources.collect import keys_file
from streams.runtime.settings import Settings, load_settings
from tests.alerts.servers import program
from tests.deploy.manifests import DEPLOY, accepts, pinned, read, variables

FOLDER = DEPLOY / "compose"
COMPOSE: dict[str, Any] = read(FOLDER / "compose.yaml")[0]
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("corredor:")}


def seconds(text: str) -> float:
    return float(re.fullmatch(r"(\d+)s", text)[1])  # type: ignore[index]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What secrets.sh makes."""
    shutil.copy(FOLDER / "secrets.sh", tmp_path)
    subprocess.run(["sh", str(tmp_path / "secrets.sh")], check=True, capture_output=True, timeout=30)
    return tmp_path / "secrets"


def test_it_keeps_to_the_compose_specification() -> None:
    # The schema comes with check-jsonschema, whose own command line is not needed.
    package = importlib.util.find_spec("check_jsonschema")
    assert package is not None
    assert package.origin is not None
    schema = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.Draft7Validator(json.loads(schema.read_text())).validate(COMPOSE)


def test_every_role_is_there_beside_kafka_clickhouse_and_monitoring() -> None:
    roles = {service["command"][0] for service in OURS.values()}
    assert roles == {"worker", "sink", "collect", "console", "topics", "migrate", "simulate"}
    assert set(SERVICES) - set(OURS) == {"kafka", "clickhouse", "prometheus", "alertmanager", "grafana"}


@pytest.mark.parametrize("name", OURS)
def test_the_program_takes_every_command_line(name: str) -> None:
    accepts(OURS[name]["command"])


@pytest.mark.parametrize("name", OURS)
def test_every_environment_variable_is_one_the_program_reads(name: str) -> None:
    assert set(OURS[name]["environment"]) <= variables()


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_no_more_than_they_must(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert "user" not in service, "the image's own user, which is not root"
    assert seconds(service["stop_grace_period"]) >= float(service["environment"]["CORREDOR_SHUTDOWN_TIMEOUT"]) + 5


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_a_version(name: str) -> None:
    assert pinned(SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


@pytest.mark.parametrize("name", SERVICES)
def test_every_file_that_is_mounted_exists_and_every_volume_is_declared(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source = re.sub(r"^\$\{\w+:-([^}]+)\}", r"\1", mount).split(":")[0]
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_whether_it_is_well_or_ends_by_itself(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert "test" in check or name in ("topics", "migrate", "simulate")


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_can_come_true(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        ends = SERVICES[other]["restart"].startswith("on-failure")
        assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy")


@pytest.mark.parametrize("name", OURS)
def test_the_folder_of_secrets_is_named_where_there_are_secrets_of_settings(name: str) -> None:
    service = OURS[name]
    targets = {secret["target"] for secret in service.get("secrets", [])}
    settings = {target for target in targets if target.removeprefix("corredor_") in Settings.model_fields}
    assert (service["environment"].get("CORREDOR_SECRETS") == "/run/secrets") == bool(settings)
    for value in service["environment"].values():
        assert not value.startswith("/run/secrets/") or value.removeprefix("/run/secrets/") in targets


def test_secrets_sh_makes_every_secret_once(secrets: Path) -> None:
    wanted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    made = {file.name: file.read_text() for file in secrets.iterdir()}
    assert wanted | {"collect_key"} == set(made)
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    again = subprocess.run(["sh", str(secrets.parent / "secrets.sh")], capture_output=True, text=True, timeout=30)
    assert again.returncode == 0
    assert {file.name: file.read_text() for file in secrets.iterdir()} == made
    used = {
        secret if isinstance(secret, str) else secret["source"]
        for s in SERVICES.values()
        for secret in s.get("secrets", [])
    }
    assert used == set(COMPOSE["secrets"])


def test_the_program_reads_the_secrets_that_were_made(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = secrets.parent / "run"
    folder.mkdir()
    for secret in OURS["console"]["secrets"]:
        made = secrets.parent / COMPOSE["secrets"][secret["source"]]["file"]
        (folder / secret["target"]).write_text(made.read_text())
    monkeypatch.setenv("CORREDOR_SECRETS", str(folder))
    settings = load_settings()
    assert len(settings.console_password.get_secret_value()) >= 32
    _check_server_dsn(settings.clickhouse_dsn)
    assert settings.clickhouse_dsn.startswith("http://reader:")


def test_the_collector_knows_the_key_that_was_made(secrets: Path) -> None:
    keys, _ = keys_file.load(secrets / "collect_keys.yaml")
    assert keys.find((secrets / "collect_key").read_text()).name == "first"


def test_clickhouse_knows_the_users_that_were_made(secrets: Path) -> None:
    users = ElementTree.parse(secrets / "clickhouse_users.xml").find("users")
    assert users is not None
    assert {user.tag for user in users} == {"corredor", "reader"}
    assert [query.text for query in users.iter("query")] == ["GRANT SELECT, dictGet ON corredor.*"]


def test_grafana_is_given_every_variable_of_its_provisioned_files() -> None:
    files = (DEPLOY / "grafana" / "provisioning").rglob("*.yaml")
    wanted = {name for file in files for name in re.findall(r"\$\{(\w+)\}", file.read_text())}
    grafana = SERVICES["grafana"]
    given = {name for name in grafana["environment"] if name.startswith("CORREDOR_")}
    assert given | {"CORREDOR_GRAFANA_CLICKHOUSE_PASSWORD"} == wanted
    assert "export CORREDOR_GRAFANA_CLICKHOUSE_PASSWORD=" in grafana["entrypoint"][-1]


def test_prometheus_accepts_its_file_and_scrapes_services_that_are_there(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "prometheus.yml", tmp_path)
    shutil.copytree(DEPLOY / "prometheus" / "rules", tmp_path / "rules")
    done = subprocess.run(
        [program("promtool"), "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ports = {"worker": Settings().metrics_port, "sink": Settings().metrics_port, "collector": 8090}
    jobs = {job["job_name"]: job["dns_sd_configs"][0] for job in read(FOLDER / "prometheus.yml")[0]["scrape_configs"]}
    assert {found["names"][0]: found["port"] for found in jobs.values()} == ports
    ruled = "".join(file.read_text() for file in (DEPLOY / "prometheus" / "rules").glob("*.yaml"))
    assert set(re.findall(r'job="([\w-]+)"', ruled)) <= set(jobs)

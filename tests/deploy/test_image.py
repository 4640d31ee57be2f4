"""The image: what its Dockerfile names exists, and its health check asks the right place."""

import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from streams.runtime.settings import Settings
from tests.deploy.manifests import DEPLOY, ROOT, pinned, variables

DOCKERFILE = DEPLOY / "image" / "Dockerfile"
TEXT = DOCKERFILE.read_text(encoding="utf-8")
#: Continued lines as one.
LINES = re.sub(r"\\\n\s*", " ", TEXT).splitlines()
HEALTH: dict[str, Any] = runpy.run_path(str(DEPLOY / "image" / "health.py"))


def instructions(name: str) -> list[str]:
    return [line.removeprefix(name).strip() for line in LINES if line.startswith(f"{name} ")]


def copied() -> list[str]:
    """Files and folders of the project that go into the image."""
    found = []
    for words in (line.split() for line in instructions("COPY")):
        if not any(word.startswith("--from") for word in words):
            found += [word for word in words[:-1] if not word.startswith("--")]
    return found


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(hadolint), str(DOCKERFILE)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_both_stages_stand_on_the_same_pinned_base() -> None:
    bases = [line.split()[0] for line in instructions("FROM")]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert pinned(bases[0])


def test_the_build_backend_is_of_the_version_in_the_lock_file() -> None:
    wanted = re.findall(r"hatchling==\S+", TEXT)
    assert wanted == re.findall(r"^hatchling==\S+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def test_everything_that_is_copied_exists_and_is_let_through_by_dockerignore() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied()
    for name in copied():
        path = name.removeprefix("./")
        assert (ROOT / path).exists(), path
        assert path in let_through, f"{path} is not in .dockerignore"
    assert let_through == {name.removeprefix("./") for name in copied()}


def test_every_package_of_the_wheel_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied())
    extras = re.findall(r"corredor\[([\w,]+)\]", TEXT)
    assert extras == ["avro,console,rocksdb"]
    assert set(extras[0].split(",")) <= set(project["project"]["optional-dependencies"])


def test_the_wheel_that_the_image_builds_holds_all_that_the_packages_need(tmp_path: Path) -> None:
    source = tmp_path / "src"
    for name in copied():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("corredor-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    packages = ("command", "console", "schemas", "sinks", "sources", "streams")
    files = {file for package in packages for file in (source / package).rglob("*") if file.is_file()}
    assert {str(file.relative_to(source)) for file in files} <= held


def test_every_environment_variable_is_one_the_program_reads() -> None:
    named = set(re.findall(r"(CORREDOR_\w+)=", TEXT))
    assert named
    assert named <= variables()


def test_the_user_is_not_root_and_is_given_by_number() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert LINES.index("USER 10001:10001") < LINES.index('ENTRYPOINT ["corredor"]')


def test_the_exposed_ports_are_those_of_the_defaults() -> None:
    defaults = Settings()
    assert instructions("EXPOSE") == [f"{defaults.console_port} 8090 {defaults.metrics_port}"]
    assert HEALTH["ROLES"]["worker"][2] == str(defaults.metrics_port)
    assert HEALTH["ROLES"]["console"][2] == str(defaults.console_port)


@pytest.mark.parametrize(
    ("arguments", "environment", "question", "url"),
    [
        ("python corredor worker", {}, "health", "http://127.0.0.1:9464/health"),
        ("python corredor worker", {"CORREDOR_METRICS_PORT": "9000"}, "ready", "http://127.0.0.1:9000/ready"),
        ("corredor sink --metrics-port 9465", {}, "ready", "http://127.0.0.1:9465/ready"),
        ("corredor sink --metrics-port=9465", {"CORREDOR_METRICS_PORT": "1"}, "ready", "http://127.0.0.1:9465/ready"),
        ("corredor collect", {}, "health", "http://127.0.0.1:8090/health"),
        ("corredor collect", {"CORREDOR_COLLECT_TLS_CERT": "c"}, "health", "https://127.0.0.1:8090/health"),
        ("corredor console --port 81", {}, "health", "http://127.0.0.1:81/ready"),
        ("corredor topics --create", {}, "health", None),
    ],
)
def test_the_health_check_asks_what_the_role_serves(
    arguments: str, environment: dict[str, str], question: str, url: str | None
) -> None:
    assert HEALTH["address"](arguments.split(), environment, question) == url

"""Reads what deploy/ holds, and knows what the program has to answer to it."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML
from typer.core import TyperGroup
from typer.exceptions import TyperException

from command.main import app
from streams.runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
#: Read by the program beside the settings.
BESIDE_SETTINGS = {"CORREDOR_CONFIG", "CORREDOR_SECRETS"}
#: A version, with or without a digest; never `latest`, never nothing.
_PINNED = re.compile(r"[\w./-]+:v?\d+(\.\d+)+[\w.-]*(@sha256:[0-9a-f]{64})?")


def documents(text: str) -> list[dict[str, Any]]:
    """Every document of a YAML text that is not empty; a key given twice is an error."""
    return [document for document in YAML(typ="safe").load_all(text) if document]


def read(file: Path) -> list[dict[str, Any]]:
    return documents(file.read_text(encoding="utf-8"))


@cache
def rendered(overlay: str) -> list[dict[str, Any]]:
    """The objects of an overlay, by Kustomize; skipped where neither `kubectl` nor `kustomize` is installed."""
    folder = str(KUBERNETES / "overlays" / overlay)
    if shutil.which("kubectl") is not None:
        command = ["kubectl", "kustomize", folder]
    elif shutil.which("kustomize") is not None:
        command = ["kustomize", "build", folder]
    else:
        pytest.skip("there is no `kubectl` and no `kustomize`")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] in kinds]


def variables() -> set[str]:
    """Every environment variable that the program reads."""
    names = {f"CORREDOR_{name.upper()}" for name in Settings.model_fields} | BESIDE_SETTINGS
    for command in _commands().values():
        for option in command.params:
            names.update([option.envvar] if isinstance(option.envvar, str) else option.envvar or ())
    return names


def accepts(arguments: list[str]) -> None:
    """AssertionError unless the program takes this command line; nothing is run."""
    name, *rest = arguments
    try:
        _commands()[name].make_context(name, rest)
    except TyperException as error:
        raise AssertionError(f"corredor {' '.join(arguments)}: {error}") from error


def pinned(image: str) -> bool:
    return _PINNED.fullmatch(image) is not None


def _commands() -> dict[str, Any]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return dict(group.commands)

"""The architecture page and the program say the same: packages, what they may import, topics."""

import configparser
import re
from pathlib import Path

from schemas import topics

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
#: The chain of layers, from below.
LAYERS = ("schemas", "streams.model", "streams.runtime", "streams.agents", "streams.app")


def contracts() -> configparser.ConfigParser:
    """What import-linter holds."""
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    return config


def packages() -> set[str]:
    """Every package of the program, by its dotted name."""
    tops = contracts()["importlinter"]["root_packages"].split()
    return {".".join(file.parent.relative_to(ROOT).parts) for top in tops for file in (ROOT / top).rglob("__init__.py")}


def rows() -> dict[str, str]:
    """Each package of the table, and what it says that it may import."""
    return dict(re.findall(r"^\| `([\w.]+)` \| .* \| (.+) \|$", TEXT, re.MULTILINE))


def test_every_package_is_in_the_table_and_no_other() -> None:
    assert rows().keys() == packages()


def test_the_layers_are_those_that_are_checked() -> None:
    checked = contracts()["importlinter:contract:layers"]["layers"].split()
    assert list(reversed(checked)) == list(LAYERS)
    assert " ← ".join(f"`{layer}`" for layer in LAYERS) in TEXT


def test_what_sources_sinks_and_console_may_import_of_the_rest_is_what_is_checked() -> None:
    for section in ("edges", "console"):
        allowed: dict[str, set[str]] = {}
        for line in contracts()[f"importlinter:contract:{section}"]["ignore_imports"].strip().splitlines():
            found = re.fullmatch(r"(\w+)\.\*\* -> ([\w.]+)", line.strip())
            assert found is not None, line
            allowed.setdefault(found[1], set()).add(found[2])
        assert allowed
        for package, modules in allowed.items():
            named = set(re.findall(r"`(sinks\.\w+)`", rows()[package]))
            for parent, children in re.findall(r"`(streams\.\w+)`: ([\w, ]+)", rows()[package]):
                named |= {f"{parent}.{child}" for child in children.split(", ")}
            assert named == modules, package


def test_every_topic_is_named_and_no_other() -> None:
    named = set(re.findall(r"\b(?:touchpoint|experience|corredor)\.[a-z]+(?:\.[a-z]+)?\b", TEXT))
    assert named == {topic.name for topic in topics.ALL}


def test_the_files_named_are_there() -> None:
    named = re.findall(r"`([a-z]+/[\w./]*)`", TEXT)
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).exists()] == []

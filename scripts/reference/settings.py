"""The page of settings: name, type, limits, default and description, in the sections of the class itself."""

import inspect
import re
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from scripts.reference.markdown import WORDS, code, table
from scripts.reference.markdown import page as whole
from streams.runtime.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_SECTION = re.compile(r"    # (?P<title>[^:]+): (?P<page>docs/[\w./-]+\.md)")
_FIELD = re.compile(r"    (?P<name>[a-z_]+): \w")
_SIGNS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
_INTRODUCTION = """Each setting is an environment variable, a key of the TOML file `corredor.toml` (in the working
folder, or where `CORREDOR_CONFIG` says), or a file of the folder that `CORREDOR_SECRETS` names. The environment has
precedence over secret files, these over the TOML file. In the TOML file the name is without `CORREDOR_` and in lower
case: `CORREDOR_KAFKA` is `kafka`. Times are seconds, sizes bytes. A secret never appears in logs, errors or
status."""


def page() -> str:
    """All settings."""
    parts = [_INTRODUCTION]
    for title, where, names in sections():
        more = f"\n\nMore: [{where.removeprefix('docs/')}](../{where.removeprefix('docs/')})." if where else ""
        rows = [_row(name, Settings.model_fields[name]) for name in names]
        parts.append(f"## {title}{more}\n\n" + table(("setting", "values", "default", "what it is"), rows))
    return whole("Settings", *parts)


def sections() -> list[tuple[str, str, list[str]]]:
    """Title, page and settings of each section, in the order of the class."""
    found: list[tuple[str, str, list[str]]] = [("General", "", [])]
    for line in inspect.getsource(Settings).splitlines():
        if (section := _SECTION.fullmatch(line)) is not None:
            found.append((section["title"], section["page"], []))
        elif (field := _FIELD.match(line)) is not None and field["name"] in Settings.model_fields:
            found[-1][2].append(field["name"])
    return found


def _row(name: str, field: FieldInfo) -> tuple[str, str, str, str]:
    default = field.default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, Path) and default.is_relative_to(_ROOT):
        default = default.relative_to(_ROOT)
    if isinstance(default, bool):
        default = str(default).lower()
    shown = "" if default is None else code(default)
    return f"`CORREDOR_{name.upper()}`", _values(field), shown, field.description or ""


def _values(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if NoneType in get_args(kind):
        (kind,) = (arm for arm in get_args(kind) if arm is not NoneType)
    if get_origin(kind) is Literal:
        return ", ".join(code(choice) for choice in get_args(kind) if choice != "")
    if kind is SecretStr:
        return "secret"
    limits = [
        f"{sign} {limit}"
        for name, sign in _SIGNS
        for part in field.metadata
        if (limit := getattr(part, name, None)) is not None
    ]
    return ", ".join((WORDS[kind], *limits))

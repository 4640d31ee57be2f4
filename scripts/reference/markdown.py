"""Markdown of the reference pages."""

from collections.abc import Iterable, Sequence
from pathlib import Path

#: Types as people call them.
WORDS = {str: "text", bool: "`true` or `false`", int: "whole number", float: "number", Path: "path"}
_NOTE = "<!-- Written by `python -m scripts.reference`; changes here are lost. -->"


def page(title: str, *parts: str) -> str:
    """A whole page."""
    return "\n\n".join((f"# {title}", _NOTE, *(part for part in parts if part))) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a `|` in a cell stays one."""
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    lines += ["| " + " | ".join(cell(text) for text in row) + " |" for row in rows]
    return "\n".join(lines)


def cell(text: str) -> str:
    """Text that may stand in a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """Text as code; nothing for empty text."""
    return f"`{text}`" if str(text) else ""


def sentence(text: str) -> str:
    """With a capital letter, and a full stop at the end."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")

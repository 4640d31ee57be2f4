"""Writes measured tables into pages under docs/, between markers, so that running again replaces them."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from schemas.errors import StopProcess, UsageError

DOCS = Path(__file__).resolve().parents[1] / "docs"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`. UsageError without the markers."""
    start, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    try:
        old = page.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{page} cannot be read: {error.strerror}") from None
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    new, count = pattern.subn(lambda _: f"{start}\n{text.strip()}\n{end}", old)
    if count != 1:
        raise UsageError(f"{page} needs the markers `{start}` and `{end}` once, and has them {count} times")
    page.write_text(new, encoding="utf-8")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `finish` heeds."""
    parser.add_argument("--json", type=Path, help="write every run to this file")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")


def finish(section: str, options: argparse.Namespace, measure: Callable[[], tuple[str, str]]) -> int:
    """Measure, and give the report (Markdown and JSON) to where the options say; returns the exit code."""
    try:
        text, values = measure()
        print(text)
        if options.json is not None:
            options.json.write_text(values + "\n")
        if options.write:
            put(DOCS / "performance.md", section, text)
    except StopProcess as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0

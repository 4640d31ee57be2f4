"""The plans in docs/sizing.md are what `corredor size` answers: found between markers, asked for, written anew.

`python -m bench.sized`, when the command or its constants have changed.
"""

import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from bench.report import DOCS
from schemas.errors import StopProcess

#: `<!-- size: OPTIONS -->`, the answer, `<!-- /size -->`.
_BLOCK = re.compile(r"(<!-- size: (?P<options>[^>]*?) -->\n).*?(<!-- /size -->)", re.DOTALL)


def answer(options: str) -> str:
    """What `corredor size` prints for these options. Raises StopProcess if it fails."""
    from command.main import app

    done = CliRunner().invoke(app, ["size", *shlex.split(options)])
    if done.exit_code:
        raise StopProcess(f"corredor size {options}: {done.exception or done.output}")
    return done.stdout.strip()


def filled(text: str) -> str:
    """The page with the answers of now."""
    return _BLOCK.sub(lambda found: f"{found[1]}{answer(found['options'])}\n{found[3]}", text)


def write(page: Path) -> None:
    """Bring the page up to date."""
    page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write(DOCS / "sizing.md")

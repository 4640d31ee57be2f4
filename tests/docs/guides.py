"""The pages of docs/publishing as programs: their fenced blocks as files, their commands in a shell."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import SLOWNESS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "publishing"
#: Blocks with these titles are commands of the page, all others are files.
INSTALL, RUN = "install", "run"
_FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its title (empty: only shown), its text."""

    language: str
    title: str
    text: str


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """The blocks of a page with a language."""
    return tuple(Block(*(found or "" for found in match)) for match in _FENCE.findall((FOLDER / page).read_text()))


def commands(page: str) -> list[str]:
    """The lines of the page's `run` block."""
    (block,) = (block for block in blocks(page) if block.title == RUN)
    return block.text.splitlines()


def example_events() -> list[str]:
    """The lines of the file that all batch programs read."""
    (block,) = (block for block in blocks("README.md") if block.title == "events.ndjson")
    return block.text.splitlines()


class Workshop:
    """One page, its files laid out in `folder` and its client installed there.

    Skips the test where one of `runtimes` is not on the machine.
    """

    def __init__(self, page: str, folder: Path, runtimes: tuple[str, ...], install: bool) -> None:
        for runtime in runtimes:
            if shutil.which(runtime) is None:
                pytest.skip(f"docs/publishing/{page} needs `{runtime}`, which is not installed here")
        self.folder = folder
        for block in blocks(page):
            if block.title and block.title not in (INSTALL, RUN):
                file = folder / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text)
        if install:
            (block,) = (block for block in blocks(page) if block.title == INSTALL)
            done = self.run(f"set -e\n{block.text}", {}, timeout_s=240)
            assert done.returncode == 0, f"docs/publishing/{page} cannot be installed:\n{done.stdout}{done.stderr}"

    def run(
        self, command: str, environment: Mapping[str, str], timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the page to its end."""
        process = self.start(command, environment)
        try:
            said, wrong = process.communicate(timeout=SLOWNESS * timeout_s)
        finally:
            end(process)
        return subprocess.CompletedProcess(command, process.returncode, said, wrong)

    def start(self, command: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a command of the page in its folder; `python` is the one that runs the tests."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def end(process: subprocess.Popen[str]) -> None:
    """End a command with all that it started, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

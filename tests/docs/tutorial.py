"""The tutorial as a program: its blocks typed into two terminals, what it shows as what has to be seen."""

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.conftest import wait_until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
#: Stands for what differs from time to time; a line of it alone for any number of lines.
ANY = "…"
#: Commands that change nothing: where the page says "ask again", they are.
_ASKING = ("corredor query", "corredor status", "corredor backtest", "curl ")
_BLOCK = re.compile(r'^```(?:sh title="(?P<terminal>[^"]+)"|text)\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(slots=True)
class Step:
    """Commands for a terminal, and what they show (empty: not said)."""

    terminal: str
    commands: str
    shown: str = ""

    @property
    def only_asks(self) -> bool:
        """Whether all its commands change nothing, so that they may be repeated."""
        return all(line.startswith(_ASKING) for line in self.commands.splitlines())

    @property
    def fails(self) -> bool:
        """Whether the page shows that it fails."""
        return "\nerror: " in f"\n{self.shown}"


def steps(text: str) -> list[Step]:
    """The steps of a page, in order."""
    found: list[Step] = []
    for block in _BLOCK.finditer(text):
        if block["terminal"]:
            found.append(Step(block["terminal"], block["text"]))
        else:
            assert not found[-1].shown, f"two outputs for one block: {block['text']}"
            found[-1].shown = block["text"]
    return found


def agrees(seen: str, shown: str) -> bool:
    """Whether what was seen is what the page shows."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == ANY else ".*".join(map(re.escape, line.split(ANY))) + r"\n"
        for line in (line.rstrip() for line in shown.splitlines())
    )
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in seen.splitlines())) is not None


class Terminal:
    """A shell that lives as long as its terminal is open, so that `cd` and `source` hold."""

    def __init__(self, folder: Path, log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self._shell = subprocess.Popen(
                ["bash"],
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()

    def type(self, commands: str) -> "Answer":
        """Type commands, and do not wait for their end."""
        assert self._shell.stdin is not None
        mark = secrets.token_hex(8)
        answer = Answer(self._log, self._log.stat().st_size, mark)
        self._shell.stdin.write(f"{{ {commands}\n}} </dev/null\nprintf '\\n%s %s\\n' {mark} $?\n".encode())
        self._shell.stdin.flush()
        return answer

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.killpg(self._shell.pid, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a terminal shows from some point on."""

    log: Path
    start: int
    mark: str

    @property
    def text(self) -> str:
        """What can be seen so far."""
        seen = self.log.read_bytes()[self.start :].decode(errors="replace")
        return seen.partition(f"\n{self.mark} ")[0].removeprefix("\n")

    @property
    def code(self) -> int | None:
        """Exit code of the last command; None while it runs."""
        seen = self.log.read_bytes()[self.start :].decode(errors="replace")
        ended = re.search(rf"^{self.mark} (\d+)\n", seen, re.MULTILINE)
        return int(ended[1]) if ended else None


def run(step: Step, terminal: Terminal, patience_s: float) -> None:
    """Type a step, wait for its end, and hold it against what the page shows; AssertionError where it is not so."""
    last: list[Answer] = []

    def tried() -> bool:
        answer = terminal.type(step.commands)
        last[:] = [answer]
        wait_until(lambda: answer.code is not None, patience_s)
        right = (answer.code != 0) == step.fails and (not step.shown or agrees(answer.text, step.shown))
        if not right and not step.only_asks:
            raise AssertionError
        return right

    try:
        wait_until(tried, patience_s)
    except AssertionError:
        seen = last[0].text if last else "nothing"
        raise AssertionError(
            f"typed:\n{step.commands}\nshown:\n{step.shown}\nseen (exit code {last[0].code}):\n{seen}"
        ) from None


def project(folder: Path) -> Path:
    """A folder like that of the project, in the environment that runs the tests: `make venv` has nothing to do."""
    root = PAGE.parents[1]
    there = folder / "corredor"
    (there / ".venv").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "scripts"):
        (there / name).symlink_to(root / name)
    (there / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    for stamp in (".dev", ".runtime"):
        (there / ".venv" / stamp).touch()
    return there


def addresses(text: str) -> Iterator[str]:
    """Addresses that a reader is told to open."""
    return (address for address in re.findall(r"<(http://[^>]+)>", text))

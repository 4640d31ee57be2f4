"""One contestant's run: a process started, timed from ready to done, its CPU and memory read, ended by its pid."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from schemas.errors import StopProcess
from streams.runtime.leash import leashed

_END_S = 15.0
#: Java and Faust take a while to start.
_READY_S = 60.0
_POLL_S = 0.05
_TAIL_LINES = 15


@dataclass(slots=True)
class Usage:
    """CPU seconds of a process and its children so far, and when that was (monotonic seconds)."""

    at: float
    cpu_s: float


@dataclass(slots=True)
class Contestant:
    """A running contestant. `lines` is what it has printed, standard error included."""

    name: str
    process: subprocess.Popen[str]
    marks: Mapping[str, str]
    lines: list[str] = field(default_factory=list)
    #: When each mark was printed.
    seen: dict[str, Usage] = field(default_factory=dict)
    peak_rss: int = 0
    _reader: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read what it prints."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None, "started with a pipe"
        with self.process.stdout as output:
            for line in output:
                for mark, text in self.marks.items():
                    if text in line and mark not in self.seen:
                        self.seen[mark] = self.usage()
                self.lines.append(line.rstrip())

    def usage(self) -> Usage:
        """CPU used until now; also keeps the peak of resident memory."""
        cpu, rss = 0.0, 0
        try:
            main = psutil.Process(self.process.pid)
            for process in (main, *main.children(recursive=True)):
                times = process.cpu_times()
                cpu += times.user + times.system
                rss += process.memory_info().rss
        except psutil.NoSuchProcess:
            return Usage(time.monotonic(), cpu)
        self.peak_rss = max(self.peak_rss, rss)
        return Usage(time.monotonic(), cpu)

    def check(self, deadline: float, what: str) -> None:
        """Raises StopProcess if it has ended, or `deadline` (monotonic) has passed before `what`."""
        if self.process.poll() is not None:
            raise StopProcess(f"{self.name} ended with code {self.process.returncode}:\n{self.tail()}")
        if time.monotonic() > deadline:
            raise StopProcess(f"{self.name} was not {what} in time:\n{self.tail()}")

    def timed(self, begin: str, limit_s: float, done: Callable[[], bool] | None) -> tuple[Usage, Usage]:
        """Usage when it was ready (`begin` says at what) and when all was `done`, or when it says so if that is None.

        Raises StopProcess if it ends, or either takes too long.
        """
        deadline = time.monotonic() + _READY_S
        while "ready" not in self.seen:
            self.check(deadline, begin)
            time.sleep(_POLL_S)
        deadline = time.monotonic() + limit_s
        while True:
            self.check(deadline, "done")
            usage = self.usage()
            if done is None:
                if "done" in self.seen:
                    return self.seen["ready"], self.seen["done"]
            elif done():
                return self.seen["ready"], usage
            time.sleep(_POLL_S)

    def tail(self) -> str:
        """The last lines it printed."""
        return "\n".join(self.lines[-_TAIL_LINES:])

    def end(self, gently: bool = True) -> None:
        """End it: SIGTERM first if `gently`, and SIGKILL when it does not follow."""
        if self.process.poll() is None and gently:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_END_S)
            except subprocess.TimeoutExpired:
                gently = False
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._reader is not None:
            self._reader.join(_END_S)


def start(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    marks: Mapping[str, str],
    python: str = sys.executable,
) -> Contestant:
    """Start `python` with `command`; `marks` are texts to look for in what it prints."""
    process = subprocess.Popen(
        leashed([python, "-u", "-W", "ignore", *command]),
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    contestant = Contestant(name, process, marks)
    contestant.start()
    return contestant

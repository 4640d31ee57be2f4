"""The system under test: a broker, workers and a sink as processes of their own, kept alive and hurt on purpose."""

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException

from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings
from streams.runtime.supervisor import PROGRAM, Child, Role, as_environment
from tests.chaos.watch import Watch

#: Holds the module that moves a process' clock.
CLOCK = Path(__file__).resolve().parent / "clock"
_ASSIGNED = re.compile(rb"owns partitions|partitions assigned")
_LOOK_S = 0.02
#: A process that ended by itself is started again after this long, seconds.
_AGAIN_S = 0.3


@dataclass(slots=True)
class Death:
    """A process that ended by itself, and the last words of its log."""

    name: str
    code: int
    last: str


@dataclass(slots=True)
class Counts:
    """What was done to the processes and what they did."""

    kills: int = 0
    starts: int = 0
    deaths: list[Death] = field(default_factory=list)


class System:
    """Broker, sink and workers. Call it from the main thread: the children die with the one that starts them."""

    def __init__(self, settings: Settings, broker: LocalKafka) -> None:
        self.settings = settings
        self.broker = broker
        self.counts = Counts()
        self.watch = Watch(settings)
        self._number = 0
        self.sink = self._child("sink", "sink")
        self.workers: list[Child] = []

    def start(self, workers: int) -> None:
        """Start the sink and so many workers."""
        self._start(self.sink)
        for _ in range(workers):
            self.join()

    # -- processes -----------------------------------------------------------------------------------------------

    def _child(self, role: Role, name: str, clock: bool = False) -> Child:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("CORREDOR_")},
            **as_environment(self.settings),
            "PYTHONUNBUFFERED": "1",
        }
        if clock:
            file = self.clock_file(name)
            file.write_text("+0")
            path = os.pathsep.join(filter(None, (str(CLOCK), os.environ.get("PYTHONPATH"))))
            environment |= {"PYTHONPATH": path, "CHAOS_CLOCK": str(file)}
        log_file = self.settings.data_dir / "logs" / f"{name}.log"
        return Child(name, role, [role], environment, log_file)

    def clock_file(self, name: str) -> Path:
        """Holds the offset of the named process' clock, in seconds."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        return self.settings.data_dir / f"{name}.clock"

    def _start(self, child: Child) -> None:
        child.start(PROGRAM)
        self.counts.starts += 1

    def join(self, clock: bool = False) -> Child:
        """One more worker; with `clock`, one whose clock can be moved."""
        self._number += 1
        child = self._child("worker", f"worker-{self._number}", clock)
        self.workers.append(child)
        self._start(child)
        return child

    def leave(self, child: Child) -> None:
        """Let a worker end in an orderly way."""
        self.workers.remove(child)
        assert child.process is not None, "it was started"
        child.process.terminate()
        child.process.wait(30)

    def kill(self, *children: Child) -> None:
        """Kill these with signal 9 at the same moment and start them again at once."""
        for child in children:
            self.signal(child, signal.SIGKILL)
        for child in children:
            assert child.process is not None, "it was started"
            child.process.wait()
            self.counts.kills += 1
            self._start(child)

    def signal(self, child: Child, number: signal.Signals) -> None:
        """Send a signal to a process; nothing if it has ended."""
        if child.process is not None and child.process.poll() is None:
            child.process.send_signal(number)

    def tend(self) -> None:
        """Start again what has ended by itself, and take note of it."""
        now = time.monotonic()
        for child in (self.sink, *self.workers):
            if child.due is not None:
                if now >= child.due:
                    self._start(child)
            elif child.process is not None and (code := child.process.poll()) is not None:
                # What died of signal 9 was killed by us.
                if code != -signal.SIGKILL:
                    self.counts.deaths.append(Death(child.name, code, child.tail()[-2000:]))
                child.due = now + _AGAIN_S

    def rebalances(self) -> int:
        """How often any worker was given its partitions."""
        logs = (self.settings.data_dir / "logs").glob("worker-*.log")
        return sum(len(_ASSIGNED.findall(log.read_bytes())) for log in logs)

    # -- waiting -------------------------------------------------------------------------------------------------

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> float:
        """Keep everything alive until `condition` holds; the seconds it took. AssertionError after `timeout_s`."""
        started = time.monotonic()
        while not self._holds(condition):
            self.tend()
            waited = time.monotonic() - started
            assert waited < timeout_s, f"{what}: not within {timeout_s:.0f} s\n{self.last_words()}"
            time.sleep(_LOOK_S)
        return time.monotonic() - started

    def _holds(self, condition: Callable[[], bool]) -> bool:
        try:
            return condition()
        except KafkaException:
            # The broker is away: what is asked cannot be known, so it does not hold yet.
            return False

    def marks(self, timeout_s: float = 60.0) -> tuple[dict[int, int], dict[int, int]]:
        """`Watch.marks`, once the broker answers."""
        found: list[tuple[dict[int, int], dict[int, int]]] = []

        def look() -> bool:
            found.append(self.watch.marks())
            return True

        self.wait(look, timeout_s, "the broker answers")
        return found[0]

    def last_words(self) -> str:
        """The end of every log."""
        return "\n".join(f"--- {child.name}\n{child.tail()}" for child in (self.sink, *self.workers))

    def close(self) -> None:
        """End all processes but the broker."""
        children = [self.sink, *self.workers]
        for child in children:
            self.signal(child, signal.SIGCONT)
            self.signal(child, signal.SIGTERM)
        deadline = time.monotonic() + 15
        for child in children:
            if child.process is None:
                continue
            while child.process.poll() is None and time.monotonic() < deadline:
                time.sleep(_LOOK_S)
            if child.process.poll() is None:
                child.process.kill()
            child.process.wait()
        self.watch.close()

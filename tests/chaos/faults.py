"""How each fault of the plan is done, with signals, files and the broker alone."""

import fcntl
import signal
import time
from collections.abc import Callable

from tests.chaos.plan import Fault, Kill, Round
from tests.chaos.system import System

_PATIENCE_S = 120.0
MOST_WORKERS = 3


def kill(system: System, kind: Kill, round_: Round) -> None:
    """The round's kill -9."""
    workers = system.workers
    victim = workers[round_.victim % len(workers)]
    if kind == "worker":
        system.kill(victim)
    elif kind == "checkpoint":
        # The changelog grows: a checkpoint is writing. Whoever writes it, all of them are cut short.
        size = system.watch.state_size()
        deadline = time.monotonic() + 5.0
        while system.watch.state_size() == size and time.monotonic() < deadline:
            system.tend()
        system.kill(*workers)
    elif kind == "sink":
        system.kill(system.sink)
    else:
        system.kill(system.sink, *workers)


def fault(system: System, kind: Fault, round_: Round, pause_s: float) -> None:
    """Do it, and return when its cause has passed; the system may still be recovering."""
    _FAULTS[kind](system, round_, pause_s)


def _zombie(system: System, round_: Round, pause_s: float) -> None:
    """A worker stops for longer than its session; another one takes over; then it wakes up, believing it owns all."""
    victim = system.workers[round_.victim % len(system.workers)]
    if len(system.workers) == 1:
        system.join()
    system.signal(victim, signal.SIGSTOP)
    marks = system.marks()
    _keep_alive(system, pause_s + system.settings.session_timeout)
    system.wait(lambda: system.watch.passed(marks), _PATIENCE_S, "the others take over from a stopped worker")
    system.signal(victim, signal.SIGCONT)


def _join(system: System, round_: Round, pause_s: float) -> None:
    """One more worker, or if there are enough, one in place of another."""
    if len(system.workers) >= MOST_WORKERS:
        system.leave(system.workers[round_.victim % len(system.workers)])
    system.join()


def _leave(system: System, round_: Round, pause_s: float) -> None:
    """A worker ends in an orderly way; the last one is replaced."""
    system.leave(system.workers[round_.victim % len(system.workers)])
    if not system.workers:
        system.join()


def _clock(system: System, round_: Round, pause_s: float) -> None:
    """A worker's clock jumps, and jumps back. It is the only worker meanwhile, so everything passes through it."""
    others = list(system.workers)
    odd = system.join(clock=True)
    for child in others:
        system.leave(child)
    _keep_alive(system, 1.0)
    system.clock_file(odd.name).write_text(f"{round_.step_s:+d}")
    marks = system.marks()
    system.wait(lambda: system.watch.passed(marks), _PATIENCE_S, "a worker whose clock has jumped goes on")
    for _ in others:
        system.join()
    _keep_alive(system, pause_s)
    system.clock_file(odd.name).write_text("+0")
    system.leave(odd)


def _broker_restart(system: System, round_: Round, pause_s: float) -> None:
    system.broker.restart()


def _broker_kill(system: System, round_: Round, pause_s: float) -> None:
    system.broker.kill()
    _keep_alive(system, pause_s)
    system.broker.start()


def _sink_paused(system: System, round_: Round, pause_s: float) -> None:
    """The process that is both the sink and ClickHouse stands still for longer than its session."""
    system.signal(system.sink, signal.SIGSTOP)
    _keep_alive(system, pause_s + system.settings.session_timeout)
    system.signal(system.sink, signal.SIGCONT)


def _clickhouse_away(system: System, round_: Round, pause_s: float) -> None:
    """ClickHouse's folder belongs to somebody else: the sink ends and is started again, until it is free."""
    folder = system.settings.data_dir / "clickhouse"
    system.signal(system.sink, signal.SIGKILL)
    with (folder / "status").open("rb") as status:
        fcntl.flock(status, fcntl.LOCK_EX)
        _keep_alive(system, pause_s)


def _keep_alive(system: System, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        system.tend()
        time.sleep(0.05)


_FAULTS: dict[Fault, Callable[[System, Round, float], None]] = {
    "zombie": _zombie,
    "join": _join,
    "leave": _leave,
    "clock": _clock,
    "broker restart": _broker_restart,
    "broker kill": _broker_kill,
    "sink paused": _sink_paused,
    "clickhouse away": _clickhouse_away,
}

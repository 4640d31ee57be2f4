"""Moves the wall clock of a Python process from outside: its offset in seconds is read from the file CHAOS_CLOCK.

Python imports this module at its start where it finds it on PYTHONPATH. Only `time.time` and `time.time_ns` move, as in
reality: the monotonic clock goes on. What C code reads stays as it is. (libfaketime 0.9.10 moves that too, but with an
honest monotonic clock it makes `time.sleep` fail with EINVAL.)
"""

import os
import time
from pathlib import Path

_FILE = Path(os.environ["CHAOS_CLOCK"])
_EVERY_S = 0.2
_time_ns = time.time_ns
_offset_ns = 0
_read_at = float("-inf")


def _offset() -> int:
    global _offset_ns, _read_at
    if time.monotonic() - _read_at >= _EVERY_S:
        _read_at = time.monotonic()
        _offset_ns = int(_FILE.read_text() or 0) * 1_000_000_000
    return _offset_ns


def _moved_ns() -> int:
    return _time_ns() + _offset()


def _moved() -> float:
    return _moved_ns() / 1e9


time.time_ns = _moved_ns
time.time = _moved

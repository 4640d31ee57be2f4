"""The worker as shipped, but for its state: nothing is packed and nothing goes to the changelogs.

What it is faster than the worker is what state costs. It still acknowledges after each checkpoint; after a crash it
would be wrong.
"""

from unittest import mock

from streams.app import run_worker
from streams.model.journey import Journeys
from streams.runtime.settings import load_settings
from streams.runtime.state_log import StateLog

if __name__ == "__main__":
    with mock.patch.object(StateLog, "write", lambda *_: None), mock.patch.object(Journeys, "pack", lambda *_: b""):
        run_worker(load_settings())

"""The command itself: what is typed wrongly gets a message and a code, never a traceback."""

import subprocess
import sys

import pytest

PROGRAM = [sys.executable, "-P", "-c", "from command.main import main; main()"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "No such command"),
        (["query", "--bogus"], "No such option"),
        (["simulate", "--rate", "often"], "--rate"),
        (["query", "one", "two"], "unexpected extra argument"),
    ],
)
def test_what_is_typed_wrongly_is_said_in_a_sentence(arguments: list[str], said: str) -> None:
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_every_command_with_what_it_does() -> None:
    done = subprocess.run([*PROGRAM, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    for name in ("run", "demo", "collect", "publish", "rules", "backtest", "query", "status"):
        assert f" {name} " in done.stdout

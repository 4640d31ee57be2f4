"""The peers' virtual environments, each made from `requirements-NAME.txt` in .venv-peers/NAME.

They are kept apart since Quix Streams takes no confluent-kafka as new as Corredor's.
`python -m bench.peers.environments [NAME...]` makes them, all or those named.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from schemas.errors import StopProcess, UsageError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOLDER = ROOT / ".venv-peers"
NAMES = ("faust", "quix", "bytewax", "loop")
_INSTALL_S = 600.0
_TAIL_LINES = 15
_VERSIONS = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"


def python(name: str) -> Path:
    """The interpreter of an environment."""
    return FOLDER / name / "bin" / "python"


def requirements(name: str) -> Path:
    """The file that says what goes into an environment."""
    return HERE / f"requirements-{name}.txt"


def make(name: str, tell: Callable[[str], None]) -> None:
    """Make an environment, or leave it as it is if it was made from the same requirements.

    Blocks while pip works, a minute at most as a rule. Raises UsageError where pip fails, and for an unknown name.
    """
    if name not in NAMES:
        raise UsageError(f"there is no environment {name!r}; there are {', '.join(NAMES)}")
    wanted = f"{sys.version}\n{requirements(name).read_text()}"
    stamp = FOLDER / name / ".made-from"
    if stamp.exists() and stamp.read_text() == wanted and python(name).exists():
        return
    tell(f"installing {requirements(name).name} in {FOLDER.name}/{name}")
    shutil.rmtree(FOLDER / name, ignore_errors=True)
    _call(name, [sys.executable, "-m", "venv", str(FOLDER / name)])
    install = [str(python(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _call(name, [*install, "-r", str(requirements(name))])
    stamp.write_text(wanted)


def versions(name: str) -> dict[str, str]:
    """The installed version of each library that the requirements name. Raises StopProcess if one is missing."""
    wanted = libraries(requirements(name).read_text())
    done = subprocess.run(
        [str(python(name)), "-c", _VERSIONS, *wanted], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise StopProcess(f"{python(name)} lacks a library; remove {FOLDER.name}/{name} and try again:\n{done.stderr}")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def libraries(text: str) -> list[str]:
    """The names in a requirements file."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0] for line in lines if line]


def _call(name: str, command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        raise UsageError(f"the environment of {name} was not made within {_INSTALL_S:.0f} s; try again") from None
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_TAIL_LINES:])
        raise UsageError(f"the environment of {name} cannot be made ({requirements(name)}):\n{tail}")


def main(arguments: Sequence[str]) -> int:
    """Entry point; returns the exit code."""
    try:
        for name in arguments or NAMES:
            make(name, print)
            print(name, " ".join(f"{library} {version}" for library, version in versions(name).items()))
    except StopProcess as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

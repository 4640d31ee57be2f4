"""Installs packages of Debian that tests use, where their programs are missing.

Their services do not run: Debian's `policy-rc.d` says no while the packages are unpacked. With `--if-possible` what
cannot be installed is a message, not a failure, unless the environment variable that requires it is 1.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

#: invoke-rc.d asks this file before it starts a service; 101: action forbidden by policy.
_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_SERVICES = "#!/bin/sh\nexit 101\n"
_TIMEOUT_S = 300


def missing(programs: Mapping[str, str]) -> list[str]:
    """Those of the programs (each with its package) that are not there."""
    return [name for name in programs if shutil.which(name) is None]


def install(programs: Mapping[str, str]) -> str:
    """Install the packages of what is missing; returns why that is not possible, empty if all is there now."""
    if shutil.which("apt-get") is None:
        return "there is no apt-get; install it by hand"
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and shutil.which("sudo") is None:
        return "that needs root or sudo"
    packages = sorted({programs[name] for name in missing(programs)})
    script = "apt-get update -qq && apt-get install -qq -y --no-install-recommends " + " ".join(packages)
    if not _POLICY.exists():
        # The file is taken away again whatever happens.
        text = _NO_SERVICES.replace("\n", "\\n")
        script = f"trap 'rm -f {_POLICY}' EXIT; printf '{text}' >{_POLICY} && chmod 755 {_POLICY} && {script}"
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    done = subprocess.run([*as_root, *environment, "sh", "-c", script], stdout=sys.stderr, timeout=_TIMEOUT_S)
    if done.returncode != 0:
        return f"apt-get ended with code {done.returncode}"
    return f"{', '.join(left)} is not among what was installed" if (left := missing(programs)) else ""


def main(what: str, programs: Mapping[str, str], required: str) -> int:
    """Install `what`; `required` names the environment variable. Returns the exit code."""
    if not missing(programs):
        return 0
    sys.stderr.write(f"missing: {', '.join(missing(programs))}\n")
    why = install(programs)
    if not why:
        return 0
    sys.stderr.write(f"error: {what} cannot be installed: {why}\n")
    if "--if-possible" in sys.argv[1:] and os.environ.get(required) != "1":
        sys.stderr.write("the tests that need it will be skipped\n")
        return 0
    return 1

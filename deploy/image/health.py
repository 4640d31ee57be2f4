#!/usr/bin/env python3
"""Is the process of this container well? Exit code 0: yes. Usage: corredor-health [health|ready]

Asks the address that its role serves; the role and its options are those of process 1. `health` (the default): it
lives; `ready`: it does its work right now. Roles that end by themselves (topics, migrate, simulate) count as well.
"""

import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

#: Role: option and environment variable of its port, the default, and the paths for `health` and `ready`.
ROLES = {
    "worker": ("--metrics-port", "CORREDOR_METRICS_PORT", "9464", {"health": "/health", "ready": "/ready"}),
    "sink": ("--metrics-port", "CORREDOR_METRICS_PORT", "9464", {"health": "/health", "ready": "/ready"}),
    "collect": ("--port", "CORREDOR_COLLECT_PORT", "8090", {"health": "/health", "ready": "/ready"}),
    "console": ("--port", "CORREDOR_CONSOLE_PORT", "8080", {"health": "/ready", "ready": "/ready"}),
}
_TIMEOUT_S = 4


def address(arguments: list[str], environment: dict[str, str], question: str) -> str | None:
    """The URL to ask a process with these arguments and this environment; None where there is nothing to ask."""
    role = next((word for word in arguments if word in ROLES), None)
    if role is None:
        return None
    option, variable, port, paths = ROLES[role]
    port = environment.get(variable, port)
    for place, word in enumerate(arguments):
        if word == option and place + 1 < len(arguments):
            port = arguments[place + 1]
        elif word.startswith(f"{option}="):
            port = word.partition("=")[2]
    scheme = "https" if role == "collect" and environment.get("CORREDOR_COLLECT_TLS_CERT") else "http"
    return f"{scheme}://127.0.0.1:{port}{paths[question]}"


def main() -> int:
    """Ask, and say what was answered."""
    question = sys.argv[1] if len(sys.argv) > 1 else "health"
    arguments = Path("/proc/1/cmdline").read_bytes().decode().split("\0")
    url = address(arguments, dict(os.environ), question)
    if url is None:
        return 0
    # Its own certificate names the public host, not 127.0.0.1; this never leaves the container.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=context) as answer:
            sys.stdout.write(answer.read(200).decode(errors="replace"))
    except urllib.error.HTTPError as error:
        sys.stdout.write(f"{error.code}: {error.read(200).decode(errors='replace')}")
        return 1
    except OSError as error:
        sys.stdout.write(f"{url} does not answer: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

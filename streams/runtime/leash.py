"""Ties a child process to the life of its parent, so that a killed parent leaves nothing behind."""

import os
import sys

# Runs before the program itself, in its process. Asking the kernel first and looking at the parent second leaves no
# moment in which the parent could die unnoticed. 1 is PR_SET_PDEATHSIG, 15 SIGTERM.
_TIE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); "
    "os.getppid() == int(sys.argv[1]) or os._exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)


def leashed(command: list[str]) -> list[str]:
    """`command` (its program an absolute path), changed so that it gets SIGTERM when this process dies.

    The kernel watches the thread that starts the child: start it from one that lives as long as the process. Linux
    only; elsewhere the command is returned as it is.
    """
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *command]

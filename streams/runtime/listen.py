"""Where a web server of ours listens: one address and port, said so that others can use it."""

import socket
from ipaddress import ip_address

from schemas.errors import UsageError

_BACKLOG = 2048


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int, who: str, instead: str) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises UsageError: `who` cannot, and what to do `instead`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(f"{who} cannot listen on {host}:{port}: {error.strerror}; {instead}") from None


def address(host: str, listener: socket.socket) -> str:
    """Host and port as they stand in a URL."""
    return f"{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"

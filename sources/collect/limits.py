"""What keeps one sender from using up the collector: sizes, times, rates, and the memory that bodies may take."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from sources.collect.refusals import Refused

_AGAIN_S = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    body_bytes: int = 1024 * 1024
    batch_events: int = 1000
    #: From the end of a request's headers to the end of its body.
    body_timeout_s: float = 10.0
    #: Until a connection has sent a request's headers, and between its requests.
    header_timeout_s: float = 15.0
    header_bytes: int = 16 * 1024
    connections: int = 1000
    #: Bodies being received, of all connections together.
    memory_bytes: int = 128 * 1024 * 1024
    #: Kafka's time to acknowledge.
    acknowledge_s: float = 5.0


class TokenBucket:
    """At most `rate` requests a second, with bursts of up to `rate` (at least 1). For one thread."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._most = max(rate, 1.0)
        self._clock = clock
        self._tokens = self._most
        self._at = clock()

    def take(self) -> None:
        """Use up one request. Raises Refused (429) with the seconds to wait if there is none."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1.0:
            wait = math.ceil((1.0 - self._tokens) / self._rate)
            raise Refused(
                429,
                "rate_limited",
                f"more than {self._rate:g} requests a second came with this key",
                f"wait {wait} s, and send more events in each batch",
                headers={"Retry-After": str(wait)},
            )
        self._tokens -= 1.0


class Bodies:
    """Reads request bodies within the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    async def read(self, request: Request) -> bytes:
        """The whole body. Raises Refused: 408 too slow, 411/413 too large, 415 compressed, 503 no memory for it now."""
        limit = self._limits.body_bytes
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, "compressed", "the body is compressed", "send it as it is, without Content-Encoding")
        length = request.headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal() or len(length) > 15 or int(length) > limit:
            raise _too_large(limit)
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                async for chunk in request.stream():
                    body += chunk
                    self._held += len(chunk)
                    if len(body) > limit:
                        raise _too_large(limit)
                    if self._held > self._limits.memory_bytes:
                        raise Refused(
                            503,
                            "busy",
                            "too many bodies are being received",
                            f"send it again in {_AGAIN_S} s",
                            headers={"Retry-After": str(_AGAIN_S), "Connection": "close"},
                        )
        except TimeoutError:
            raise Refused(
                408,
                "slow_body",
                f"the body did not arrive within {self._limits.body_timeout_s:g} s",
                "send smaller batches",
                headers={"Connection": "close"},
            ) from None
        except ClientDisconnect:
            raise Refused(
                400, "disconnected", "the sender went away before the end of its body", "send it again"
            ) from None
        finally:
            self._held -= len(body)
        return bytes(body)


def _too_large(limit: int) -> Refused:
    return Refused(
        413,
        "too_large",
        f"the body is larger than {limit} bytes",
        "send smaller batches",
        headers={"Connection": "close"},
    )

"""uvicorn's HTTP/1.1 protocol with the deadline that it lacks: a connection without a request is closed."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle


def timed(idle_s: float) -> type[H11Protocol]:
    """A protocol whose connections have `idle_s` for a request's headers, and between their requests.

    uvicorn's own keep-alive timeout starts after a response only and ends with the first byte that follows, so that a
    sender of one byte a minute holds a connection for ever (slowloris).
    """

    class TimedProtocol(H11Protocol):
        """One connection."""

        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            """Start the first deadline."""
            super().connection_made(transport)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            """No deadline any more."""
            if self._deadline is not None:
                self._deadline.cancel()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            """Start the next deadline; also what is left of a refused body has to come within it."""
            self._wait()
            super().on_response_complete()

        def _wait(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
            self._deadline = self.loop.call_later(idle_s, self._expired)

        def _expired(self) -> None:
            # uvicorn types `cycle` as if the first request were there from the start.
            cycle: RequestResponseCycle | None = getattr(self, "cycle", None)
            if (cycle is None or cycle.response_complete) and not self.transport.is_closing():
                if self.conn.our_state is not h11.ERROR:
                    self.conn.send_failed()
                self.transport.close()

    return TimedProtocol

"""Senders in threads that keep count of what was acknowledged."""

import threading
from dataclasses import dataclass, field

import httpx

from tests.sources.collect.running import contact, encode

_BATCH = 20


@dataclass
class Load:
    """Sends batches from some threads until `stop`. `acknowledged` holds the ids of batches answered with 202."""

    url: str
    threads: int = 4
    acknowledged: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self._running = [threading.Thread(target=self._send, args=(number,)) for number in range(self.threads)]
        for thread in self._running:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join(60)

    def _send(self, thread: int) -> None:
        number = 0
        with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as http:
            while not self._stop.is_set():
                ids = [f"{thread}-{number + step}" for step in range(_BATCH)]
                number += _BATCH
                body = encode([contact(each) for each in ids])
                try:
                    answer = http.post(
                        "/events", content=body, headers={"Content-Type": "application/cloudevents-batch+json"}
                    )
                except httpx.TransportError:
                    self._stop.wait(0.05)
                    continue
                self.statuses.add(answer.status_code)
                if answer.status_code == 202:
                    self.acknowledged.update(f"id-{each}" for each in ids)

"""A fresh process whose partitions are read back at once, each in a thread of its own."""

import sys
import threading

from tests.builders import NOW, event, record
from tests.model.partitions import EVENTS, REKEYED, new

PARTITIONS = 8


def main() -> None:
    """Read the same state back so many times at once, threads taking turns as often as they can."""
    written = new()
    written.apply(EVENTS, [record(n, event(NOW + n, id=str(n), subject=f"c{n % 3}"), NOW + n) for n in range(20)])
    state = [(key, value) for key, value in written.snapshot().state if value is not None]
    begin = threading.Barrier(PARTITIONS)

    def read_back() -> None:
        restored = new()
        begin.wait()
        for key, value in state:
            restored.restore(key, value)
        restored.restored({EVENTS: 20, REKEYED: 0})

    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=read_back) for _ in range(PARTITIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()

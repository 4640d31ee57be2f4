"""The measured process of bench.recovery: takes all partitions over as a worker does, and prints what it took.

`python -m bench.restored`, with the settings in the environment.
"""

import asyncio
import gc
import resource
import sys
import time

import msgspec
import psutil

#: What `ru_maxrss` counts in, bytes.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Restored(msgspec.Struct):
    """One restore. Resident memory in bytes: before, after, and the highest."""

    seconds: float
    cpu_s: float
    before: int
    after: int
    peak: int
    journeys: int
    slices: int
    #: The setting `state_store`.
    store: str = "memory"


def main() -> None:
    """Restore, and print the figures as JSON."""
    from bench.recovery import ingest_task, places
    from streams.app import collect_seldom
    from streams.runtime.positions import Positions
    from streams.runtime.settings import load_settings

    settings = load_settings()
    task = ingest_task(settings)
    collect_seldom()
    before = psutil.Process().memory_info().rss
    started, cpu = time.monotonic(), time.process_time()
    positions = Positions.fetch(settings, settings.worker_group, places())
    partitions = {partition for _, partition in places()}
    asyncio.run(task.assign(partitions, positions, lambda: True))
    seconds, cpu_s = time.monotonic() - started, time.process_time() - cpu
    gc.collect()
    held = [state.held() for state in task._partitions.values()]
    result = Restored(
        seconds,
        cpu_s,
        before,
        psutil.Process().memory_info().rss,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT,
        sum(journeys for journeys, _ in held),
        sum(slices for _, slices in held),
        settings.state_store,
    )
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()

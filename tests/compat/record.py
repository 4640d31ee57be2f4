"""`python -m tests.compat.record [FOLDER]`: record what this version leaves in Kafka. Run it once for each release.

Simulated events, half of them before and half after the worker is killed in a checkpoint.
"""

import json
import signal
import sys
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from schemas import topics
from streams.model.state_format import DETECT, INGEST
from streams.runtime.local import LocalKafka
from streams.runtime.settings import load_settings
from streams.runtime.state_log import StateLog
from streams.runtime.topics_admin import ensure_topics
from tests.chaos.feed import Feed
from tests.chaos.publisher import Publisher
from tests.chaos.system import System
from tests.compat import recording
from tests.compat.shapes import all_shapes

SEED, PARTITIONS, EVENTS = 81, 4, 800
_PATIENCE_S = 60.0


def main(folder: Path) -> None:
    """Record into a folder below `folder`, named by the version."""
    with tempfile.TemporaryDirectory() as scratch, LocalKafka(Path(scratch)) as broker:
        settings = load_settings(
            kafka=broker.bootstrap,
            data_dir=Path(scratch),
            group="recorded",
            partitions=PARTITIONS,
            metrics_port=0,
            checkpoint_interval=0.2,
        )
        ensure_topics(settings)
        feed = Feed(SEED, PARTITIONS)
        with closing(System(settings, broker)) as system, closing(Publisher(settings, 200.0)) as publisher:
            worker = system.join()
            publisher.send(feed.take(EVENTS // 2))
            system.wait(lambda: system.watch.acknowledged() > EVENTS // 4, _PATIENCE_S, "events are acknowledged")
            publisher.flush(_PATIENCE_S)
            size = system.watch.state_size()
            publisher.send(feed.take(EVENTS // 8))
            system.wait(lambda: system.watch.state_size() > size, _PATIENCE_S, "a checkpoint begins")
            system.signal(worker, signal.SIGKILL)
            assert worker.process is not None
            worker.process.wait()
            system.workers.remove(worker)
            publisher.send(feed.take(EVENTS - len(feed.messages)))
            publisher.flush(_PATIENCE_S)
        for topic in (topics.STATE_INGEST, topics.STATE_DETECT):
            for partition in range(PARTITIONS):
                # Ends the transaction that was under way: without that nobody reads on.
                StateLog(settings, topic.name, partition)
        rejected = [message.number for message in feed.messages if message.event is None]
        found = recording.record(settings, version("corredor"), rejected)
        size = found.store(folder)
        formats = {form.topic: form.number for form in (INGEST, DETECT)}
        shapes = json.dumps({"formats": formats, **all_shapes()}, indent=1, sort_keys=False)
        (folder / found.version / "shapes.json").write_text(shapes + "\n")
        ahead = {
            topic: [len(log) - position for log, position in zip(found.logs[topic], positions, strict=True)]
            for topic, positions in found.positions.items()
        }
        counts = {topic: sum(map(len, logs)) for topic, logs in found.logs.items()}
        print(f"{folder / found.version}: {size:,} bytes; records {counts}; not acknowledged {ahead}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else recording.FOLDER)

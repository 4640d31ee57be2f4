"""The job as Bytewax's guide shows it: a dataflow, KafkaSource, a stateful map, a window fold, KafkaSink.

It reads to the end of the topic and ends (`tail=False`), which closes its windows: with a source that goes on they
close by the clock, when no event can be late any more. So it publishes each sum once.
"""

import signal
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from bench.peers.job import BUCKET_S, COMMIT_S, DONE, GRACE_S, RECENT, Job, Start, identity, load, scored

#: Argument: snapshots for recovery every COMMIT_S seconds.
RECOVERY = "--recovery"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def create_flow(job: Job) -> Any:
    """The dataflow."""
    start = Start()

    def decode(message: Any) -> Any:
        start()
        return orjson.loads(message.value)

    def only_new(ids: list[str] | None, event: Any) -> tuple[list[str], Iterable[Any]]:
        this = identity(event)
        if ids is None:
            return [this], (event,)
        if this in ids:
            return ids, ()
        return [*ids[1 - RECENT :], this], (event,)

    def as_message(event: Any) -> Any:
        return KafkaSinkMessage(event["subject"].encode(), orjson.dumps(event))

    def add(total: tuple[int, float], event: Any) -> tuple[int, float]:
        return total[0] + 1, total[1] + (event["x"] or 0.0)

    def as_sum(item: tuple[str, tuple[int, tuple[int, float]]]) -> Any:
        touchpoint, (window, (n, x)) = item
        value = {"touchpoint": touchpoint, "bucket": window * BUCKET_S, "n": n, "x": x}
        return KafkaSinkMessage(touchpoint.encode(), orjson.dumps(value))

    brokers = [job.bootstrap]
    flow = Dataflow("peer")
    messages = kop.input("events", flow, brokers=brokers, topics=[job.events], tail=False)
    op.raises("errors", messages.errs)
    events = op.map("decode", messages.oks, decode)
    fresh = op.stateful_flat_map("only_new", op.key_on("subject", events, lambda event: event["subject"]), only_new)
    rated = op.map("score", op.key_rm("unkey", fresh), lambda event: scored(event, job.x(event["data"])))
    kop.output("scored", op.map("scored_message", rated, as_message), brokers=brokers, topic=job.scored)
    sums = win.fold_window(
        "sum",
        op.key_on("touchpoint", rated, lambda event: event["touchpoint"]),
        win.EventClock(lambda event: datetime.fromtimestamp(event["time"], UTC), timedelta(seconds=GRACE_S)),
        win.TumblingWindower(timedelta(seconds=BUCKET_S), align_to=_EPOCH),
        lambda: (0, 0.0),
        add,
        lambda a, b: (a[0] + b[0], a[1] + b[1]),
        ordered=False,
    )
    kop.output("sums", op.map("sum_message", sums.down, as_sum), brokers=brokers, topic=job.sums)
    return flow


def main() -> None:
    """What `python -m bytewax.run` does; then says that it is done, and stays until its figures are read."""
    job = load()
    if RECOVERY in sys.argv[1:]:
        init_db_dir(Path(job.folder), 1)
        recovery = RecoveryConfig(job.folder, backup_interval=timedelta(0))
        cli_main(create_flow(job), epoch_interval=timedelta(seconds=COMMIT_S), recovery_config=recovery)
    else:
        cli_main(create_flow(job), epoch_interval=timedelta(seconds=10))
    print(DONE, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()

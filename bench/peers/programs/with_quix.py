"""The job as the guide of Quix Streams shows it: a StreamingDataFrame, a stateful filter, group_by, a tumbling window.

`current()` publishes each change of a sum; `final()` would hold the last bucket back until later events come.
"""

from typing import Any

from quixstreams import Application, State
from quixstreams.dataframe.windows import Count, Sum

from bench.peers.job import BUCKET_S, COMMIT_S, GRACE_S, RECENT, Job, Start, identity, load, scored, seconds


def create_app(job: Job) -> Any:
    """The application, with the defaults of Quix Streams but for the commit interval."""
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_S,
        state_dir=job.folder,
        loglevel="WARNING",
    )
    start = Start()

    def event_time(value: Any, _headers: Any, _timestamp: float, _type: Any) -> int:
        return int(seconds(value["time"]) * 1000)

    def is_new(event: Any, state: State) -> bool:
        start()
        ids, this = state.get("ids", []), identity(event)
        if this in ids:
            return False
        state.set("ids", [*ids[1 - RECENT :], this])
        return True

    def as_sum(window: Any, key: Any, _timestamp: int, _headers: Any) -> dict[str, Any]:
        return {"touchpoint": key, "bucket": window["start"] // 1000, "n": window["n"], "x": window["x"]}

    events = app.topic(job.events, key_deserializer="str", timestamp_extractor=event_time)
    frame = app.dataframe(events).filter(is_new, stateful=True)
    frame = frame.apply(lambda event: scored(event, job.x(event["data"])))
    frame = frame.to_topic(app.topic(job.scored, key_serializer="str"))
    frame = frame.group_by("touchpoint", key_serializer="str", key_deserializer="str")
    frame = frame.tumbling_window(BUCKET_S * 1000, grace_ms=int(GRACE_S * 1000)).agg(n=Count(), x=Sum("x")).current()
    frame = frame.apply(as_sum, metadata=True)
    frame.to_topic(app.topic(job.sums, key_serializer="str"))
    return app


if __name__ == "__main__":
    create_app(load()).run()

"""The job that every peer does, as far as it is not the framework's: names, formula, buckets. Standard library only.

1. Decode touchpoint events, JSON CloudEvents keyed by subject, from the topic `events`.
2. Drop an event whose source + id is among the newest RECENT of its subject.
3. Compute x (README, "What the numbers are") and publish one scored event for each event to the topic `scored`.
4. Sum count and x for each touchpoint and 10-second bucket of event time, and publish the sums to the topic `sums`.
5. Commit every COMMIT_S seconds, where it commits.

A message of `scored` is a JSON object with `source`, `id`, `subject`, `touchpoint`, `time` (epoch seconds) and `x`. A
message of `sums` has `touchpoint`, `bucket`, `n`, `x` and, where it is a part of the sum only, `part`. The newest
message of each (part, touchpoint, bucket) counts; parts are added up.
"""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from math import exp, log
from pathlib import Path
from typing import Any, NamedTuple

#: The environment variable that names the job's file.
VARIABLE = "PEER_JOB"
#: Printed at the first event, and (by a program that ends by itself) after the last result.
READY = "bench ready"
DONE = "bench done"
RECENT = 256
BUCKET_S = 10
COMMIT_S = 0.5
#: How late an event may be. The simulated ones are minutes late at most.
GRACE_S = 3600.0
_OUTCOME = {"success": 1.0, "partial": 0.5, "failure": 0.0, "abandoned": 0.0, "pending": None}


class Rules(NamedTuple):
    """What the map says about one touchpoint. Weights: outcome, promise, rating, sentiment, effort, wait."""

    weights: tuple[float, float, float, float, float, float]
    tolerance: float
    kept: float
    gain: float
    loss: float
    tolerable_wait_ms: float


class Job(NamedTuple):
    """Where to read and write, and by which rules; `rules[""]` are those of touchpoints that the map does not name."""

    bootstrap: str
    group: str
    partitions: int
    events: str
    scored: str
    sums: str
    #: A folder for the peer's own state.
    folder: str
    rules: dict[str, Rules]

    def rules_of(self, touchpoint: str) -> Rules:
        """The rules of a touchpoint."""
        return self.rules.get(touchpoint) or self.rules[""]

    def x(self, data: Mapping[str, Any]) -> float | None:
        """x of an event's decoded `data`."""
        find = data.get
        return experience(
            self.rules_of(data["touchpoint"]),
            data["outcome"],
            find("expectation"),
            find("rating"),
            find("sentiment"),
            find("attempts"),
            find("transfers"),
            find("wait_ms"),
        )


def dump(job: Job) -> str:
    """The job as the text of a file."""
    return json.dumps(job._asdict())


def parse(text: str) -> Job:
    """The job that `dump` wrote. Raises ValueError or KeyError for another text."""
    values = json.loads(text)
    rules = {name: Rules(tuple(row[0]), *row[1:]) for name, row in values.pop("rules").items()}
    return Job(rules=rules, **values)


def load() -> Job:
    """The job of this process; KeyError where it was started by hand."""
    return parse(Path(os.environ[VARIABLE]).read_text())


def experience(
    rules: Rules,
    outcome: str,
    expectation: Mapping[str, Any] | None,
    rating: Mapping[str, Any] | None,
    sentiment: float | None,
    attempts: int | None,
    transfers: int | None,
    wait_ms: int | None,
) -> float | None:
    """x in [0, 1] of one event, None for a pending one: the formula of the README."""
    kept = _OUTCOME[outcome]
    if kept is None:
        return None
    w_outcome, w_promise, w_rating, w_sentiment, w_effort, w_wait = rules.weights
    total, weight = w_outcome * kept, w_outcome
    if expectation is not None:
        u = (expectation["expected"] - expectation["actual"]) / (expectation.get("tolerance") or rules.tolerance)
        u = min(max(-u if expectation.get("better") == "higher" else u, -1000.0), 1000.0)
        if u >= 0:
            total += w_promise * (rules.kept + (1.0 - rules.kept) * (1.0 - exp(-u / rules.gain)))
        else:
            total += w_promise * (rules.kept * exp(u / rules.loss))
        weight += w_promise
    if rating is not None:
        share = (rating["value"] - rating["min"]) / (rating["max"] - rating["min"])
        total += w_rating * (1.0 - share if rating.get("better") == "lower" else share)
        weight += w_rating
    if sentiment is not None:
        total += w_sentiment * ((sentiment + 1.0) / 2.0)
        weight += w_sentiment
    if attempts is not None or transfers is not None:
        again = attempts - 1 if attempts is not None and attempts > 1 else 0
        total += w_effort * exp(-(again + (transfers or 0)) / 3.0)
        weight += w_effort
    if wait_ms is not None:
        total += w_wait * exp(-log(2.0) / rules.tolerable_wait_ms * wait_ms)
        weight += w_wait
    return total / weight if weight else None


def seconds(time: str) -> float:
    """Epoch seconds of an RFC 3339 time."""
    return datetime.fromisoformat(time).timestamp()


def bucket_of(time: float) -> int:
    """Start of the bucket that `time` (epoch seconds) falls into."""
    return int(time // BUCKET_S) * BUCKET_S


def identity(event: Mapping[str, Any]) -> str:
    """What tells an event from all others."""
    return f"{event['source']} {event['id']}"


def scored(event: Mapping[str, Any], x: float | None) -> dict[str, Any]:
    """The scored event, as its message has it."""
    return {
        "source": event["source"],
        "id": event["id"],
        "subject": event["subject"],
        "touchpoint": event["data"]["touchpoint"],
        "time": seconds(event["time"]),
        "x": x,
    }


class Start:
    """Says READY the first time it is called."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said = False

    def __call__(self) -> None:
        """To be called at each event."""
        if not self._said:
            self._said = True
            print(READY, flush=True)

"""One run of `corredor repair`: open rejections through the fix, and with --apply to Kafka, batch by batch."""

import time
from collections.abc import Callable

from msgspec import Struct

from command.repair_read import Rejections, accepted
from sinks.clickhouse import ClickHouse
from sources.privacy import Edge
from sources.repair import Fix, Repaired, Unrepaired, repair
from sources.repair_publish import Repairs

#: So many rejections that stay rejected are shown, of each reason.
_EXAMPLES = 3


class Tally(Struct):
    """What a run has come to. Without --apply: what it would come to."""

    applied: bool
    #: Rejections read, and how many of them the fix repairs.
    read: int = 0
    repaired: int = 0
    #: Of the repaired: published, accepted already, and the same event as another rejection.
    published: int = 0
    accepted: int = 0
    again: int = 0
    #: Marked as repaired in `touchpoint.rejected`.
    marked: int = 0
    #: Left by the fix, with bytes lost, and still faulty, by reason.
    left: int = 0
    lost: int = 0
    rejected: dict[str, int] = {}


class Examples(Struct):
    """The first of each kind, to be shown."""

    repaired: list[Repaired] = []
    unrepaired: dict[str, list[Unrepaired]] = {}


def run(
    rejections: Rejections,
    store: ClickHouse,
    fix: Fix,
    repairs: Repairs | None,
    tally: Tally,
    *,
    edge: Edge | None = None,
    limit: int | None = None,
    show: int = 0,
    on_progress: Callable[[], None] = lambda: None,
) -> Examples:
    """Repair what is wanted; without `repairs` only look. Raises what reading and publishing raise.

    `tally` grows as it goes, so that it is right also after Ctrl-C.
    """
    examples = Examples()
    #: Identities that this run has published: sources often send a faulty event again.
    seen: set[tuple[str, str]] = set()
    for batch in rejections.batches(limit):
        outcomes = [repair(rejection, fix, time.time(), edge) for rejection in batch]
        repaired = [one for one in outcomes if isinstance(one, Repaired)]
        there = accepted(store, {one.identity for one in repaired} - seen)
        fresh = []
        for one in repaired:
            if one.identity in seen:
                tally.again += 1
            elif one.identity in there:
                tally.accepted += 1
            else:
                seen.add(one.identity)
                fresh.append(one)
        if repairs is not None:
            repairs.publish(fresh)
        tally.published += len(fresh)
        tally.repaired += len(repaired)
        if repairs is not None:
            repairs.mark(repaired, time.time())
            tally.marked += len(repaired)
        for unrepaired in outcomes:
            if isinstance(unrepaired, Unrepaired):
                _count(unrepaired, tally, examples)
        examples.repaired += repaired[: show - len(examples.repaired)]
        tally.read += len(batch)
        on_progress()
    return examples


def _count(one: Unrepaired, tally: Tally, examples: Examples) -> None:
    if one.kind == "left":
        tally.left += 1
        return
    if one.kind == "lost":
        tally.lost += 1
    else:
        tally.rejected[one.reason] = tally.rejected.get(one.reason, 0) + 1
    shown = examples.unrepaired.setdefault(one.reason, [])
    if len(shown) < _EXAMPLES:
        shown.append(one)

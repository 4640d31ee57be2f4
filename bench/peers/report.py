"""The table of the peers: medians, and for each contestant whether its result was right."""

import statistics
from collections.abc import Mapping, Sequence

import msgspec

from bench import machine
from bench.peers.environments import NAMES
from bench.peers.race import OWN, Outcome, Peer
from bench.report import table

_COLUMNS = ("contestant", "events/s", "range", "CPU s per million", "peak MiB", "own is x times", "events", "result")


def median(outcomes: Sequence[Outcome], peer: Peer) -> Outcome | None:
    """The run of `peer` with the median rate (the lower of the middle two); None if no run came to an end."""
    mine = sorted((each for each in outcomes if each.peer is peer and each.seconds), key=lambda each: each.rate)
    if not mine:
        return None
    middle = statistics.median_low([each.rate for each in mine])
    return next(each for each in mine if each.rate == middle)


def markdown(outcomes: Sequence[Outcome], setting: str, versions: Mapping[str, Mapping[str, str]]) -> str:
    """The setting, a row for each contestant in the order of the first run, what was wrong, and the libraries."""
    peers = list(dict.fromkeys(each.peer for each in outcomes))
    own = median(outcomes, OWN)
    rows = [_row(peer, [each for each in outcomes if each.peer is peer], median(outcomes, peer), own) for peer in peers]
    wrong = [f"- {each.peer.label}: {fault}" for each in outcomes for fault in each.faults]
    libraries = "; ".join(
        f"{name}: {', '.join(f'{library} {version}' for library, version in versions[name].items())}"
        for name in NAMES
        if name in versions
    )
    parts = [f"{setting} {machine.line([])}", table(_COLUMNS, rows)]
    if wrong:
        parts.append("What was wrong:\n\n" + "\n".join(dict.fromkeys(wrong)))
    if libraries:
        parts.append(f"Environments: {libraries}.")
    return "\n\n".join(parts)


def _row(peer: Peer, mine: Sequence[Outcome], found: Outcome | None, own: Outcome | None) -> list[str]:
    label = f"**{peer.label}**" if peer is OWN else peer.label
    bad = sum(bool(each.faults) for each in mine)
    result = f"**wrong** in {bad} of {len(mine)} runs" if bad else "right"
    if found is None:
        return [label, "-", "-", "-", "-", "-", f"{mine[0].events:,}", "**none**"]
    rates = [each.rate for each in mine if each.seconds]
    return [
        label,
        f"{found.rate:,.0f}",
        f"{min(rates):,.0f} to {max(rates):,.0f}",
        f"{found.cpu_per_million:,.1f}",
        f"{found.peak_rss / 2**20:,.0f}",
        f"{own.rate / found.rate:.2f}" if own else "-",
        f"{found.events:,}",
        result,
    ]


def as_json(outcomes: Sequence[Outcome], cluster: str, versions: Mapping[str, Mapping[str, str]]) -> str:
    """Every run."""
    runs = [
        {
            "contestant": each.peer.name,
            "events": each.events,
            "seconds": each.seconds,
            "events_per_s": each.rate,
            "cpu_s_per_million": each.cpu_per_million,
            "peak_rss_bytes": each.peak_rss,
            "faults": each.faults,
        }
        for each in outcomes
    ]
    whole = {"machine": dict(machine.describe()), "environments": versions, "cluster": cluster, "runs": runs}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()

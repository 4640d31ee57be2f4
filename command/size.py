"""`corredor size`: partitions, cores, memory and disk for a load, from measured costs."""

from typing import TYPE_CHECKING, Annotated

import typer

from command.output import out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from command.measured import Measured
    from command.sizing import Plan

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def command(
    events_per_second: Annotated[float, typer.Option(help="Events per second at the busiest time.")],
    journeys: Annotated[float, typer.Option(help="Journeys open at the same time.")],
    touchpoints: Annotated[int, typer.Option(help="Touchpoints of the corridor map.")] = 23,
    segments: Annotated[float, typer.Option(help="Segment pairs of an event, on average (0 to 8).")] = 2.1,
    segment_values: Annotated[float, typer.Option(help="Values of a segment, on average.")] = 5.0,
    contacts_per_journey: Annotated[float, typer.Option(help="Events of a journey, on average.")] = 3.6,
    late_share: Annotated[
        float, typer.Option(help="Share of events (0 to 1) that come minutes after younger ones of their source.")
    ] = 0.01,
    tenants: Annotated[int, typer.Option(help="Tenants that share the load evenly.")] = 1,
    event_bytes: Annotated[float, typer.Option(help="Bytes of an event, before compression.")] = 464.0,
    peak: Annotated[
        float, typer.Option(help="How many times a day's mean the busiest time is: disk goes by the mean.")
    ] = 1.0,
    retention_days: Annotated[
        float, typer.Option(help="Days that Kafka keeps events and scored events; other topics as shipped.")
    ] = 7.0,
    keep_days: Annotated[float, typer.Option(help="Days that ClickHouse keeps its rows.")] = 365.0,
    replication: Annotated[int, typer.Option(help="Replicas of each Kafka topic.")] = 3,
    checkpoint_interval: Annotated[
        float, typer.Option(help="Seconds between checkpoints (CORREDOR_CHECKPOINT_INTERVAL).")
    ] = 0.5,
    growth: Annotated[
        float, typer.Option(help="Partitions for so many times the load: their number cannot be changed later.")
    ] = 2.0,
    installations: Annotated[
        int, typer.Option(help="Installations that share it all, each with its own Kafka and part of the tenants.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="The plan as JSON: seconds, bytes, cores.")] = False,
) -> None:
    """Work out partitions, cores, memory and disk for a load.

    It goes by costs measured on one machine, which the plan names: measure on yours (`python -m bench.costs --write`),
    then on your load. Processes are planned to be busy 70 % of the time. Exit code 2 for a load that cannot be.
    """
    import msgspec

    from command.measured import load
    from command.sizing import Load, plan

    by = load()
    found = plan(
        Load(
            events_per_second,
            journeys,
            touchpoints,
            segments,
            segment_values,
            contacts_per_journey,
            late_share,
            tenants,
            event_bytes,
            peak,
            retention_days,
            keep_days,
            replication,
            checkpoint_interval,
            growth,
            installations,
        ),
        by,
    )
    if as_json:
        whole = {**msgspec.to_builtins(found), "cores": found.cores, "measured": by}
        text = msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()
    else:
        text = rendered(found, by)
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def rendered(plan: "Plan", by: "Measured") -> str:
    """The plan as Markdown, which is readable in a terminal too."""
    load = plan.load
    roles = [
        (name, f"{role.processes:,}", f"{role.busy:.0%}", _bytes(role.memory) if role.memory else "")
        for name, role in (("worker", plan.worker), ("sink", plan.sink), ("collector", plan.collector))
    ]
    kafka = [(one.name, f"{one.messages:,.0f}", f"{_bytes(one.bytes)}/s", _bytes(one.disk)) for one in plan.topics]
    written, disk = sum(one.bytes for one in plan.topics), sum(one.disk for one in plan.topics)
    kafka.append(("together", f"{sum(one.messages for one in plan.topics):,.0f}", f"{_bytes(written)}/s", _bytes(disk)))
    rows = [
        (one.name, f"{one.inserted:,.0f}", f"{one.rows:,.0f}", _bytes(one.bytes), _bytes(one.bytes * load.keep_days))
        for one in plan.tables
    ]
    day = sum(one.bytes for one in plan.tables)
    rows.append(
        (
            "together",
            f"{sum(one.inserted for one in plan.tables):,.0f}",
            f"{sum(one.rows for one in plan.tables):,.0f}",
            _bytes(day),
            _bytes(day * load.keep_days),
        )
    )
    each = f", in each of {load.installations:,} installations" if load.installations > 1 else ""
    all_cores = f"; {plan.cores:,} cores in all" if each else ""
    parts = [
        f"{load.events_per_second:,.10g} events/s at the busiest time, {load.journeys:,.0f} open journeys: "
        f"**{plan.partitions:,} partitions** (CORREDOR_PARTITIONS), **{plan.cores // load.installations:,} cores**"
        f"{each}{all_cores}:",
        _table(("role", "processes, a core each", "busy at the peak", "memory each"), roles),
        f"Slices published: {plan.slices:,.0f}/s; merging those of the largest tenant keeps {plan.merging:.2f} cores "
        "of one worker busy.",
        _table(
            ("topic", "messages/s", "written by producers", f"disk, all {load.replication} replicas"),
            kafka,
        ),
        _table(
            ("table in ClickHouse", "rows/s inserted", "rows a day", "disk a day", f"disk for {load.keep_days:g} days"),
            rows,
        ),
    ]
    if plan.limits:
        parts.append("\n".join(f"- {limit}" for limit in plan.limits))
    parts.append(
        f"By `{by.command}`, {by.machine['date'].partition(' ')[0]}, on {by.machine['cpu']}. ClickHouse's disk is that "
        "of one replica; the sink's cores include inserting into it."
    )
    return "\n\n".join(parts)


def _table(columns: tuple[str, ...], rows: "Sequence[tuple[str, ...]]") -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ("---",) * len(columns), *rows))


def _bytes(count: float) -> str:
    """With three digits and a decimal unit."""
    power = 0
    while count >= 999.5 and power < len(_UNITS) - 1:
        count /= 1000
        power += 1
    digits = 0 if power == 0 or count >= 99.95 else 1 if count >= 9.995 else 2
    return f"{count:.{digits}f} {_UNITS[power]}"

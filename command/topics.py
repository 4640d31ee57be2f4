"""`corredor topics`: the topics on the cluster, and creating those that are missing."""

from typing import Annotated

import typer


def command(
    create: Annotated[bool, typer.Option("--create", help="Create the topics that are missing.")] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Give existing topics the retention they should have (CORREDOR_RETENTION).")
    ] = False,
    describe: Annotated[bool, typer.Option("--describe", help="Show purpose and key of each topic as well.")] = False,
) -> None:
    """Show the topics, their partitions, and settings that are not what they should be.

    Existing topics are altered with --apply only, and only in how long they keep what they hold (retention.ms).
    Exit code 1 if a topic is missing.
    """
    from rich.table import Table

    from command.output import err, out
    from schemas import topics
    from streams.runtime.endpoints import resolve
    from streams.runtime.settings import load_settings
    from streams.runtime.topics_admin import RETENTION, apply_retention, describe_topics, ensure_topics

    settings = resolve(load_settings())
    states = ensure_topics(settings) if create else describe_topics(settings)
    if apply:
        for state in apply_retention(settings):
            old, new = next((old, new) for key, old, new in state.differences if key == RETENTION)
            err.print(f"{state.name}: {RETENTION} was {old}, is {new} now", highlight=False)
        states = describe_topics(settings)
    known = {topic.name: topic for topic in topics.ALL}
    table = Table("topic", "partitions", "cleanup", box=None)
    if describe:
        table.add_column("key")
        table.add_column("purpose")
    for state in states:
        topic = known[state.name]
        row = [state.name, str(state.partitions) if state.partitions else "[red]missing[/]", topic.cleanup]
        table.add_row(*row, *([topic.key, topic.purpose] if describe else []))
    out.print(table)
    for state in states:
        for key, actual, wanted in state.differences:
            err.print(f"[yellow]{state.name}[/]: {key} is {actual}, should be {wanted}", highlight=False)
    if settings.kafka_paced:
        err.print("embedded Kafka: nothing on disk, 5 MB kept of each partition, no topic settings", style="dim")
    if not all(state.partitions for state in states):
        err.print("missing topics: create them with `corredor topics --create`", style="yellow")
        raise typer.Exit(1)

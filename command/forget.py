"""`corredor forget`: a customer is erased from state, changelogs, topics and ClickHouse."""

import sys
from typing import Annotated

import typer

from command.output import err, out
from schemas.errors import UsageError


def command(
    subject: Annotated[
        str,
        typer.Argument(help="The customer, as sources name them; `-`: from standard input.", show_default=False),
    ] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Finish the requests that were not finished.")] = False,
    keep_topics: Annotated[
        bool, typer.Option("--keep-topics", help="Leave the topics to their retention; erase only state and tables.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Longest time for one request, seconds.", min=1)] = 900.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Erase a customer: journeys in the state and its changelog, rows in ClickHouse, records in the topics.

    Workers and sink have to run. The topics are cut behind the customer's last record, so that what stands before it
    cannot be read again, by nobody; it is in ClickHouse. Counts and scores stay: they name nobody. A receipt without
    the name goes into the table `forgotten`. Cut short, `--resume` finishes it. Exit code 0: done; 1: not all of it.
    """
    import time

    from command import forget_run
    from sources.privacy import Pseudonymiser
    from streams.runtime.endpoints import resolve
    from streams.runtime.settings import load_settings

    settings = resolve(load_settings())
    if resume == bool(subject):
        raise UsageError("say whom to forget, or --resume; `corredor forget --help` explains")
    if not resume:
        if subject == "-":
            subject = sys.stdin.readline().rstrip("\n")
        if not yes:
            question = "Erase this customer for good, and cut the topics behind the last record?"
            typer.confirm(question if not keep_topics else "Erase this customer for good?", abort=True, err=True)
        pseudonymiser = Pseudonymiser.of(settings)
        # Where events are pseudonymised at the edge, both names: some may have come another way.
        for name in {subject: None} | ({} if pseudonymiser is None else {pseudonymiser.token(subject): None}):
            forget_run.ask(settings, forget_run.new_request(settings, name))
    requests = forget_run.open_requests(settings)
    if not requests:
        err.print("nothing is left to be done")
    with err.status("forgetting") as status:
        for request in requests:
            receipt = forget_run.Erasure(
                settings,
                request,
                time.monotonic() + timeout,
                keep_topics=keep_topics,
                tell=lambda line: status.update(line),
            ).run()
            out.print(
                f"forgotten, receipt {receipt.request}: {_sum(receipt.rows)} rows in ClickHouse, "
                f"{_sum(receipt.records)} records in Kafka",
                highlight=False,
            )
            for topic, seconds in receipt.remaining.items():
                until = "the embedded Kafka ends" if seconds is None else f"{seconds / 86_400:g} days have passed"
                err.print(f"{topic} still holds records, until {until}", style="yellow", highlight=False)
        forget_run.drop_requests(settings)


def _sum(counts: dict[str, int]) -> str:
    return f"{sum(counts.values()):,}"

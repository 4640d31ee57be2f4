"""`make chaos`: a long chaos run on local Apache Kafka, with a progress bar, a table of figures and a JSON file."""

import random
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from streams.runtime.local import LocalKafka
from tests.chaos.plan import FAULTS, Fault
from tests.chaos.run import Figures, Options, run

console = Console(stderr=True)


def main(
    rounds: Annotated[int, typer.Option(help="Rounds: each has one kill -9.", min=1)] = 100,
    seed: Annotated[int | None, typer.Option(help="Repeats a schedule and its input; drawn if absent.")] = None,
    events: Annotated[int, typer.Option(help="Events of a round, on average.", min=10)] = 1_500,
    workers: Annotated[int, typer.Option(help="Workers at the start.", min=1, max=3)] = 2,
    compare_every: Annotated[int, typer.Option(help="Rounds between two full comparisons.", min=1)] = 20,
    outage: Annotated[float, typer.Option(help="Seconds that ClickHouse is away in the middle of the run.")] = 60.0,
    fault: Annotated[
        list[str] | None, typer.Option(help="Exactly this fault between the kills; can be repeated; `none`: no fault.")
    ] = None,
    json: Annotated[Path, typer.Option(help="Where the figures are written.")] = Path(".corredor/chaos.json"),
    keep: Annotated[Path | None, typer.Option(help="Keep logs and data in this folder.")] = None,
) -> None:
    """Break the running system at random, and compare what it stores with an offline computation, row for row."""
    if seed is None:
        seed = random.randrange(1_000_000)
    options = Options(
        seed=seed,
        rounds=rounds,
        events=events,
        workers=workers,
        compare_every=compare_every,
        outage_s=outage,
        faults=_faults(fault),
    )
    console.print(f"chaos: {rounds} rounds, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="corredor-chaos-", ignore_cleanup_errors=True) as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with LocalKafka(folder) as broker, _progress() as progress, (folder / "chaos.log").open("w") as log:
            started = time.monotonic()
            task = progress.add_task("starting", total=rounds)

            def tell(figures: Figures, what: str) -> None:
                print(f"{time.monotonic() - started:.1f} {figures.rounds} {what}", file=log, flush=True)
                progress.update(task, completed=figures.rounds, description=what)

            figures = run(options, broker, folder, tell)
    result = {"options": asdict(options), "figures": figures.as_dict()}
    json.parent.mkdir(parents=True, exist_ok=True)
    json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    console.print(_table(figures))
    for example in figures.verdict.examples:
        console.print(example, markup=False, highlight=False)
    if figures.verdict.faults:
        console.print(f"[red]not exact: {figures.verdict.faults}[/]; again: make chaos ROUNDS={rounds} SEED={seed}")
        sys.exit(1)
    console.print(f"exact. Figures in {json}; again: make chaos ROUNDS={rounds} SEED={seed}")


def _faults(names: list[str] | None) -> list[Fault] | None:
    if names is None:
        return None
    known: dict[str, Fault] = {str(name): name for name in FAULTS}
    unknown = [name for name in names if name not in known and name != "none"]
    if unknown:
        raise typer.BadParameter(f"no such fault: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names if name != "none"]


def _progress() -> Progress:
    return Progress(
        BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"), console=console
    )


def _table(figures: Figures) -> Table:
    table = Table("what", "figure", title="chaos")
    verdict, recovery = figures.verdict, figures.recovery()
    rows: list[tuple[str, Any]] = [
        ("rounds", figures.rounds),
        ("seconds", figures.seconds),
        *((name, count) for name, count in sorted(figures.done.items())),
        ("processes killed", figures.kills),
        ("processes started", figures.starts),
        ("processes that ended by themselves", len(figures.deaths)),
        ("assignments of partitions", figures.rebalances),
        ("recovery, median and longest (s)", f"{recovery['p50']} / {recovery['max']}"),
        ("events published", verdict.published),
        ("accepted + rejected + duplicates", f"{verdict.accepted} + {verdict.rejected} + {verdict.duplicates}"),
        ("handed over, again after a crash", f"{verdict.handed_over}, {verdict.handed_over_again}"),
        ("late", verdict.late),
        ("lost", verdict.lost),
        ("doubled", verdict.doubled),
        ("events that differ", verdict.different_events),
        ("rejections that differ", verdict.different_rejections),
        ("slices, of which differ", f"{verdict.slices}, {verdict.different_slices}"),
        ("scores, of which differ", f"{verdict.scores}, {verdict.different_scores}"),
        ("journeys, of which differ", f"{verdict.journeys}, {verdict.different_journeys}"),
        ("incidents; they or the detectors' state differ", f"{verdict.incidents}, {verdict.different_incidents}"),
    ]
    for name, figure in rows:
        table.add_row(name, str(figure))
    return table


if __name__ == "__main__":
    typer.run(main)

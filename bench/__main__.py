"""`python -m bench`: everything that docs/performance.md and docs/weights.md state, measured anew and written there."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import auc, ingest, latency
from bench.journeys import read
from bench.report import DOCS, put
from schemas.errors import StopProcess

OLIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "olist"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=ingest.DEFAULT_EVENTS, help="events of the ingest contest")
    parser.add_argument("--runs", type=int, default=ingest.DEFAULT_RUNS, help="runs of everything; medians are shown")
    parser.add_argument("--rate", type=float, default=2000.0, help="events per second of the latency run")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the latency run")
    parser.add_argument(
        "--cluster", choices=("embedded", "local"), help="of the contest; default: local, if Java is there"
    )
    parser.add_argument(
        "--olist", type=Path, default=OLIST, help="Olist's files; without them the weights are left out"
    )
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("weights")

            def tell(line: str) -> None:
                progress.update(task, description=line)

            if options.olist.is_dir():
                put(DOCS / "weights.md", "auc", auc.render(read([options.olist])))
            else:
                progress.console.print(f"the weights are left out: there is no {options.olist}")
            cluster = options.cluster or ingest.best_cluster()
            text, _ = ingest.measure(options.events, options.runs, cluster, lambda line: tell(f"ingest: {line}"))
            put(DOCS / "performance.md", "ingest", text)
            progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
            text, _ = latency.measure(
                options.rate, options.seconds, options.runs, "embedded", lambda line: tell(f"latency: {line}")
            )
            put(DOCS / "performance.md", "latency", text)
            progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
    except StopProcess as error:
        console.print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How long the console's queries and those of docs/queries.md take with millions of slices in chDB.

`python -m bench.console_queries [--slices 50000000] [--runs 5] [--only TEXT] [--folder FOLDER] [--json FILE] [--write]`

The folder is made anew unless it is there already and holds what an earlier run made; without `--folder` it is a
temporary one. 50 million slices take about 3 GB of disk while they are made.
"""

import argparse
import importlib
import pkgutil
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench import machine
from bench.console_data import TENANT, Filling, Tell, fill
from bench.report import DOCS, add_options, finish, table
from schemas.errors import StopProcess, UsageError
from schemas.loader import load_map
from sinks import bi
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrate
from streams.runtime.settings import DEFAULT_MAP

GOAL_S = 0.3
DEFAULT_SLICES = 50_000_000
#: What a query may take before it is given up, seconds; and the least free disk, bytes.
_LIMIT_S = 60
_LEAST_DISK = 15 * 2**30
_BLOCK = re.compile(r"^### (.+)\n(?:(?!#|```).*\n)*```sql\n((?:(?!```).*\n)+)```", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{(\w+):\w+")


class Query(NamedTuple):
    """What is asked: where it is from, its name, SQL and parameters."""

    of: str
    name: str
    sql: str
    parameters: dict[str, object]


class Taken(msgspec.Struct):
    """How long a query took, seconds, one number a run; empty: it was given up."""

    of: str
    name: str
    seconds: list[float]
    #: Time of all threads of this process together, merges in the background included.
    cpu_seconds: list[float]
    rows: int = 0
    problem: str = ""

    @property
    def median(self) -> float:
        """Infinite if it was given up."""
        return statistics.median(self.seconds) if self.seconds else float("inf")

    @property
    def cpu(self) -> float:
        """The median of the CPU time, which other programs on the machine change less."""
        return statistics.median(self.cpu_seconds) if self.cpu_seconds else float("inf")


def documented() -> Iterator[Query]:
    """The queries of docs/queries.md, by their questions."""
    for question, sql in _BLOCK.findall((DOCS / "queries.md").read_text(encoding="utf-8")):
        yield Query("docs", question, sql, {})


def of_console(at: int) -> Iterator[Query]:
    """The queries of the console: every text of its query modules that is named in capitals and selects.

    UsageError for one with a parameter that this benchmark has no value for.
    """
    values: dict[str, object] = {
        "tenant": TENANT, "touchpoint": "web.checkout", "at": at, "since": at - 3600, "recent": at - 300, "until": at,
        "window": "1h", "step": 60, "segment": "", "value": "", "id": "incident-7", "who": "customer-77",
        "subject": "customer-77", "journey": "order-77", "measure": "negative", "name": "",
    }  # fmt: skip
    package = importlib.import_module("console.queries")
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"console.queries.{info.name}")
        for name, sql in vars(module).items():
            if not (name.isupper() and not name.startswith("_") and isinstance(sql, str) and "SELECT" in sql):
                continue
            needed = set(_PLACEHOLDER.findall(sql))
            if unknown := needed - values.keys():
                raise UsageError(f"console.queries.{info.name}.{name}: no value for {', '.join(sorted(unknown))} here")
            yield Query("console", f"{info.name} {name}", sql, {key: values[key] for key in sorted(needed)})


def take(store: ClickHouse, query: Query, runs: int) -> Taken:
    """Run it once to warm up, then `runs` times."""
    taken = Taken(query.of, query.name, [], [])
    try:
        for run in range(runs + 1):
            began, used = time.perf_counter(), time.process_time()
            taken.rows = len(store.rows(query.sql, query.parameters or None))
            if run:
                taken.seconds.append(time.perf_counter() - began)
                taken.cpu_seconds.append(time.process_time() - used)
    except StopProcess as error:
        taken.problem = str(error.__cause__ or error).partition("Code: ")[2][:60] or str(error)[:60]
    return taken


def measure(slices: int, runs: int, only: str, folder: Path, tell: Tell) -> tuple[str, str]:
    """The report in Markdown, and every run in JSON. Raises UsageError and StopProcess with what to do."""
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < _LEAST_DISK:
        raise UsageError(f"{folder}: less than {_LEAST_DISK >> 30} GiB free; name a --folder with more")
    store = ClickHouse.open(f"chdb://{folder.resolve()}")
    try:
        migrate(store)
        corridor = load_map(DEFAULT_MAP)
        bi.prepare(store, corridor)
        if not store.rows("SELECT 1 FROM corredor.incidents LIMIT 1"):
            fill(store, Filling(corridor, slices, int(time.time())), tell)
        store.command(f"SET max_execution_time = {_LIMIT_S}")
        ((at,),) = store.rows("SELECT toInt64(max(at)) FROM corredor.experience_scores")
        queries = [*of_console(at), *documented()]
        found = []
        for query in queries:
            if only in f"{query.of} {query.name}":
                found.append(take(store, query, runs))
                tell(f"{query.of} {query.name}: {_seconds(found[-1])}")
        return _report(store, found, runs), msgspec.json.encode(found).decode()
    finally:
        store.close()


def _report(store: ClickHouse, found: Sequence[Taken], runs: int) -> str:
    sizes = store.rows(
        "SELECT table, sum(rows), count(), formatReadableSize(sum(bytes_on_disk)) FROM system.parts "
        "WHERE database = 'corredor' AND active GROUP BY table HAVING sum(rows) > 10000 ORDER BY sum(rows) DESC"
    )
    held = [(name, f"{n:,}", str(parts), size) for name, n, parts, size in sizes]
    slowest = sorted(found, key=lambda one: (one.of, -one.median))
    lines = [(one.of, one.name, _seconds(one), _milliseconds(one.cpu), str(one.rows)) for one in slowest]
    console = [one for one in found if one.of == "console"]
    slow = sum(one.median > GOAL_S for one in console)
    return "\n\n".join(
        [
            table(("table", "rows", "parts", "on disk"), held),
            table(("of", "query", "median", "CPU", "rows"), lines),
            f"{len(console) - slow} of the console's {len(console)} queries are below {GOAL_S * 1000:.0f} ms at the "
            f"median of {runs} runs. {machine.line([])}",
        ]
    )


def _seconds(taken: Taken) -> str:
    return _milliseconds(taken.median) if taken.seconds else f"not in {_LIMIT_S} s: {taken.problem}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.console_queries", description=__doc__)
    parser.add_argument("--slices", type=int, default=DEFAULT_SLICES, help="slices to load (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each query (default: %(default)s)")
    parser.add_argument("--only", default="", help="only queries with this text in group and name, such as `console`")
    parser.add_argument("--folder", type=Path, help="chDB folder to use, and to leave for the next run")
    add_options(parser)
    options = parser.parse_args(arguments)

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="corredor-bench-") as temporary:
        folder = options.folder or Path(temporary)
        return finish("queries", options, lambda: measure(options.slices, options.runs, options.only, folder, tell))


if __name__ == "__main__":
    sys.exit(main())

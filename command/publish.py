"""`corredor publish`: events that are there already, one JSON object a line, checked before they are sent."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from command.output import err
from schemas.errors import RejectEvent, StopProcess, UsageError

#: Faulty lines that are shown; the others are counted.
_EXAMPLES = 10
#: The progress line is written anew this often. Seconds.
_PROGRESS_S = 0.5
#: No event is longer. Bytes.
_LONGEST = 1024 * 1024


def command(
    file: Annotated[
        Path, typer.Argument(help="NDJSON: a whole CloudEvent a line; `-` is standard input.", show_default=True)
    ] = Path("-"),
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first faulty line; what came before it is sent.")
    ] = False,
    faulty: Annotated[
        Path | None,
        typer.Option("--faulty", help="Write faulty lines here, as they came, to be mended.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check only, send nothing.")] = False,
) -> None:
    """Publish events from a file or a pipe: each line is held against the contract before it is sent, byte for byte.

    With CORREDOR_PSEUDONYM_KEY set customers get pseudonyms on the way.

    Faulty lines are shown with their number, the reason and where, and are not sent. Sending a file twice is safe:
    `source` and `id` identify an event. Exit code 0: all sent; 1: some were faulty, or Kafka refused; 2: no such file.
    """
    from sources.collect.contract import Sent, check
    from sources.privacy import Edge
    from sources.publish import Publisher
    from streams.runtime.endpoints import resolve
    from streams.runtime.settings import load_settings

    settings = load_settings()
    edge = Edge.of(settings)
    wrong: Counter[str] = Counter()
    right = 0
    with ExitStack() as stack:
        lines = _lines(stack.enter_context(_opened(file)))
        kept = None if faulty is None else stack.enter_context(_written(faulty))
        status = stack.enter_context(err.status("checking" if dry_run else "publishing"))
        publisher = None if dry_run else stack.enter_context(Publisher(resolve(settings)))
        told = 0.0
        for number, line in lines:
            try:
                checked = check(Sent(line), time.time(), edge)
            except RejectEvent as error:
                wrong[error.reason.value] += 1
                if wrong.total() <= _EXAMPLES:
                    err.print(f"line {number}: {error.reason.value}: {error}", style="yellow", markup=False)
                if kept is not None:
                    kept.write(line + b"\n")
                if strict:
                    break
                continue
            right += 1
            if publisher is not None:
                publisher.send(checked.key, checked.value)
            if (now := time.monotonic()) - told >= _PROGRESS_S:
                told = now
                status.update(f"{'checked' if dry_run else 'published'} {right:,}")
    what = "fit the contract" if dry_run else "published and acknowledged"
    err.print(f"{right:,} {what}, {wrong.total():,} faulty", highlight=False)
    if wrong:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in wrong.most_common())
        where = f"; they are in {faulty}" if faulty is not None else "; --faulty FILE keeps them"
        raise StopProcess(f"faulty lines were not sent ({reasons}){where}. Mend them and publish them again")


def _opened(file: Path) -> BinaryIO:
    if str(file) == "-":
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None


def _written(file: Path) -> BinaryIO:
    try:
        return file.open("wb")
    except OSError as error:
        raise UsageError(f"--faulty {file} cannot be written: {error.strerror}") from None


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Number and text of each line that is not empty; of one that is far too long only the beginning."""
    number = 0
    while line := stream.readline(_LONGEST):
        number += 1
        if text := line.strip():
            yield number, text
        while len(line) == _LONGEST and not line.endswith(b"\n"):
            line = stream.readline(_LONGEST)

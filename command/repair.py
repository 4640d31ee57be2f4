"""`corredor repair`: rejected events are corrected by a fix, looked at, published again, and marked as repaired."""

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from command.output import err, out
from schemas.errors import StopProcess, UsageError
from schemas.rejection import Reason

if TYPE_CHECKING:
    from command.repair_run import Examples, Tally


def command(
    reason: Annotated[Reason, typer.Option(help="Which rejections.", metavar="REASON", show_default=False)],
    fix: Annotated[
        Path,
        typer.Option(
            help="A mapping (.yaml), or a Python file with `fix(event, rejection)` (.py).",
            metavar="FILE",
            show_default=False,
        ),
    ],
    source: Annotated[str | None, typer.Option(help="Only those of this source.", show_default=False)] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only those that came at or after this time, such as 2026-11-21T08:00Z (UTC)."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only those that came before it.", show_default=False)] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N, by partition and offset.", min=0, show_default=False)
    ] = None,
    show: Annotated[int, typer.Option(help="Show the difference of so many repaired events.", min=0)] = 3,
    apply: Annotated[
        bool, typer.Option("--apply", help="Publish the repaired events and mark their rejections.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sums as JSON, and nothing else.")] = False,
) -> None:
    """Repair rejected events: without --apply it shows what would change, and changes nothing.

    A repaired event keeps its source and id: it counts once however often this runs. NO_COLOR turns colours off.
    Exit code 0: the fix repairs all that it does not leave; 1: some are still rejected; 2: unusable input.
    """
    import msgspec

    from command.repair_read import Rejections, Wanted
    from command.repair_run import Tally, run
    from command.results import connect
    from sources.privacy import Edge
    from sources.repair_fix import load_fix
    from sources.repair_publish import Repairs
    from streams.runtime.endpoints import resolve
    from streams.runtime.settings import load_settings

    if reason is Reason.REFUSED_BY_STORE:
        raise UsageError(
            "--reason refused_by_store: those are rows of ours that ClickHouse refused, not events; their detail says "
            "what about the table is to be changed"
        )
    wanted = Wanted(reason, source, _time("--since", since), _time("--until", until))
    if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
        raise UsageError(f"--until {until} is not after --since {since}")
    named = load_fix(fix)
    settings = resolve(load_settings()) if apply else load_settings()
    edge = Edge.of(settings)
    tally = Tally(applied=apply)
    with ExitStack() as stack:
        store = connect(settings)
        stack.callback(store.close)
        rejections = Rejections(store, wanted)
        count = rejections.count()
        total = count if limit is None else min(count, limit)
        if apply and not as_json:
            # On the way out the last thing said is how far it came, also after Ctrl-C or an error.
            stack.callback(_sums, tally, reason, total)
        bar = stack.enter_context(_progress())
        task = bar.add_task("repairing" if apply else "trying", total=total)
        examples = run(
            rejections,
            store,
            named.fix,
            stack.enter_context(Repairs(settings, named.name)) if apply else None,
            tally,
            edge=edge,
            limit=limit,
            show=0 if as_json else show,
            on_progress=lambda: bar.update(task, completed=tally.read),
        )
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(tally), indent=2).decode() + "\n")
    else:
        _show(examples, tally)
        if not apply:
            _sums(tally, reason, total)
            if tally.repaired:
                err.print("nothing is changed; --apply does it", highlight=False)
    if still := sum(tally.rejected.values()) + tally.lost:
        raise StopProcess(f"{still:,} {reason} rejections stay rejected with this fix; extend it, or leave them")


def _time(option: str, text: str | None) -> float | None:
    """Epoch seconds of a date or time; without a zone it is UTC."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text}: write a date or time such as 2026-11-21 or 2026-11-21T08:00Z") from None
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()


def _show(examples: "Examples", tally: "Tally") -> None:
    from command.repair_view import render_repaired, render_unrepaired

    for repaired in examples.repaired:
        out.print(render_repaired(repaired), soft_wrap=True)
    if (more := tally.repaired - len(examples.repaired)) > 0 and examples.repaired:
        out.print(f"... and {more:,} more", highlight=False)
    for group in examples.unrepaired.values():
        out.print("still rejected:", style="yellow", highlight=False)
        for unrepaired in group:
            out.print(render_unrepaired(unrepaired), soft_wrap=True)


def _sums(tally: "Tally", reason: Reason, total: int) -> None:
    """What it has come to, of `total` that were to be read, in a few words on standard error."""
    verbs = ("published", "marked") if tally.applied else ("would be published", "would be marked")
    if total == 0:
        err.print(f"no open {reason} rejections", highlight=False)
        return
    read = f"{tally.read:,}" if tally.read >= total else f"{tally.read:,} of {total:,}"
    parts = [f"{read} open {reason} rejections", f"{tally.published:,} {verbs[0]}"]
    if tally.accepted:
        parts.append(f"{tally.accepted:,} accepted already")
    if tally.again:
        parts.append(f"{tally.again:,} the same event as another")
    parts.append(f"{tally.marked if tally.applied else tally.repaired:,} {verbs[1]} as repaired")
    if tally.left:
        parts.append(f"{tally.left:,} left by the fix")
    if tally.lost:
        parts.append(f"{tally.lost:,} whose bytes are lost")
    parts += [f"{count:,} still {why}" for why, count in sorted(tally.rejected.items())]
    err.print("; ".join(parts), highlight=False)


def _progress() -> Progress:
    """A bar on a terminal, nothing elsewhere."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )

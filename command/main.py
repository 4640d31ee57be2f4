"""The `corredor` command: registers the subcommands and turns errors into messages and exit codes.

Exit codes: 0 done, 1 failed, 2 unusable input, 130 interrupted (Ctrl-C).
"""

import sys

import typer
from rich.markup import escape

from command import (
    backtest,
    backup,
    check,
    collect,
    console,
    dashboards,
    demo,
    forget,
    migrate,
    publish,
    query,
    repair,
    replay,
    report,
    restore,
    rules,
    run,
    simulate,
    sink,
    size,
    status,
    topics,
    worker,
)
from command.output import err
from schemas.errors import CorredorError, StopProcess

#: What Ctrl-C ends with.
INTERRUPTED = 130
app = typer.Typer(
    name="corredor",
    help="Customer experience watched the way SREs watch services.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    run,
    demo,
    worker,
    sink,
    collect,
    console,
    publish,
    repair,
    forget,
    replay,
    simulate,
    check,
    rules,
    dashboards,
    backtest,
    report,
    migrate,
    backup,
    restore,
    topics,
    size,
    query,
    status,
):
    app.command(name=module.__name__.rpartition(".")[2])(module.command)


def main() -> None:
    """Entry point of the `corredor` command."""
    try:
        app()
    except CorredorError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(error.exit_code if isinstance(error, StopProcess) else 1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            err.print("interrupted", style="yellow")
        raise

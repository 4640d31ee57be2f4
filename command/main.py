"""The `corredor` command: registers the subcommands and turns errors into messages and exit codes.

Exit codes: 0 done, 1 failed, 2 unusable input, 130 interrupted (Ctrl-C).
"""

import sys

import click
import typer
from rich.markup import escape

from command import check, demo, migrate, query, replay, run, simulate, sink, status, topics, worker
from command.output import err
from schemas.errors import CorredorError, StopProcess

app = typer.Typer(
    name="corredor",
    help="Customer experience watched the way SREs watch services.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (run, demo, worker, sink, replay, simulate, check, migrate, topics, query, status):
    app.command(name=module.__name__.rpartition(".")[2])(module.command)


def main() -> None:
    """Entry point of the `corredor` command."""
    try:
        sys.exit(app(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        err.print("interrupted", style="yellow")
        sys.exit(130)
    except CorredorError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(error.exit_code if isinstance(error, StopProcess) else 1)

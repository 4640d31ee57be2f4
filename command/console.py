"""`corredor console`: the web page."""

from typing import Annotated

import typer


def command(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; other than loopback needs a login.", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one. Default: 8080.", min=0, max=65535, show_default=False)
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Serve /metrics there too.", min=0, max=65535, show_default=False)
    ] = None,
) -> None:
    """Show the corridor in a browser: map, incidents, priorities, journeys, pipeline. It only reads; docs/console.md.

    It shows the run in CORREDOR_DATA_DIR, or the server in CORREDOR_CLICKHOUSE, and waits for it where it is away.
    """
    from command.output import out
    from schemas.errors import UsageError
    from streams.runtime.logs import set_up_logging
    from streams.runtime.settings import load_settings

    try:
        from console.serve import serve
    except ModuleNotFoundError as error:
        raise UsageError(f"the console needs {error.name}: pip install 'corredor[console]'") from None
    settings = load_settings(console_host=host, console_port=port)
    set_up_logging(settings)
    serve(settings, metrics_port, lambda line: out.print(line, markup=False, highlight=False, soft_wrap=True))

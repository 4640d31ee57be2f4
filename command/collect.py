"""`corredor collect`: touchpoint events over HTTP, for source systems without a Kafka client."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    host: Annotated[
        str,
        typer.Option(envvar="CORREDOR_COLLECT_HOST", help="Address to listen on; other than loopback needs --keys."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="CORREDOR_COLLECT_PORT", help="Port; 0 takes a free one.", min=0, max=65535)
    ] = 8090,
    keys: Annotated[
        Path | None, typer.Option(envvar="CORREDOR_COLLECT_KEYS", help="Keys file (YAML): who may send what.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(envvar="CORREDOR_COLLECT_TLS_CERT", help="Certificate and its chain (PEM).")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(envvar="CORREDOR_COLLECT_TLS_KEY", help="Its key (PEM).")] = None,
    body_bytes: Annotated[
        int, typer.Option(envvar="CORREDOR_COLLECT_BODY_BYTES", help="Largest body.", min=1024, max=2**26)
    ] = 1024 * 1024,
    batch_events: Annotated[
        int, typer.Option(envvar="CORREDOR_COLLECT_BATCH_EVENTS", help="Most events of a batch.", min=1, max=100_000)
    ] = 1000,
    body_timeout: Annotated[
        float, typer.Option(envvar="CORREDOR_COLLECT_BODY_TIMEOUT", help="Seconds for a body to arrive.", min=0.1)
    ] = 10.0,
    new_key: Annotated[
        str | None, typer.Option("--new-key", metavar="NAME", help="Print a new key and its entry, then end.")
    ] = None,
) -> None:
    """Take CloudEvents and webhooks over HTTP and publish them; docs/collect.md shows every part.

    It answers 202 once Kafka has acknowledged, and 503 with Retry-After while Kafka is away. SIGTERM and Ctrl-C answer
    what is in flight, then end.
    """
    if new_key is not None:
        _print_key(new_key)
        return
    from command.output import out
    from sources.collect.limits import Limits
    from sources.collect.serve import Place, serve
    from streams.runtime.endpoints import resolve
    from streams.runtime.logs import set_up_logging
    from streams.runtime.settings import load_settings

    settings = resolve(load_settings())
    set_up_logging(settings)
    limits = Limits(body_bytes=body_bytes, batch_events=batch_events, body_timeout_s=body_timeout)
    serve(
        settings,
        Place(host, port, keys, tls_cert, tls_key),
        limits,
        lambda line: out.print(line, markup=False, highlight=False, soft_wrap=True),
    )


def _print_key(name: str) -> None:
    """The key to standard error, once and nowhere else; its entry, which is no secret, to standard output."""
    import re

    from command.output import err, out
    from schemas.errors import UsageError
    from sources.collect.keys import entry, new_key

    if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", name) is None:
        raise UsageError(f"--new-key {name}: use a name of small letters, digits and dashes, such as web-shop")
    token, digest = new_key()
    err.print(f"the key, shown only now: {token}", markup=False, highlight=False, soft_wrap=True)
    err.print("put this below `keys:` of the keys file, and correct sources and tenants:", highlight=False)
    out.print(entry(name, digest), markup=False, highlight=False, soft_wrap=True, end="")

"""Where commands write: results to standard output, everything else to standard error. NO_COLOR turns colours off."""

from rich.console import Console

out = Console()
err = Console(stderr=True)

"""Logging of our programs: one line an event, to standard error, libraries quiet."""

import logging

from streams.runtime.settings import Settings


def set_up_logging(settings: Settings) -> None:
    """Log from `settings.log_level` up; libraries only warn (aiokafka would build a record for every request)."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(name)s %(message)s", datefmt="%H:%M:%S", force=True
    )
    logging.getLogger("corredor").setLevel(settings.log_level)

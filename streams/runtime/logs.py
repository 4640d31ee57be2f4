"""Logging of our programs: one line an event, to standard error, libraries quiet."""

import logging

from streams.runtime.settings import Settings

#: A library says the same at most this often; with Kafka away aiokafka would write 80 lines a second. Seconds.
REPEAT_S = 30.0


class NotAgain(logging.Filter):
    """Lets a message of a library through once in `REPEAT_S`, whatever its values; ours always."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write it."""
        if record.name.startswith("corredor"):
            return True
        key = (record.name, str(record.msg))
        if record.created - self._last.get(key, float("-inf")) < REPEAT_S:
            return False
        self._last[key] = record.created
        return True


def set_up_logging(settings: Settings) -> None:
    """Log from `settings.log_level` up; libraries only warn (aiokafka would build a record for every request)."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(name)s %(message)s", datefmt="%H:%M:%S", force=True
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(NotAgain())
    logging.getLogger("corredor").setLevel(settings.log_level)

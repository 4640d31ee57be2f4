"""No client of ours is made past the settings."""

import re
from pathlib import Path

CODE = Path(__file__).resolve().parents[2]
#: Where a client may be made: with our settings, to see whether they let us in, and to see our own broker start.
PLACES = {
    "streams/runtime/clients.py",
    "streams/runtime/security.py",
    "streams/runtime/local.py",
    "streams/runtime/transport.py",
}
_MADE = re.compile(r"(?<![\w.])(aiokafka\.)?(AIOKafka)?(Consumer|Producer|AdminClient|Client)\(\s*[^)\s:]")


def test_every_kafka_client_is_made_where_the_settings_of_security_are_heeded() -> None:
    made = {
        str(path.relative_to(CODE))
        for package in ("command", "console", "schemas", "sinks", "sources", "streams")
        for path in (CODE / package).rglob("*.py")
        if re.search(r"^(from|import) (confluent_kafka|aiokafka)", path.read_text(), re.MULTILINE)
        and any(_MADE.search(line) for line in re.sub(r"\(\s+", "(", path.read_text()).splitlines())
    }
    assert made == PLACES

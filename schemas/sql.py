"""Text inside ClickHouse's SQL."""


def literal(text: str) -> str:
    """A string literal: names come from senders."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

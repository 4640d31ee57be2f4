"""The web page: the corridor, its incidents, priorities and journeys, read from ClickHouse; it writes nothing."""

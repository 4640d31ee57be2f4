"""Results out: from Kafka into ClickHouse."""

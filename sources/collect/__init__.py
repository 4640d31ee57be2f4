"""The HTTP collector: touchpoint events over HTTP, for source systems without a Kafka client."""

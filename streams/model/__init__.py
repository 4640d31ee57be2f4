"""Pure functions and state machines: no Faust, no Kafka, no clock of their own."""

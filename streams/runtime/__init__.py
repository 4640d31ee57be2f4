"""What the agents stand on: transport, state, checkpoint, servers, settings, metrics."""

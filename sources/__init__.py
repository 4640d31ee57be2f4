"""Where events come from: replayed files, the simulator."""

"""The parts of the simulated retail corridor. `sources.simulate` puts them together."""

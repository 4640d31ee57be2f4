"""The peers' programs. Each is run by the Python of its own environment and imports nothing of Corredor but `job`."""

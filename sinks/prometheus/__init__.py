"""Prometheus rules made from a corridor map: objectives, incidents, and the health of the pipeline."""

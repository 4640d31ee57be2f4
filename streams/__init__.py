"""Kafka in, experience out."""

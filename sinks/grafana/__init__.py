"""Grafana's dashboards and data sources, generated: one Python source, JSON and YAML out of it."""

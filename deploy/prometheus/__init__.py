"""Prometheus: what it scrapes, the rules, their tests, and the catalogue of the metrics."""

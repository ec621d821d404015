"""Kafka, a schema registry and PostgreSQL on this machine, from Python packages alone."""

"""Grafana: what it is provisioned with, and the dashboards as code."""

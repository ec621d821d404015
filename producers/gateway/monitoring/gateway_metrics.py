"""What the gateway counts: the catalogue, docs/metrics.md is made of it. Served on /metrics.

In a registry of its own: some metrics have the names that the workers give them.
"""

import platform
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
)

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

BUILD = Info("fox_build", "What runs here.", registry=REGISTRY)
BUILD.info({"version": version("foxstream"), "python": platform.python_version()})
SERVER_REACHABLE = Gauge(
    "fox_server_reachable",
    "1 while kafka or the registry answers this process. 0: uploads wait in the spool.",
    ("server",),
    registry=REGISTRY,
)
REQUESTS = Histogram(
    "fox_gateway_request_seconds",
    "From a request's head to the begin of its answer.",
    ("route", "method", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
    registry=REGISTRY,
)
UPLOAD = Histogram(
    "fox_upload_seconds",
    "From the last byte of an upload to its 202.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10),
    registry=REGISTRY,
)
UPLOAD_BYTES = Counter(
    "fox_gateway_upload_bytes_total", "Bytes of accepted uploads.", registry=REGISTRY
)
UNPUBLISHED = Gauge(
    "fox_gateway_unpublished_files",
    "Uploads that are not with Kafka yet. Rising: is Kafka away? The log says it.",
    registry=REGISTRY,
)
SPOOL_FREE = Gauge(
    "fox_gateway_spool_free_bytes",
    "Room on the disk of the spool. Below FOX_GATEWAY_MAX_FILE_BYTES the gateway is not ready.",
    registry=REGISTRY,
)
SPOOL_SIZE = Gauge(
    "fox_gateway_spool_size_bytes", "Size of the disk of the spool.", registry=REGISTRY
)
FOLLOWERS = Gauge("fox_gateway_followers", "Open streams of server-sent events.", registry=REGISTRY)
READY = Gauge(
    "fox_gateway_ready",
    "1 while /readyz answers 200: the gateway knows imports and tokens, and its spool takes files.",
    registry=REGISTRY,
)

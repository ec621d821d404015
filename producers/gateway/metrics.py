"""What the gateway counts. Served on /metrics in Prometheus' text format."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Histogram(
    "fox_gateway_request_seconds",
    "From a request's head to the begin of its answer.",
    ("route", "method", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
UPLOAD = Histogram(
    "fox_upload_seconds",
    "From the last byte of an upload to its 202.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10),
)
UPLOAD_BYTES = Counter("fox_gateway_upload_bytes_total", "Bytes of accepted uploads.")
UNPUBLISHED = Gauge(
    "fox_gateway_unpublished_files",
    "Uploads that are not with Kafka yet. Rising: is Kafka away? The log says it.",
)
FOLLOWERS = Gauge("fox_gateway_followers", "Open streams of server-sent events.")
READY = Gauge("fox_gateway_ready", "1 where the gateway knows all imports and tokens.")

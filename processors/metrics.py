"""What the worker counts: the catalogue. Served on /metrics in Prometheus' text format."""

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter(
    "fox_rows_total",
    "Rows that have an outcome in PostgreSQL.",
    ("type", "outcome"),
)
REJECTS = Counter(
    "fox_rejects_total",
    "Rejected rows by the first thing wrong with them. Rising: look at 'foxstream errors'.",
    ("type", "code"),
)
BATCH_SECONDS = Histogram(
    "fox_batch_seconds",
    "From a batch being taken up to its commit, retries included.",
    ("type",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
BATCH_ROWS = Histogram(
    "fox_batch_rows",
    "Records in one transaction.",
    ("type",),
    buckets=(1, 10, 50, 100, 500, 1000, 2000, 3000, 4000, 5000, 10_000, 50_000),
)
RETRIES = Counter(
    "fox_batch_retries_total",
    "Transactions tried again, because a server failed. Rising: look at PostgreSQL.",
    ("type",),
)
PARTITIONS_HALTED = Gauge(
    "fox_partitions_halted",
    "Partitions that this worker stopped writing until somebody mends what its log names.",
    ("topic",),
)
LAG_ROWS = Gauge(
    "fox_consumer_lag_rows",
    "Records between the position in PostgreSQL and the end of the log, of this worker's partitions.",
    ("topic", "partition"),
)
LAG_SECONDS = Gauge(
    "fox_consumer_lag_seconds",
    "Age of the oldest record that is not written. Rising without end: the partition is stuck.",
    ("topic", "partition"),
)
PAGES_UNRESOLVED = Gauge(
    "fox_pages_unresolved",
    "Companies without a page for want of a mapping, a sub-category or a city. Rising: load them.",
    ("reason",),
)
IMPORTS_FINISHED = Counter("fox_imports_total", "Imports that ended.", ("type", "status"))
IMPORTS_UNFINISHED = Gauge(
    "fox_imports_unfinished", "Imports that have not ended, of the partitions of this worker."
)
ENRICHMENT_REQUESTS = Counter(
    "fox_enrichment_requests_total",
    "Requests for texts by what became of them: done, cached (answered before), failed, left (the "
    "time of its import was over), retried, changed (the row changed meanwhile: asked anew).",
    ("outcome",),
)
ENRICHMENT_PENDING = Gauge(
    "fox_enrichment_pending", "Requests for texts that wait or are worked on, of all workers."
)
AI_CALLS = Counter(
    "fox_ai_calls_total",
    "Calls to the model: made, failed, lost (their worker died: they may have been paid).",
    ("outcome",),
)
AI_REJECTED = Counter(
    "fox_ai_rejected_total",
    "Answers that were not taken, by why: asked-again, schema, quality, length, refusal.",
    ("reason",),
)
AI_TOKENS = Counter("fox_ai_tokens_total", "Tokens used.", ("direction", "model"))
AI_COST = Counter("fox_ai_cost_total", "US dollars spent, by the configured prices.", ("model",))
AI_BREAKER = Gauge(
    "fox_ai_breaker_open",
    "1 while the model is not asked: it fails, its quota is used up, or its key is refused. Page.",
)

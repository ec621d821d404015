"""Catalogue of the worker's metrics; docs/metrics.md is generated from it. Served on /metrics.

A help text says how to aggregate over several workers if that is not a plain sum.
"""

import platform
from collections.abc import Iterable
from importlib.metadata import version
from time import monotonic

from prometheus_client import Counter, Gauge, Histogram, Info
from prometheus_client.samples import Sample

KNOWN_SECONDS = 150.0
"""How long a value that was read from a server counts: above twice the longest interval of reading (60 s)."""


class ReadGauge(Gauge):
    """A value that is read from a server. It has no sample once it could not be read for KNOWN_SECONDS."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._set_at: float | None = None

    def set(self, value: float) -> None:
        super().set(value)
        self._set_at = monotonic()

    def _child_samples(self) -> Iterable[Sample]:
        if self._set_at is None or monotonic() - self._set_at > KNOWN_SECONDS:
            return ()
        return super()._child_samples()


BUILD = Info("fox_build", "What runs here.")
BUILD.info({"version": version("foxstream"), "python": platform.python_version()})
READY = Gauge("fox_worker_ready", "1 while /readyz returns 200: this worker is ready.")
KIND = Gauge(
    "fox_worker_kind",
    "1: this worker runs agents of the kind (rows, imports, enrichment). No series of a kind: no worker "
    "does.",
    ("kind",),
)
SERVER_REACHABLE = Gauge(
    "fox_server_reachable",
    "1 while kafka, postgresql or the registry responds to this process. 0: nothing is lost, rows wait.",
    ("server",),
)
CERTIFICATE_EXPIRY = Gauge(
    "fox_certificate_expiry_timestamp_seconds",
    "Unix time at which the certificate of a server expires. No series: no TLS.",
    ("server",),
)

ROWS = Counter(
    "fox_rows_total",
    "Rows that have an outcome in PostgreSQL.",
    ("type", "outcome"),
)
REJECTS = Counter(
    "fox_rejects_total",
    "Rejected rows by their first fault. Rising: look at 'foxstream errors'.",
    ("type", "code"),
)
BATCH_SECONDS = Histogram(
    "fox_batch_seconds",
    "From the start of a batch to its commit, retries included.",
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
    "Transactions retried because a server failed. Rising: look at PostgreSQL.",
    ("topic",),
)
PARTITIONS_HALTED = Gauge(
    "fox_partitions_halted",
    "Partitions that this worker does not write until the cause named in its log is fixed.",
    ("topic",),
)
LAST_COMMIT = Gauge(
    "fox_last_commit_timestamp_seconds",
    "Unix time of the last batch of a topic that this worker committed, or of its start. The "
    "highest of all workers counts. Old while rows wait: writing is stuck.",
    ("topic",),
)
TOPIC_PARTITIONS = Gauge(
    "fox_topic_partitions",
    "Partitions of a topic that this worker reads or shares. More than those that are assigned to workers: "
    "some are not read.",
    ("topic",),
)
PARTITIONS_ASSIGNED = Gauge(
    "fox_partitions_assigned",
    "Partitions of a topic that are assigned to this worker, also while PostgreSQL is away.",
    ("topic",),
)
LAG_ROWS = ReadGauge(
    "fox_consumer_lag_rows",
    "Records between the position in PostgreSQL and the end of the log, of this worker's partitions. Those "
    "behind an open transaction count.",
    ("topic", "partition"),
)
LAG_SECONDS = ReadGauge(
    "fox_consumer_lag_seconds",
    "Age of the oldest record that is not written. Rising without end: the partition is stuck.",
    ("topic", "partition"),
)
TRANSACTION_OPEN = ReadGauge(
    "fox_transaction_open_seconds",
    "How long a transaction of a producer has been open: the last stable offset is below the end of the log, "
    "and nothing behind it can be read.",
    ("topic", "partition"),
)
POSITION_GAP = ReadGauge(
    "fox_position_gap_rows",
    "Offsets between the position in PostgreSQL and what Kafka retains, if Kafka does not retain the "
    "position any more (or not yet). Above 0: rows may be lost at the next restart.",
    ("topic", "partition"),
)
ROWS_PARKED = ReadGauge(
    "fox_rows_parked",
    "Rows that wait for the row that they belong to, of the partitions of this worker. Rising: "
    "import what is missing.",
    ("type",),
)
PAGES_UNRESOLVED = ReadGauge(
    "fox_pages_unresolved",
    "Companies without a page because a mapping, a sub-category or a city is missing, or because the "
    "site refuses it. Every worker of rows reports all of them. Rising: load what is missing.",
    ("reason",),
)
IMPORTS_FINISHED = Counter("fox_imports_total", "Finished imports.", ("type", "status"))
IMPORT_SECONDS = Histogram(
    "fox_import_seconds",
    "From the first written row of an import to its end.",
    ("type", "status"),
    buckets=(1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 21_600),
)
IMPORTS_UNFINISHED = ReadGauge(
    "fox_imports_unfinished", "Unfinished imports of the partitions of this worker."
)
IMPORT_OLDEST = ReadGauge(
    "fox_import_oldest_unfinished_seconds",
    "Age of the oldest unfinished import of this worker's partitions, paused ones left out. The "
    "highest of all workers counts; 0: there is none.",
)
ACCOUNTING_DRIFT = ReadGauge(
    "fox_accounting_drift_rows",
    "Rows of this worker's imports that have no outcome although the import is finished (within a "
    "day), or more than one. Anything but 0 is a fault of foxstream.",
)
JOB_RUNS = Counter(
    "fox_job_runs_total",
    "Scheduled runs of jobs by outcome: done, failed, stopped (with its worker).",
    ("name", "outcome"),
)
JOB_DONE = Gauge(
    "fox_job_last_success_timestamp_seconds",
    "End of the last successful run of a job, by hand or scheduled; if it never ran, when it was added. All "
    "workers of imports report the same.",
    ("name",),
)
JOB_FAILED = Gauge(
    "fox_job_last_run_failed",
    "1 if the last ended run of a job failed or died: 'foxstream-worker jobs' says why.",
    ("name",),
)
ENRICHMENT_REQUESTS = Counter(
    "fox_enrichment_requests_total",
    "Requests for texts by outcome: done, cached (answered before), failed, left (the "
    "time of its import was over), retried, changed (the row changed meanwhile: requested anew).",
    ("outcome",),
)
ENRICHMENT_PENDING = ReadGauge(
    "fox_enrichment_pending",
    "Requests for texts that wait or are in progress. Every worker of texts reports all of them.",
)
AI_CALLS = Counter(
    "fox_ai_calls_total",
    "Calls to the model: made, and of those failed, lost (their worker died, or their batch never "
    "ended: they may have been paid) and batched (sent in a batch).",
    ("outcome",),
)
AI_REJECTED = Counter(
    "fox_ai_rejected_total",
    "Answers that were not accepted, by reason: asked-again, schema, quality, length, refusal, "
    "content-filter.",
    ("reason",),
)
AI_TOKENS = Counter("fox_ai_tokens_total", "Tokens used.", ("direction", "model"))
AI_FAILURES = Counter(
    "fox_ai_failures_total",
    "Calls to the model that failed, by the code of docs/enrichment.md: http-503, rate, content-filter.",
    ("code",),
)
AI_CALL_SECONDS = Histogram(
    "fox_ai_call_seconds",
    "From a permit to the end of the answer, of calls that are not in batches: answered or failed.",
    ("outcome",),
    buckets=(0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600),
)
AI_CALLS_IN_FLIGHT = Gauge(
    "fox_ai_calls_in_flight", "Calls to the model that this worker waits for."
)
AI_PERMIT_SECONDS = Histogram(
    "fox_ai_permit_seconds",
    "How long a call waited for its permit: rates, tokens, concurrency, breaker.",
    buckets=(0.01, 0.1, 1, 5, 15, 60, 300, 900, 3600),
)
ENRICHMENT_OLDEST = ReadGauge(
    "fox_enrichment_oldest_seconds",
    "Age of the oldest request for a text that waits or is in progress; 0: there is none. Every worker "
    "of texts reports all of them.",
)
AI_COST = Counter(
    "fox_ai_cost_total", "US dollars spent, by the configured prices.", ("model", "kind")
)
AI_IMPORT_COST = Gauge(
    "fox_ai_import_cost_dollars",
    "US dollars spent or reserved for the texts of an import: of the ten that cost most. Every worker of "
    "texts reports all of them.",
    ("import",),
)
AI_BREAKER = ReadGauge(
    "fox_ai_breaker_open",
    "1 while the model is not called, by call or by batch: it fails, its quota is used up, or its key "
    "is refused. Page.",
)
AI_BUDGET_USED = ReadGauge(
    "fox_ai_budget_used_ratio",
    "Share of a budget that is spent or reserved. Every worker of texts reports all of it. No series: "
    "no limit is set.",
    ("period",),
)

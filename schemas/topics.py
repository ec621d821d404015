"""The topics, as data.

Names are without the prefix (`FOX_TOPIC_PREFIX`, by default `fox.`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class Topic:
    """A topic that foxstream owns.

    `record` names the Avro schema of the values (schemas/avro), None where values are bytes of
    another topic, or a table's. `retention_ms` is None for a compacted topic, `max_message_bytes` where the
    broker's own limit holds.
    """

    name: str
    record: str | None
    key: str
    partitions: int
    cleanup: Literal["delete", "compact"] = "delete"
    retention_ms: int | None = 7 * DAY_MS
    max_message_bytes: int | None = None

    def configuration(self) -> Iterator[tuple[str, str]]:
        """Topic settings in Kafka's own names."""
        # An upstream's old CreateTime would let retention delete what nobody has read yet.
        yield "message.timestamp.type", "LogAppendTime"
        yield "cleanup.policy", self.cleanup
        if self.retention_ms is not None:
            yield "retention.ms", str(self.retention_ms)
        if self.max_message_bytes is not None:
            yield "max.message.bytes", str(self.max_message_bytes)
        if self.cleanup == "compact":
            yield "min.cleanable.dirty.ratio", "0.1"


ROW_PARTITIONS = 4

REJECT_MAX_BYTES = 2 * 1024 * 1024
"""A record as large as a broker takes by default (1 MiB), and all that is to be said of it."""

ROWS_ENTREPRISE = Topic("rows.entreprise", "entreprise_row", "siren", ROW_PARTITIONS)
ROWS_VILLE = Topic("rows.ville", "ville_row", "slug of the city", ROW_PARTITIONS)
ROWS_CATEGORIE = Topic(
    "rows.categorie", "categorie_row", "slugify(name of the category)", ROW_PARTITIONS
)
ROWS_SOUS_CATEGORIE = Topic(
    # As the categories, so that a sub-category lies in the partition of its category.
    "rows.sous-categorie",
    "sous_categorie_row",
    "slugify(name of the category)",
    ROW_PARTITIONS,
)
ROWS_DEPARTEMENT = Topic("rows.departement", "departement_row", "code", ROW_PARTITIONS)


def file_rows(topic: Topic) -> Topic:
    """The topic of the same rows from files.

    Upstream systems may not write it, and it alone has rows that belong to an import
    (docs/decisions/0011-topics-of-files.md).
    """
    return replace(topic, name=f"file-{topic.name}")


CATEGORIES = Topic(
    # The changelog of a table of the workers (processors/rows/parking/category_table.py), beside the rows that use it.
    "categories", None, "slugify(name of the category)", ROW_PARTITIONS, "compact", None
)  # fmt: skip
REFERENCE_NAF = Topic("reference.naf", "naf_reference", "NAF code", 1, "compact", None)
REJECTS = Topic(
    "rejects",
    None,
    "import id, or the source topic where there is none",
    ROW_PARTITIONS,
    retention_ms=90 * DAY_MS,
    max_message_bytes=REJECT_MAX_BYTES,
)
DROPPED_VALUES = replace(REJECTS, name="dropped-values")
"""Rows that are written without some of their values: keyed and kept like rejects."""
IMPORT_EVENTS = Topic("imports.events", "import_event", "import id", 4)
IMPORT_LOG = Topic("imports.log", "import_state", "import id", 4, "compact", None)

ENRICHMENT = Topic("enrichment", "enrichment_request", "entity", 4)
ENRICHMENT_RESULTS = Topic(
    "enrichment.results", "enrichment_result", "hash of the prompt", 4, "compact", None
)

UPSTREAM_ROWS = (
    ROWS_ENTREPRISE,
    ROWS_VILLE,
    ROWS_CATEGORIE,
    ROWS_SOUS_CATEGORIE,
    ROWS_DEPARTEMENT,
)

ROWS = (*UPSTREAM_ROWS, *map(file_rows, UPSTREAM_ROWS))

CO_PARTITIONED = (*ROWS, CATEGORIES)
"""The row topics and what lies beside them: one number of partitions for all."""

STATS = Topic("stats", "stats", "subject", 1, "compact", None)

GATEWAY_TOKENS = Topic("gateway.tokens", "gateway_token", "token id", 1, "compact", None)
GATEWAY_SESSIONS = Topic("gateway.sessions", "gateway_session", "session id", 1, "compact", None)
GATEWAY_MAPPINGS = Topic("gateway.mappings", "gateway_mapping", "mapping id", 1, "compact", None)
GATEWAY_AUDIT = Topic("gateway.audit", "gateway_audit", "account", 1, retention_ms=90 * DAY_MS)

TOPICS = (
    *CO_PARTITIONED,
    REFERENCE_NAF,
    REJECTS,
    DROPPED_VALUES,
    IMPORT_EVENTS,
    IMPORT_LOG,
    STATS,
    GATEWAY_TOKENS,
    GATEWAY_SESSIONS,
    GATEWAY_MAPPINGS,
    GATEWAY_AUDIT,
    ENRICHMENT,
    ENRICHMENT_RESULTS,
)

FROM_TABLES = (CATEGORIES, REFERENCE_NAF, IMPORT_LOG, STATS, ENRICHMENT_RESULTS)
"""Compacted topics whose records are made of tables in PostgreSQL."""

MIRRORED = tuple(
    topic for topic in TOPICS if topic.cleanup == "compact" and topic not in FROM_TABLES
)
"""Compacted topics whose records exist nowhere else: workers mirror them in PostgreSQL."""

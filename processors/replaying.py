"""Rejects of upstream systems, for a person: what they are, sent again as they were, or given up.

Rejects of an import's lines are its operator's: `foxstream errors` and `foxstream retry`. Sent again
here they would be dropped, since their numbers are settled.
"""

import json
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import psycopg
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from psycopg.rows import class_row

from processors.cluster import TIMEOUT_SECONDS, unreachable
from processors.database.queries import load
from processors.errors import ConfigurationError, UnreachableError, WorkerError
from processors.settings import Settings
from schemas.codec import DecodeError, Decoder, SchemaSource
from schemas.topics import TOPICS

_SQL = load("processors", "replaying.sql")

MOST_ATTEMPTS = 3
"""A record that was rejected so often comes back for ever: somebody has to say so to go on."""

ATTEMPT = "ingest.attempt"
REJECT_ID = "ingest.reject_id"

# A record of the size that a broker takes, and its headers; the topic itself has the last word.
_MESSAGE_BYTES = 2 * 1024 * 1024


class RefusedReplayError(WorkerError):
    """A reject that is not to be sent again, or given up, like this; the message says why."""

    exit_code = 4


@dataclass(frozen=True)
class Stored:
    """A reject as PostgreSQL keeps it (processors/database/migrations)."""

    id: UUID
    topic: str
    partition: int
    offset: int
    appended_at: datetime
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str]]
    import_id: UUID | None
    line: int | None
    sheet: str | None
    faults: list[dict[str, str | None]]
    rejected_at: datetime
    replayed_at: datetime | None
    discarded_at: datetime | None
    discarded_by: str | None
    discarded_why: str | None

    @cached_property
    def own_headers(self) -> list[tuple[str, bytes]]:
        """The headers that its sender gave it."""
        return [(name, b64decode(value)) for name, value in self.headers]

    @property
    def attempt(self) -> int:
        """How often this record has been rejected, by the header that a replay gives it."""
        told = dict(self.own_headers).get(ATTEMPT, b"1")
        return int(told) if told.isdigit() and len(told) < 6 else 1

    @property
    def predecessor(self) -> str | None:
        """Id of the reject that was sent again as this one."""
        told = dict(self.own_headers).get(REJECT_ID)
        return told.decode(errors="replace") if told else None

    def document(self) -> dict[str, Any]:
        """For JSON, without the value: `show` decodes that."""
        return {
            "id": str(self.id),
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "key": self.key and self.key.decode(errors="replace"),
            "import_id": self.import_id and str(self.import_id),
            "line": self.line,
            "faults": self.faults,
            "attempt": self.attempt,
            "predecessor": self.predecessor,
            **{
                name: moment and moment.isoformat()
                for name, moment in (
                    ("appended_at", self.appended_at),
                    ("rejected_at", self.rejected_at),
                    ("replayed_at", self.replayed_at),
                    ("discarded_at", self.discarded_at),
                )
            },
            "discarded_by": self.discarded_by,
            "discarded_why": self.discarded_why,
        }


@dataclass(frozen=True)
class Wanted:
    """Which rejects; None: any. Only open ones of upstream systems, unless an import is named."""

    topic: str | None = None
    code: str | None = None
    import_id: UUID | None = None
    since: datetime | None = None
    limit: int = 50


def listed(settings: Settings, wanted: Wanted) -> list[Stored]:
    """The newest first."""
    with _connect(settings) as connection:
        return _find(connection, wanted)


def one(settings: Settings, reject_id: UUID) -> Stored:
    """Raises RefusedReplayError where there is none."""
    with _connect(settings) as connection:
        found = _query(connection, "listed", {**_ANY, "id": reject_id})
    if not found:
        raise RefusedReplayError(f"there is no reject {reject_id}")
    return found[0]


def decoded(reject: Stored, prefix: str, schemas: SchemaSource) -> Any:
    """The value as a record, None where it is none of its topic's."""
    record = next((t.record for t in TOPICS if prefix + t.name == reject.topic), None)
    if record is None:
        return None
    try:
        return Decoder(record, schemas).decode(reject.value)
    except DecodeError:
        return None


def replay(settings: Settings, ids: Iterable[UUID], *, force: bool) -> list[Stored]:
    """Sends rejects to their topics again, key and value byte for byte; returns those sent.

    Their headers are those of the sender, `ingest.attempt` and `ingest.reject_id`. Noted when Kafka
    has acknowledged all: who is interrupted in between sends them again, which the stale-write guard
    makes harmless. Raises RefusedReplayError, with nothing sent, where one of them must not be.
    """
    with _connect(settings) as connection:
        rejects = _query(connection, "locked", {"ids": list(ids)})
        for reject in rejects:
            _check(reject)
            if reject.attempt >= MOST_ATTEMPTS and not force:
                raise RefusedReplayError(
                    f"{reject.id} was rejected {reject.attempt} times: mend what sends it, or --force"
                )
        _send(settings.kafka_bootstrap, rejects)
        connection.execute(_SQL["replayed"], {"ids": [reject.id for reject in rejects]})
    return rejects


def discard(settings: Settings, ids: Iterable[UUID], *, by: str, why: str) -> list[Stored]:
    """Notes that nobody will send these again. The bytes stay until the retention ends."""
    with _connect(settings) as connection:
        rejects = _query(connection, "locked", {"ids": list(ids)})
        for reject in rejects:
            _check(reject)
        told = {"ids": [reject.id for reject in rejects], "by": by, "why": why}
        connection.execute(_SQL["discarded"], told)
    return rejects


def _check(reject: Stored) -> None:
    if reject.import_id is not None:
        raise RefusedReplayError(
            f"{reject.id} is a line of an import: foxstream retry {reject.import_id}"
        )
    if reject.replayed_at is not None:
        raise RefusedReplayError(f"{reject.id} was sent again at {reject.replayed_at:%F %T}")
    if reject.discarded_at is not None:
        raise RefusedReplayError(f"{reject.id} was discarded at {reject.discarded_at:%F %T}")


def _send(bootstrap: str, rejects: Sequence[Stored]) -> None:
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 0,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "message.max.bytes": _MESSAGE_BYTES,
            "delivery.timeout.ms": int(3 * TIMEOUT_SECONDS * 1000),
        }
    )
    try:
        for reject in rejects:
            headers = [
                *(h for h in reject.own_headers if h[0] not in (ATTEMPT, REJECT_ID)),
                (ATTEMPT, str(reject.attempt + 1).encode()),
                (REJECT_ID, str(reject.id).encode()),
            ]
            producer.produce(
                reject.topic, reject.value, reject.key, headers=headers, on_delivery=delivered
            )
            producer.poll(0)
    except BufferError as error:
        raise RefusedReplayError("too many at once: name fewer, or --limit") from error
    except KafkaException as error:
        raise unreachable(bootstrap, error) from error
    left = producer.flush(4 * TIMEOUT_SECONDS)
    if left or failures:
        reason = failures[0].str() if failures else "no answer"
        raise UnreachableError(f"Kafka did not take all of them ({reason}): send them again")


_ANY: Mapping[str, Any] = {
    **dict.fromkeys(("id", "topic", "code", "since", "import")),
    "open": False,
    "limit": 1,
}


def _find(connection: psycopg.Connection, wanted: Wanted) -> list[Stored]:
    return _query(
        connection,
        "listed",
        {
            **_ANY,
            "open": True,
            "topic": wanted.topic,
            "code": wanted.code,
            "import": wanted.import_id,
            "since": wanted.since,
            "limit": wanted.limit,
        },
    )


def _query(connection: psycopg.Connection, name: str, values: Mapping[str, Any]) -> list[Stored]:
    with connection.cursor(row_factory=class_row(Stored)) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()


def _connect(settings: Settings) -> psycopg.Connection:
    try:
        return psycopg.connect(settings.database_url.get_secret_value(), connect_timeout=5)
    except psycopg.OperationalError as error:
        raise UnreachableError(f"PostgreSQL cannot be reached: {error}") from error


def identifiers(texts: Sequence[str]) -> list[UUID]:
    """Raises ConfigurationError for what is no id of a reject."""
    try:
        return [UUID(text) for text in texts]
    except ValueError as error:
        raise ConfigurationError(f"no id of a reject: {error}") from error


def told(reject: Stored) -> str:
    """One line of a list."""
    codes = json.dumps([fault["code"] for fault in reject.faults])
    key = (reject.key or b"").decode(errors="replace")
    return (
        f"{reject.rejected_at:%Y-%m-%d %H:%M:%S}  {reject.id}  {reject.topic}[{reject.partition}]"
        f"@{reject.offset}  attempt {reject.attempt}  {codes}  {key!r}"
    )

"""Rejects of upstream systems for operators: lists, shows, sends again, discards.

For rejects of an import's lines there are `foxstream errors` and `foxstream retry`. If they were sent
again here they would be dropped as replays.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any
from uuid import UUID

import psycopg
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from psycopg.rows import class_row

from processors.database.connection import connect
from processors.database.queries import load
from processors.errors import ConfigurationError, UnreachableError, WorkerError
from processors.kafka.broker_topics import TIMEOUT_SECONDS, configuration
from processors.kafka.records.append_time import APPENDED_AT, appended_ms
from processors.settings import Settings
from schemas.codec.avro_reader import EPOCH
from schemas.codec.framing import DecodeError, Decoder, SchemaSource
from schemas.runtime.registry import RegistryUnavailableError
from schemas.topics import TOPICS
from schemas.values.stored import headers_of

_SQL = load("processors.operator", "upstream_rejects.sql")

MOST_ATTEMPTS = 3
"""A record that was rejected so often will be rejected again: --force is required to go on."""

PORTION = 100
"""Rejects that are sent and marked at once: a record may have a mebibyte."""

Pause = Callable[[float], object]
"""Waits for so many seconds."""

ATTEMPT = "ingest.attempt"
REJECT_ID = "ingest.reject_id"

# The largest record that a broker accepts, and its headers; the limit of the topic applies as well.
_MESSAGE_BYTES = 2 * 1024 * 1024


class RefusedReplayError(WorkerError):
    """A reject that must not be sent again or discarded in this way; the message says why."""

    exit_code = 4


@dataclass(frozen=True)
class StoredReject:
    """A row of the statements `listed`, `chosen` and `locked`; lists leave `value` out."""

    id: UUID
    topic: str
    partition: int
    offset: int
    appended_at: datetime
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | None]]
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
    def own_headers(self) -> list[tuple[str, bytes | None]]:
        """The headers that its sender gave it."""
        return headers_of(self.headers)

    @property
    def attempt(self) -> int:
        """How often this record has been rejected, by the header that a replay gives it."""
        attempt = dict(self.own_headers).get(ATTEMPT) or b"1"
        return int(attempt) if attempt.isdigit() and len(attempt) < 6 else 1

    @property
    def predecessor(self) -> str | None:
        """Id of the reject that was sent again as this one."""
        reject_id = dict(self.own_headers).get(REJECT_ID)
        return readable(reject_id) if reject_id else None

    def document(self) -> dict[str, Any]:
        """For JSON, without the value: `show` decodes that."""
        return {
            "id": str(self.id),
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "key": self.key and readable(self.key),
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
    """A filter of rejects; None: any. Only open ones of upstream systems, unless an import is given."""

    topic: str | None = None
    code: str | None = None
    import_id: UUID | None = None
    since: datetime | None = None
    limit: int = 50


def listed(settings: Settings, wanted: Wanted) -> list[StoredReject]:
    """The newest first."""
    with _connect(settings) as connection:
        return _find(connection, wanted)


def one(settings: Settings, reject_id: UUID) -> StoredReject:
    """Raises RefusedReplayError if the reject does not exist."""
    with _connect(settings) as connection:
        found = _query(connection, "listed", {**_ANY, "id": reject_id})
    if not found:
        raise RefusedReplayError(f"there is no reject {reject_id}")
    return found[0]


def decoded(reject: StoredReject, prefix: str, schemas: SchemaSource) -> Any:
    """The value as a record; None if it is not readable, or if the registry does not respond."""
    record = next((t.record for t in TOPICS if prefix + t.name == reject.topic), None)
    if record is None:
        return None
    try:
        return Decoder(record, schemas).decode(reject.value)
    except (DecodeError, RegistryUnavailableError):
        return None


def replay(
    settings: Settings, ids: Sequence[UUID], *, force: bool, rate: int, pause: Pause
) -> list[UUID]:
    """Sends rejects to their topics again, key and value byte for byte; the ids of those sent.

    In the order of their offsets, at most `rate` a second. Their headers are those of the sender,
    `ingest.attempt`, `ingest.reject_id`, and `ingest.appended_at`, so that a row without
    `observed_at` keeps its age. Each reject is marked after Kafka has acknowledged it: one whose
    mark is lost may be sent twice, which the stale-write guard makes harmless, and none is lost.
    Raises RefusedReplayError, with nothing sent, if one of them must not be sent.
    """
    sent: list[UUID] = []
    with _connect(settings) as connection:
        rejects = _query(connection, "chosen", {"ids": ids})
        _check(ids, rejects)
        _check_attempts(rejects, force=force)
        producer = _producer(settings)
        for start in range(0, len(rejects), PORTION):
            if start:
                pause(PORTION / rate)
            portion = [reject.id for reject in rejects[start : start + PORTION]]
            with connection.transaction():
                locked = _query(connection, "locked", {"ids": portion})
                _check(portion, locked)
                failures = _send(producer, locked)
                done = [reject.id for reject in locked if reject.id not in failures]
                connection.execute(_SQL["replayed"], {"ids": done})
            sent += done
            for failed, error in failures.items():
                raise _failed(failed, error, len(sent))
    return sent


def discard(settings: Settings, ids: Sequence[UUID], *, by: str, why: str) -> None:
    """Marks rejects as discarded. The bytes stay until the retention ends.

    Raises RefusedReplayError, with nothing marked, if one of them must not be discarded.
    """
    with _connect(settings) as connection, connection.transaction():
        _check(ids, _query(connection, "locked", {"ids": ids}))
        connection.execute(_SQL["discarded"], {"ids": ids, "by": by, "why": why})


def _check(ids: Sequence[UUID], rejects: Sequence[StoredReject]) -> None:
    for missing in set(ids) - {reject.id for reject in rejects}:
        raise RefusedReplayError(f"there is no reject {missing}")
    for reject in rejects:
        if reject.import_id is not None:
            raise RefusedReplayError(
                f"{reject.id} is a line of an import: foxstream retry {reject.import_id}"
            )
        if reject.replayed_at is not None:
            raise RefusedReplayError(f"{reject.id} was sent again at {reject.replayed_at:%F %T}")
        if reject.discarded_at is not None:
            raise RefusedReplayError(f"{reject.id} was discarded at {reject.discarded_at:%F %T}")


def _check_attempts(rejects: Iterable[StoredReject], *, force: bool) -> None:
    for reject in rejects:
        if reject.attempt >= MOST_ATTEMPTS and not force:
            raise RefusedReplayError(
                f"{reject.id} was rejected {reject.attempt} times: fix what sends it, or --force"
            )


def _producer(settings: Settings) -> Producer:
    return Producer(
        {
            **configuration(settings),
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "message.max.bytes": _MESSAGE_BYTES,
            "delivery.timeout.ms": int(3 * TIMEOUT_SECONDS * 1000),
            # The topic exists, or is gone for good: librdkafka would wait for it for 30 s.
            "topic.metadata.propagation.max.ms": 1000,
        }
    )


def _send(producer: Producer, rejects: Sequence[StoredReject]) -> dict[UUID, KafkaError]:
    """The rejects that Kafka has not acknowledged, and why."""
    failures = {reject.id: KafkaError(KafkaError._MSG_TIMED_OUT, "no answer") for reject in rejects}

    def delivered(error: KafkaError | None, _: Message, reject_id: UUID) -> None:
        if error is None:
            del failures[reject_id]
        else:
            failures[reject_id] = error

    for reject in rejects:
        try:
            producer.produce(
                reject.topic,
                reject.value,
                reject.key,
                headers=_headers(reject),
                on_delivery=partial(delivered, reject_id=reject.id),
            )
        except KafkaException as error:
            failures[reject.id] = error.args[0]
    producer.flush(4 * TIMEOUT_SECONDS)
    return failures


def _headers(reject: StoredReject) -> list[tuple[str, str | bytes | None]]:
    appended = (reject.appended_at - EPOCH) // timedelta(milliseconds=1)
    first = EPOCH + timedelta(milliseconds=appended_ms(reject.own_headers, appended))
    ours = {
        ATTEMPT: str(reject.attempt + 1),
        REJECT_ID: str(reject.id),
        APPENDED_AT: first.isoformat(timespec="milliseconds"),
    }
    return [
        *((name, value) for name, value in reject.own_headers if name not in ours),
        *((name, text.encode()) for name, text in ours.items()),
    ]


def _failed(reject_id: UUID, error: KafkaError, sent: int) -> WorkerError:
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return RefusedReplayError(
            f"{reject_id} is with its new headers larger than its topic takes: its sender has to "
            f"send it again ({sent} others sent)"
        )
    return UnreachableError(
        f"Kafka has not acknowledged {reject_id}: {error.str()} ({sent} others sent); again, please"
    )


_ANY: Mapping[str, Any] = {
    **dict.fromkeys(("id", "topic", "code", "since", "import")),
    "open": False,
    "limit": 1,
}


def _find(connection: psycopg.Connection, wanted: Wanted) -> list[StoredReject]:
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


def _query(
    connection: psycopg.Connection, name: str, values: Mapping[str, Any]
) -> list[StoredReject]:
    with connection.cursor(row_factory=class_row(StoredReject)) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()


def _connect(settings: Settings) -> AbstractContextManager[psycopg.Connection]:
    return connect(settings.database_url.get_secret_value(), autocommit=True)


def identifiers(texts: Sequence[str]) -> list[UUID]:
    """Each once. Raises ConfigurationError for what is no id of a reject."""
    try:
        return list(dict.fromkeys(UUID(text) for text in texts))
    except ValueError as error:
        raise ConfigurationError(f"no id of a reject: {error}") from error


def readable(value: bytes) -> str:
    """Bytes that most often are text; those that are not stay distinguishable."""
    return value.decode(errors="backslashreplace")


def line(reject: StoredReject) -> str:
    """One line of a list."""
    codes = json.dumps([fault["code"] for fault in reject.faults])
    key = readable(reject.key or b"")
    return (
        f"{reject.rejected_at:%Y-%m-%d %H:%M:%S}  {reject.id}  {reject.topic}[{reject.partition}]"
        f"@{reject.offset}  attempt {reject.attempt}  {codes}  {key!r}"
    )

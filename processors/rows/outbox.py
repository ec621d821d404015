"""Publishes after a commit: rejects and dropped values on their topics, progress as a hint.

Rejects stay in PostgreSQL until Kafka has acknowledged them, so a worker that dies in between
leaves them to its successor. One may then be published twice, under the same `ingest.reject_id`.
Progress events are not stored: they make the tracker read PostgreSQL sooner.

A reject that was resolved leaves the reports by a marker on the same topic: the key of the reject,
no value, and its id in the header `ingest.settles`. All of this holds for rows that lack some of their
values as well, on a topic and under an id (`ingest.dropped_id`) of their own.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, LiteralString, NamedTuple, TypedDict
from uuid import UUID

import structlog
from aiokafka.errors import MessageSizeTooLargeError
from faust.types import TP
from psycopg.rows import kwargs_row

from processors.database.pool import Pool, connected, transaction
from processors.database.queries import load, of_dropped_values
from processors.kafka.producer import Send
from processors.rows.accounting import progress, resolution
from processors.rows.accounting.sqlstate import is_transient
from processors.rows.accounting.written import Written
from schemas.codec.framing import NAMESPACE, Encoder
from schemas.topics import DROPPED_VALUES, IMPORT_EVENTS, REJECTS, Topic
from schemas.values.stored import headers_of

log = structlog.get_logger(__name__)

_SQL = load("processors.rows", "outbox.sql")


class Stored(NamedTuple):
    """What is stored in a table until it is on its topic."""

    topic: Topic
    sql: Mapping[str, LiteralString]


REJECTED = Stored(REJECTS, _SQL)
DROPPED = Stored(DROPPED_VALUES, {name: of_dropped_values(sql) for name, sql in _SQL.items()})

PAUSE_SECONDS = 0.25
"""Longest pause after publishing: what is committed meanwhile is published together."""

SHARE = 0.1
"""The largest share of its time spent on publishing: a short publication has a short pause."""

SWEEP_SECONDS = 2.0
"""Interval of searching for rejects that an earlier worker left unpublished."""


class UnpublishedReject(TypedDict):
    """A row of the statement `unpublished`. Values of `headers` are base64, or None."""

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


class Outbox:
    """Publishes for the partitions assigned to this worker."""

    def __init__(
        self,
        pool: Pool,
        send: Send,
        events: Encoder,
        prefix: str,
        assignment: Callable[[], Iterable[TP]],
    ) -> None:
        self._pool = pool
        self._send = send
        self._events = events
        self._prefix = prefix
        self._assignment = assignment
        self._progress: dict[tuple[str, str, int], Mapping[str, Any]] = {}
        self._pending = asyncio.Event()

    def add(self, partition: int, written: Written) -> None:
        """Adds the result of a commit; the newest progress of an import replaces the one before."""
        for moved in written.progress:
            self._progress[moved.import_id, written.topic, partition] = {
                "topic": written.topic,
                "partition": partition,
                "revision": moved.revision,
                "watermark": moved.watermark,
                "accounted": moved.accounted,
            }
        if written.progress or written.rejects:
            self._pending.set()

    async def run(self) -> None:
        """Publishes until it is cancelled. A failure is logged and tried again with the next sweep."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._pending.wait()
            except TimeoutError:
                pass
            self._pending.clear()
            began = loop.time()
            try:
                await self._publish_progress()
                await self._resolve_late()
                for stored in (REJECTED, DROPPED):
                    while await self._publish_rejects(stored) or await self._publish_resolved(
                        stored
                    ):
                        pass
            except Exception as error:  # must not take the writing of rows with it
                if is_transient(error):
                    log.warning("publishing is late", action="outbox_late", reason=repr(error))
                else:
                    log.exception("publishing failed", action="outbox_failed")
            took = loop.time() - began
            await asyncio.sleep(min(PAUSE_SECONDS, took / SHARE - took))

    async def _publish_progress(self) -> None:
        progress_events, self._progress = self._progress, {}
        for (import_id, _, _), body in progress_events.items():
            await self._publish_event(import_id, "Progress", body)

    async def _publish_rejects(self, stored: Stored = REJECTED) -> bool:
        """Publishes some rejects; returns whether there were any.

        Those that Kafka has count as published, also if others failed.
        """
        assigned = list(self._assignment())
        async with connected(self._pool) as connection:
            cursor = connection.cursor(row_factory=kwargs_row(UnpublishedReject))
            await cursor.execute(
                stored.sql["unpublished"],
                {
                    "topics": [tp.topic for tp in assigned],
                    "partitions": [tp.partition for tp in assigned],
                },
            )
            rejects = await cursor.fetchall()
        if not rejects:
            return False
        publish = partial(self._publish_reject, stored.topic)
        results = await asyncio.gather(*map(publish, rejects), return_exceptions=True)
        failures = [result for result in results if result is not None]
        sent = [row["id"] for row, failure in zip(rejects, results, strict=True) if failure is None]
        async with connected(self._pool) as connection:
            await connection.execute(stored.sql["published"], {"ids": sent})
        if failures:
            raise failures[0]
        return True

    async def _resolve_late(self) -> None:
        async with transaction(self._pool) as connection:
            for topic, moves in (await resolution.resolve_late(connection)).items():
                await progress.add(connection, TP(topic, 0), {}, {}, moves)

    async def _publish_resolved(self, stored: Stored = REJECTED) -> bool:
        """Publishes markers of some resolved rejects, and events for both imports.

        Returns whether there were any.
        """
        assigned = list(self._assignment())
        async with connected(self._pool) as connection:
            cursor = await connection.execute(
                stored.sql["resolved"],
                {
                    "topics": [tp.topic for tp in assigned],
                    "partitions": [tp.partition for tp in assigned],
                },
            )
            resolved: list[tuple[UUID, UUID, UUID]] = await cursor.fetchall()
        if not resolved:
            return False
        await asyncio.gather(
            *(
                self._send(
                    self._prefix + stored.topic.name,
                    str(import_id).encode(),
                    None,
                    [("ingest.settles", str(reject_id).encode())],
                )
                for reject_id, import_id, _ in resolved
            )
        )
        by_import = Counter(import_id for _, *both in resolved for import_id in both)
        for import_id, rejects in by_import.items():
            await self._publish_event(str(import_id), "Settled", {"rejects": rejects})
        # Last: a worker that dies before it leaves all of this to its successor.
        async with connected(self._pool) as connection:
            await connection.execute(
                stored.sql["markers_published"], {"ids": [reject_id for reject_id, *_ in resolved]}
            )
        return True

    async def _publish_event(self, import_id: str, name: str, body: Mapping[str, Any]) -> None:
        event = {
            "import_id": import_id,
            "at": datetime.now(UTC),
            "event": (f"{NAMESPACE}.{name}", body),
        }
        value = self._events.encode(event)
        await self._send(self._prefix + IMPORT_EVENTS.name, import_id.encode(), value, [])

    async def _publish_reject(self, to: Topic, row: UnpublishedReject) -> None:
        own = list(headers(row) if to is REJECTS else dropped_headers(row))
        topic, key = self._prefix + to.name, _key(row)
        try:
            await self._send(topic, key, row["value"], own)
        except MessageSizeTooLargeError:
            # From a topic with larger records than this one accepts. The others must not wait for it.
            log.warning("reject without its value", action="reject_too_large", id=str(row["id"]))
            size = str(len(row["value"] or b"")).encode()
            await self._send(topic, key, None, [*own, ("ingest.value_in_postgresql", size)])


def _key(row: UnpublishedReject) -> bytes:
    return str(row["import_id"] or row["topic"]).encode()


def headers(row: UnpublishedReject) -> Iterable[tuple[str, bytes | None]]:
    """Headers of a reject: the record's own, then why it was rejected.

    With the names of Kafka Connect's dead letter queue (DeadLetterQueueReporter) if it has one, so
    that its tools work; others are our own. Only `ingest.errors` contains values of the row.
    """
    faults = row["faults"]
    reasons: dict[str, object] = {
        "__connect.errors.topic": row["topic"],
        "__connect.errors.partition": row["partition"],
        "__connect.errors.offset": row["offset"],
        "__connect.errors.connector.name": "foxstream",
        "__connect.errors.stage": "VALUE_CONVERTER" if row["import_id"] is None else "TASK_PUT",
        "__connect.errors.exception.class.name": faults[0]["code"],
        "__connect.errors.exception.message": faults[0]["message"],
        "ingest.reject_id": row["id"],
        "ingest.errors": json.dumps(faults, ensure_ascii=False),
    }
    return _headers(row, reasons)


def dropped_headers(row: UnpublishedReject) -> Iterable[tuple[str, bytes | None]]:
    """Headers of a row that lacks some of its values: the record's own, then these values. It is not a
    dead letter, and has none of Kafka Connect's headers."""
    reasons: dict[str, object] = {
        "ingest.topic": row["topic"],
        "ingest.partition": row["partition"],
        "ingest.offset": row["offset"],
        "ingest.dropped_id": row["id"],
        "ingest.dropped": json.dumps(row["faults"], ensure_ascii=False),
    }
    return _headers(row, reasons)


def _headers(
    row: UnpublishedReject, reasons: Mapping[str, object]
) -> Iterable[tuple[str, bytes | None]]:
    for name, value in headers_of(row["headers"]):
        if name in _REPLAYED or not name.startswith(("ingest.", "__connect.")):
            yield name, value
    lineage = {"import_id": row["import_id"], "line": row["line"], "sheet": row["sheet"]}
    ours = {f"ingest.{name}": part for name, part in lineage.items() if part is not None}
    appended_at = {"ingest.appended_at": row["appended_at"].isoformat()}
    for name, text in {**reasons, **appended_at, **ours}.items():
        yield name, str(text).encode()
    key = row["key"]
    if key is not None and len(key) <= LONGEST_KEY:
        yield "ingest.key", key
    elif key is not None:
        yield "ingest.key_in_postgresql", str(len(key)).encode()


LONGEST_KEY = 64 << 10
"""Bytes of a record's key that are published. With as many of its headers a reject without its value
fits any topic."""

_REPLAYED = ("ingest.attempt", "ingest.reject_id")
"""Headers with our names that a record may bring along, because an operator sent it again. Our own headers
follow, and the last one counts. Any other would let a sender speak for us."""

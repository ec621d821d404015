"""The tracker: events of imports to their states, in PostgreSQL and on the compacted log topic.

The only writer of `imports.log` and of the site's core_importlog. An import belongs to the worker
to which its partition of `imports.events` is assigned. Events and their position share a
transaction, as rows do; the outcomes of rows are summed up from ingest.progress, which the row
writers update.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import psycopg
import structlog
from faust.types import TP
from psycopg.types.json import Jsonb

from processors import metrics
from processors.database.pool import Connection, Pool, connected, transaction
from processors.database.queries import load
from processors.database.site_tables import UnfilledColumnError
from processors.imports.facts import ImportFacts, read_facts
from processors.imports.state import SITE_STATUS, state_of
from processors.kafka.batch import Batch
from processors.kafka.consumer import BatchConsumer
from processors.kafka.records.record_values import decode_records
from processors.kafka.schema_lookups import looked_up
from processors.rows.accounting import positions, rejects
from processors.rows.accounting.sqlstate import is_transient
from processors.rows.batch_loop import process_batch
from processors.rows.derived import text_requests
from processors.rows.model import Reject
from schemas.codec.framing import NAMESPACE, DecodeError, Decoder, Encoder, Record
from schemas.faults import Fault
from schemas.import_types import IMPORT_TYPES
from schemas.outcomes import AI_COUNTS, OUTCOMES, TERMINAL
from schemas.records import ImportState
from schemas.values.stored import with_texts, without_nul

log = structlog.get_logger(__name__)

_SQL = load("processors.imports", "tracker.sql")

SWEEP_SECONDS = 0.5
"""Interval of updating unfinished imports without an event."""

QUIET = timedelta(seconds=1)
"""A state is published at most this often, unless its status changes."""


Publish = Callable[[bytes, bytes | None], Awaitable[int]]
"""Sends a state, or a tombstone, under the id of its import; the offset that it got."""


class Tracker:
    """Follows the imports of the partitions that `assignment` returns.

    `topics` are the names of the row topics, of files and of upstream systems, by import type. After a cancel, a reader that reports
    nothing for `reader_gone_seconds` is considered dead.
    """

    def __init__(
        self,
        decoder: Decoder,
        encoder: Encoder,
        pool: Pool,
        publish: Publish,
        assignment: Callable[[], Iterable[TP]],
        topics: Mapping[str, tuple[str, str]],
        reader_gone_seconds: float,
    ) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._pool = pool
        self._publish = publish
        self._assignment = assignment
        self._parameters = {
            "topics": Jsonb(topics),
            "reader_gone": timedelta(seconds=reader_gone_seconds),
        }
        # The last published states of unfinished imports, with the partition of their events.
        self._last_published: dict[str, tuple[int, ImportState]] = {}
        # Versions that were sent but not confirmed in PostgreSQL: they may follow later ones on the log.
        self._unconfirmed: dict[str, int] = {}
        self._touched: set[UUID] = set()
        self._wake = asyncio.Event()
        for import_type, status in product(
            topics, TERMINAL
        ):  # from 0, so that the first one counts
            metrics.IMPORTS_FINISHED.labels(import_type, status)
            metrics.IMPORT_SECONDS.labels(import_type, status)

    async def run(self, events: AsyncIterable[Any], consumer: BatchConsumer) -> None:
        """Takes the events of the topic's stream, whose values are batches."""
        async for event in events:
            batch: Batch = event.value
            self._touched.update(*await process_batch(batch, consumer, self._write, self._pool))
            self._wake.set()

    async def follow(self) -> None:
        """Updates and publishes states until it is cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            self._wake.clear()
            touched, self._touched = self._touched, set()
            try:
                if loop.time() >= due:
                    due = loop.time() + SWEEP_SECONDS
                    touched |= await self._unfinished()
                    await self._forget()
                await self._update(touched)
            except Exception as error:  # the next sweep tries again; events go on meanwhile
                if is_transient(error):
                    log.warning("states are late", action="states_late", reason=repr(error))
                    await self._publish_waiting()
                else:
                    log.exception("states are late", action="states_late")

    async def _write(self, batch: Batch) -> set[UUID]:
        """Writes a batch of events; returns the ids of their imports."""
        known = self._decoder.knows(record.value for record in batch.records)
        events, rejected = await (asyncio.to_thread if known else looked_up)(self._decode, batch)
        async with transaction(self._pool) as connection:
            topic_id = await positions.advance(connection, batch)
            for event in events:
                await _apply(connection, batch.partition, event)
            if rejected:
                await rejects.store(connection, topic_id, rejected)
        return {UUID(event["import_id"]) for event in events}

    def _decode(self, batch: Batch) -> tuple[list[Record], list[Reject]]:
        events: list[Record] = []
        rejected: list[Reject] = []
        results = decode_records(self._decoder, batch.records)
        for record, result in zip(batch.records, results, strict=True):
            try:
                if isinstance(result, DecodeError):
                    raise result
                events.append(_checked(result))
            except ValueError as error:  # DecodeError is one
                code = getattr(error, "code", "malformed")
                rejected.append(
                    Reject(record, None, 0, None, None, [Fault(None, code, str(error))])
                )
        return events, rejected

    async def _unfinished(self) -> set[UUID]:
        """Imports of this worker that are unfinished, or whose last published state may be outdated."""
        assigned = self._assigned()
        self._last_published = {
            import_id: last
            for import_id, last in self._last_published.items()
            if last[0] in assigned
        }
        async with connected(self._pool) as connection:
            for import_id, version in list(self._unconfirmed.items()):
                await connection.execute(_SQL["unconfirmed"], {"id": import_id, "version": version})
                del self._unconfirmed[import_id]
            unfinished = await _ids(connection, "unfinished", assigned)
            unpublished = await _ids(connection, "unpublished", assigned)
            released = await _ids(connection, "with_released_rows", assigned)
            changed = await _ids(connection, "recently_changed", assigned)
            changed |= await text_requests.moved(connection, assigned)
        metrics.IMPORTS_UNFINISHED.set(len(unfinished))
        return unfinished | unpublished | released | changed

    def _assigned(self) -> list[int]:
        return sorted({tp.partition for tp in self._assignment()})

    async def _update(self, ids: Iterable[UUID]) -> None:
        """Writes the states that have changed, then publishes those that are not published."""
        unpublished: list[tuple[int, ImportState]] = []
        async with transaction(self._pool) as connection:
            await text_requests.clear_moved(connection, ids)
            for facts in await read_facts(connection, ids, self._parameters):
                state = state_of(facts)
                _, known = self._last_published.get(state["id"], (None, None))
                if _has_changed(facts, state, known):
                    # Versions rise by two. The version in between is for a state that differs only in that it
                    # waits for the database.
                    state["version"] = max(
                        facts["version"] + 2,
                        known["version"] + 1 if known else 0,
                        _milliseconds(facts["now"]),
                    )
                    await _store(connection, state)
                    _count(facts, state)
                if (
                    state["version"] > facts["published_version"]
                    or facts["stray_offset"] > facts["published_offset"]
                ):
                    unpublished.append((facts["partition"], state))
        overtaken = []
        for partition, state in unpublished:
            if not await self._send(partition, state):
                overtaken.append(UUID(state["id"]))
        if overtaken:
            await self._update(overtaken)

    async def _forget(self) -> None:
        """Publishes tombstones of imports that were removed.

        In the task that publishes states, so that a new import of the file follows the tombstone.
        """
        async with connected(self._pool) as connection:
            await connection.execute(_SQL["imported_again"])
            forgotten = sorted(await _ids(connection, "forgotten", self._assigned()))
        if not forgotten:
            return
        offsets = await asyncio.gather(
            *(self._publish(str(import_id).encode(), None) for import_id in forgotten)
        )
        async with connected(self._pool) as connection:
            await connection.execute(
                _SQL["tombstones_published"], {"ids": forgotten, "offsets": offsets}
            )
        log.info("imports are forgotten", action="imports_forgotten", imports=len(forgotten))

    async def _send(self, partition: int, state: ImportState) -> bool:
        """Publishes a state. Returns False if another worker has already published a later one.

        The import is assigned to that worker by now, and its state must be the last on the topic: it
        is published again, also if Kafka or PostgreSQL does not respond, as after a long sleep.
        """
        self._unconfirmed[state["id"]] = state["version"]
        offset = await self._publish(state["id"].encode(), self._encoder.encode(state))
        # Before PostgreSQL is asked: if it does not respond, `_publish_waiting` must replace this state.
        if state["completed_at"] is None:
            self._last_published[state["id"]] = partition, state
        else:
            self._last_published.pop(state["id"], None)
        published = {"id": state["id"], "version": state["version"], "offset": offset}
        async with connected(self._pool) as connection:
            cursor = await connection.execute(_SQL["published"], published)
            newest = await cursor.fetchone()
        del self._unconfirmed[state["id"]]
        return newest is None or bool(newest[0] <= state["version"])

    async def _publish_waiting(self) -> None:
        """Publishes a state of each unfinished import that says that it waits for the database."""
        assigned = self._assigned()
        for import_id, (partition, known) in self._last_published.items():
            if partition not in assigned or known["waiting_for"] == "database":
                continue
            # One below the next version: if that state was committed without this worker's knowledge, it
            # replaces this one.
            state = known.copy()
            state |= {"waiting_for": "database", "version": known["version"] + 1}
            try:
                await self._publish(import_id.encode(), self._encoder.encode(state))
            except Exception:  # Kafka does not respond either
                log.exception("states are late", action="publish_failed")
                return
            self._last_published[import_id] = partition, state


def _milliseconds(at: datetime) -> int:
    """Versions follow the clock, so that they rise even if a restore removed the last ones."""
    return int(at.timestamp() * 1000)


async def _ids(connection: Connection, query: str, partitions: list[int]) -> set[UUID]:
    cursor = await connection.execute(_SQL[query], {"partitions": partitions})
    return {import_id for (import_id,) in await cursor.fetchall()}


def _checked(event: Record) -> Record:
    """The event as PostgreSQL can store it. Raises ValueError if no producer of ours sends it."""
    import_id = UUID(event["import_id"])
    name, body = event["event"]
    if body.get("parent") is not None and UUID(body["parent"]) == import_id:
        raise ValueError("an import is not its own parent")
    import_type = body.get("import_type", "ENTREPRISE")
    if import_type not in IMPORT_TYPES:
        raise ValueError(f"there is no import type {import_type[:40]!r}")
    counts = [
        body.get("total_rows", 0),
        body.get("skipped_rows", 0),
        body.get("left_out_rows", 0),
        *(part["rows"] for part in body.get("left_out", ())),
        body.get("stopped_after") or 0,
        *body.get("warnings_by_code", {}).values(),
    ]
    if not all(0 <= count <= _INT_MAX for count in counts):
        raise ValueError("a count is negative or beyond 32 bits")
    # PostgreSQL's texts and jsonb accept no NUL, and a file's header may have one.
    return {**event, "event": (name, with_texts(body, without_nul))}


_INT_MAX = 2**31 - 1


async def _apply(connection: Connection, partition: int, event: Record) -> None:
    name, body = event["event"]
    values = {**body, "id": event["import_id"], "at": event["at"], "partition": partition}
    match name.removeprefix(f"{NAMESPACE}."):
        case "Submitted":
            values |= {"header": Jsonb(body["header"]), "options": Jsonb(body["options"])}
            await connection.execute(_SQL["submitted"], values)
        case "ReadingFinished":
            values |= {
                name: Jsonb(body[name]) for name in ("warnings_by_code", "left_out", "other_sheets")
            }
            await connection.execute(_SQL["reading_finished"], values)
        case "ReadingFailed":
            values["error"] = Jsonb({"code": body["code"], "message": body["message"]})
            await connection.execute(_SQL["reading_failed"], values)
        case "GenerateAi":
            await text_requests.request_again(connection, event["import_id"])
        case "Cancel" | "Pause" | "Resume" | "Settled" as action:
            await connection.execute(_SQL[action.lower()], values)
        case _:
            pass  # Progress only wakes the tracker: the counters are in PostgreSQL


def _has_changed(facts: ImportFacts, state: ImportState, known: ImportState | None) -> bool:
    """`known` is the last published state; another worker may have published that it waits."""
    if facts["version"] == 0 or state["status"] != facts["status"]:
        return True
    if state["completed_at"] is None and (
        known is None or known["waiting_for"] != state["waiting_for"]
    ):
        return True
    stored: Mapping[str, object] = facts
    computed: Mapping[str, object] = state
    changed = facts["ai_completed"] != state["ai_generation_completed"] or any(
        stored[name] != computed[name]
        for name in (*OUTCOMES, "released", "settles", "dropped_rows", *AI_COUNTS)
    )
    quiet = facts["now"] - facts["changed_at"] >= QUIET
    return changed and (state["completed_at"] is not None or quiet)


async def _store(connection: Connection, state: ImportState) -> None:
    await connection.execute(_SQL["changed"], state)
    parameters = {
        **state,
        "site_status": SITE_STATUS.get(state["status"], state["status"]),
        "site_total": state["total_rows"] or 0,
    }
    try:
        async with connection.transaction():
            await connection.execute(connection.site.complete(_SQL["site"]), parameters)
    except (psycopg.Error, UnfilledColumnError) as error:
        # What the site's own log refuses must not hold up the imports themselves.
        if isinstance(error, psycopg.Error) and (
            is_transient(error) or connection.site.is_violated(error)
        ):
            raise
        log.warning(
            "the site's import log refuses an import", action="site_log_refuses",
            import_id=state["id"], reason=str(error),
        )  # fmt: skip


def _count(facts: ImportFacts, state: ImportState) -> None:
    if state["completed_at"] is not None and facts["completed_at"] is None:
        labels = state["import_type"], state["status"]
        metrics.IMPORTS_FINISHED.labels(*labels).inc()
        # An import that failed as a whole may have no written row.
        metrics.IMPORT_SECONDS.labels(*labels).observe(state["duration"] or 0.0)
        log.info(
            "import ended", action="import_ended", import_id=state["id"], status=state["status"]
        )

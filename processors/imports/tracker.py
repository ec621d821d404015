"""The tracker: events of imports to their states, in PostgreSQL and on the compacted log topic.

The only writer of `imports.log` and of the site's core_importlog. An import belongs to the worker
that holds its partition of `imports.events`. Events and their position share a transaction, as
rows do; what became of the rows is summed up from ingest.progress, where the row writers keep it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import structlog
from faust.types import TP
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from processors import metrics
from processors.database.pool import Connection, Pool, connected, transaction
from processors.database.queries import load
from processors.imports.state import SITE_STATUS, State, state_of
from processors.kafka.batch import Batch
from processors.kafka.consumer import BatchConsumer
from processors.rows.accounting import positions, rejects
from processors.rows.accounting.sqlstate import passes
from processors.rows.batch_loop import settle
from processors.rows.derived import text_requests
from processors.rows.model import Reject
from schemas.codec.framing import NAMESPACE, DecodeError, Decoder, Encoder, Record
from schemas.faults import Fault
from schemas.import_types import IMPORT_TYPES
from schemas.outcomes import AI_COUNTS, OUTCOMES, TERMINAL
from schemas.values.stored import without_nul

log = structlog.get_logger(__name__)

_SQL = load("processors.imports", "tracker.sql")

SWEEP_SECONDS = 0.5
"""How often unfinished imports are looked at without an event that says so."""

QUIET = timedelta(seconds=1)
"""A state is published at most this often, unless its status changes."""


Publish = Callable[[bytes, bytes | None], Awaitable[int]]
"""Sends a state, or a tombstone, under the id of its import; the offset that it got."""


class Tracker:
    """Follows the imports of the partitions that `assignment` tells.

    `topics` are the names of the row topics, by import type. After a cancel a reader that reports
    nothing for `reader_gone_seconds` is taken for dead.
    """

    def __init__(
        self,
        decoder: Decoder,
        encoder: Encoder,
        pool: Pool,
        publish: Publish,
        assignment: Callable[[], Iterable[TP]],
        topics: Mapping[str, str],
        reader_gone_seconds: float,
    ) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._pool = pool
        self._publish = publish
        self._assignment = assignment
        self._facts = {
            "topics": Jsonb(topics),
            "reader_gone": timedelta(seconds=reader_gone_seconds),
        }
        # The states last published of imports that have not ended, by partition of their events.
        self._open: dict[str, tuple[int, State]] = {}
        # Versions sent of which PostgreSQL was not told: they may have come after later ones.
        self._doubtful: dict[str, int] = {}
        self._touched: set[UUID] = set()
        self._news = asyncio.Event()
        for import_type, status in product(
            topics, TERMINAL
        ):  # from 0, so that the first one counts
            metrics.IMPORTS_FINISHED.labels(import_type, status)
            metrics.IMPORT_SECONDS.labels(import_type, status)

    async def run(self, events: AsyncIterable[Any], consumer: BatchConsumer) -> None:
        """Takes the events of the topic's stream, whose values are batches."""
        async for event in events:
            batch: Batch = event.value
            self._touched.update(*await settle(batch, consumer, self._write, self._pool))
            self._news.set()

    async def follow(self) -> None:
        """Brings states up to date and publishes them until it is cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._news.wait()
            self._news.clear()
            touched, self._touched = self._touched, set()
            try:
                if loop.time() >= due:
                    due = loop.time() + SWEEP_SECONDS
                    touched |= await self._unfinished()
                    await self._forget()
                await self._fold(touched)
            except Exception as error:  # the next sweep tries again; events go on meanwhile
                if passes(error):
                    log.warning("states are late", action="fold_failed", reason=repr(error))
                    await self._tell_that_it_waits()
                else:
                    log.exception("states are late", action="fold_failed")

    async def _write(self, batch: Batch) -> set[UUID]:
        """Writes a batch of events; the ids of the imports that they are about."""
        events, bad = await asyncio.to_thread(self._decode, batch)
        async with transaction(self._pool) as connection:
            topic_id = await positions.advance(connection, batch)
            for event in events:
                await _apply(connection, batch.partition, event)
            if bad:
                await rejects.store(connection, topic_id, bad)
        return {UUID(event["import_id"]) for event in events}

    def _decode(self, batch: Batch) -> tuple[list[Record], list[Reject]]:
        events: list[Record] = []
        bad: list[Reject] = []
        results = self._decoder.decode_all([record.value for record in batch.records])
        for record, result in zip(batch.records, results, strict=True):
            try:
                if isinstance(result, DecodeError):
                    raise result
                events.append(_checked(result))
            except ValueError as error:  # DecodeError is one
                code = getattr(error, "code", "malformed")
                bad.append(Reject(record, None, 0, None, None, [Fault(None, code, str(error))]))
        return events, bad

    async def _unfinished(self) -> set[UUID]:
        """Imports of this worker that have not ended, or whose last state is not all that there is."""
        held = self._held()
        self._open = {
            import_id: known for import_id, known in self._open.items() if known[0] in held
        }
        async with connected(self._pool) as connection:
            for import_id, version in list(self._doubtful.items()):
                await connection.execute(_SQL["doubtful"], {"id": import_id, "version": version})
                del self._doubtful[import_id]
            unfinished = await _ids(connection, "unfinished", held)
            unpublished = await _ids(connection, "unpublished", held)
            moved_on = await _ids(connection, "moved_on", held)
            lately = await _ids(connection, "lately_moved", held)
            lately |= await text_requests.moved(connection, held)
        metrics.IMPORTS_UNFINISHED.set(len(unfinished))
        return unfinished | unpublished | moved_on | lately

    def _held(self) -> list[int]:
        return sorted({tp.partition for tp in self._assignment()})

    async def _fold(self, ids: Iterable[UUID]) -> None:
        """Writes the states that have changed, then publishes what has not been published."""
        late: list[tuple[int, State]] = []
        async with transaction(self._pool) as connection:
            await text_requests.seen(connection, ids)
            for facts in await _facts(connection, ids, self._facts):
                state = state_of(facts)
                _, known = self._open.get(state["id"], (None, None))
                if _is_news(facts, state, known):
                    # By two, so that a state that only says that it waits has room below.
                    state["version"] = max(
                        facts["version"] + 2,
                        known["version"] + 1 if known else 0,
                        _milliseconds(facts["now"]),
                    )
                    await _keep(connection, state)
                    _count(facts, state)
                if (
                    state["version"] > facts["published_version"]
                    or facts["stray_offset"] > facts["published_offset"]
                ):
                    late.append((facts["partition"], state))
        overtaken = []
        for partition, state in late:
            if not await self._send(state):
                overtaken.append(UUID(state["id"]))
            if state["completed_at"] is None:
                self._open[state["id"]] = partition, state
            else:
                self._open.pop(state["id"], None)
        if overtaken:
            await self._fold(overtaken)

    async def _forget(self) -> None:
        """Takes imports that were removed off the log.

        In the task that publishes states: one that is imported anew comes after its tombstone.
        """
        async with connected(self._pool) as connection:
            await connection.execute(_SQL["came_back"])
            gone = sorted(await _ids(connection, "forgotten", self._held()))
        if not gone:
            return
        offsets = await asyncio.gather(
            *(self._publish(str(import_id).encode(), None) for import_id in gone)
        )
        async with connected(self._pool) as connection:
            await connection.execute(_SQL["told"], {"ids": gone, "offsets": offsets})
        log.info("imports are forgotten", action="imports_forgotten", imports=len(gone))

    async def _send(self, state: State) -> bool:
        """Publishes a state. False where another worker was first with a later one.

        It has this import by now. Its state must be the last on the topic: it is published again.
        So it is where the answer of Kafka or PostgreSQL fails to come, as after a long sleep.
        """
        self._doubtful[state["id"]] = state["version"]
        offset = await self._publish(state["id"].encode(), self._encoder.encode(state))
        noted = {"id": state["id"], "version": state["version"], "offset": offset}
        async with connected(self._pool) as connection:
            cursor = await connection.execute(_SQL["published"], noted)
            newest = await cursor.fetchone()
        del self._doubtful[state["id"]]
        return newest is None or bool(newest[0] <= state["version"])

    async def _tell_that_it_waits(self) -> None:
        """Publishes of each import that has not ended that it waits for the database."""
        held = self._held()
        for import_id, (partition, known) in self._open.items():
            if partition not in held or known["waiting_for"] == "database":
                continue
            # Below the version of whatever was committed without our knowing: it must win.
            state = {**known, "waiting_for": "database", "version": known["version"] + 1}
            try:
                await self._publish(import_id.encode(), self._encoder.encode(state))
            except Exception:  # Kafka is away as well: the next failure says it
                log.exception("states are late", action="publish_failed")
                return
            self._open[import_id] = partition, state


def _milliseconds(at: datetime) -> int:
    """Versions follow the clock, so that they rise even where a restore took the last ones away."""
    return int(at.timestamp() * 1000)


async def _ids(connection: Connection, query: str, partitions: list[int]) -> set[UUID]:
    cursor = await connection.execute(_SQL[query], {"partitions": partitions})
    return {import_id for (import_id,) in await cursor.fetchall()}


async def _facts(
    connection: Connection, ids: Iterable[UUID], more: Mapping[str, Any]
) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["facts"], {**more, "ids": list(ids)})
        return await cursor.fetchall()


def _checked(event: Record) -> Record:
    """The event as PostgreSQL can store it; raises ValueError for one that no producer of ours sends."""
    import_id = UUID(event["import_id"])
    name, body = event["event"]
    if body.get("parent") is not None and UUID(body["parent"]) == import_id:
        raise ValueError("an import is not its own parent")
    import_type = body.get("import_type", "ENTREPRISE")
    if import_type not in IMPORT_TYPES:
        raise ValueError(f"there is no import type {import_type[:40]!r}")
    counts = [
        body.get("total_rows", 0),
        body.get("stopped_after") or 0,
        *body.get("warnings_by_code", {}).values(),
    ]
    if not all(0 <= count <= _INT_MAX for count in counts):
        raise ValueError("a count is negative or beyond 32 bits")
    return {**event, "event": (name, _without_nul(body))}


_INT_MAX = 2**31 - 1


def _without_nul(value: Any) -> Any:
    """PostgreSQL's texts and jsonb take no NUL, and a file's header may hold one."""
    if isinstance(value, str):
        return without_nul(value)
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value


async def _apply(connection: Connection, partition: int, event: Record) -> None:
    name, body = event["event"]
    values = {**body, "id": event["import_id"], "at": event["at"], "partition": partition}
    match name.removeprefix(f"{NAMESPACE}."):
        case "Submitted":
            values |= {"header": Jsonb(body["header"]), "options": Jsonb(body["options"])}
            await connection.execute(_SQL["submitted"], values)
        case "ReadingFinished":
            values["warnings_by_code"] = Jsonb(body["warnings_by_code"])
            await connection.execute(_SQL["reading_finished"], values)
        case "ReadingFailed":
            values["error"] = Jsonb({"code": body["code"], "message": body["message"]})
            await connection.execute(_SQL["reading_failed"], values)
        case "GenerateAi":
            await text_requests.ask(connection, event["import_id"])
        case "Cancel" | "Pause" | "Resume" | "Settled" as what:
            await connection.execute(_SQL[what.lower()], values)
        case _:
            pass  # Progress only wakes the tracker: the figures themselves stand in PostgreSQL


def _is_news(facts: dict[str, Any], state: State, known: State | None) -> bool:
    """`known` is what this worker last published; another may have said that it waits."""
    if facts["version"] == 0 or state["status"] != facts["status"]:
        return True
    if state["completed_at"] is None and (
        known is None or known["waiting_for"] != state["waiting_for"]
    ):
        return True
    moved = facts["ai_completed"] != state["ai_generation_completed"] or any(
        facts[name] != state[name] for name in (*OUTCOMES, "released", "settles", *AI_COUNTS)
    )
    return moved and (state["completed_at"] or facts["now"] - facts["changed_at"] >= QUIET)


async def _keep(connection: Connection, state: State) -> None:
    await connection.execute(_SQL["changed"], state)
    await connection.execute(
        _SQL["site"],
        {
            **state,
            "site_status": SITE_STATUS.get(state["status"], state["status"]),
            "site_total": state["total_rows"] or 0,
        },
    )


def _count(facts: dict[str, Any], state: State) -> None:
    if state["completed_at"] is not None and facts["completed_at"] is None:
        how = state["import_type"], state["status"]
        metrics.IMPORTS_FINISHED.labels(*how).inc()
        # An import that failed as a whole may have had no row that was written.
        metrics.IMPORT_SECONDS.labels(*how).observe(state["duration"] or 0.0)
        log.info(
            "import ended", action="import_ended", import_id=state["id"], status=state["status"]
        )

"""Publishes stored requests and answers on their topics, after the commit that stored them.

Both stay in PostgreSQL until Kafka has acknowledged them. A record may be published twice, unchanged.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import structlog
from confluent_kafka import murmur2
from psycopg.rows import dict_row

from processors.database.pool import Connection, Pool, transaction
from processors.database.queries import load
from processors.kafka.producer import Send
from processors.rows.derived.text_requests import note_some
from schemas.codec.framing import Encoder

log = structlog.get_logger(__name__)

_SQL = load("processors.texts.requests", "store.sql")

SCAN_ROWS = 2000


class StoredPublisher:
    """Publishes what any worker has stored. `requests` and `results` are topics with their encoders."""

    def __init__(
        self,
        pool: Pool,
        send: Send,
        requests: tuple[str, Encoder],
        results: tuple[str, Encoder],
        published: Callable[[int, int], None],
        partitions: int,
    ) -> None:
        self._pool = pool
        self._send = send
        self._requests_topic, self._requests = requests
        self._results_topic, self._results = results
        self._published = published
        self._partitions = partitions

    async def publish(self) -> bool:
        """Publishes some; returns whether there may be more."""
        more = [
            await self._transact(step)
            for step in (
                self._scan,
                self._send_requests,
                self._send_removals,
                self._send_results,
            )
        ]
        return any(more)

    async def _transact(self, step: Callable[[Connection], Awaitable[bool]]) -> bool:
        async with transaction(self._pool) as connection:
            return await step(connection)

    async def _scan(self, connection: Connection) -> bool:
        """Stores requests for some rows of an import whose texts were requested after it."""
        await connection.execute(_SQL["unwanted"])
        cursor = await connection.execute(_SQL["scan_next"])
        row: tuple[UUID, UUID, str] | None = await cursor.fetchone()
        if row is None:
            return False
        import_id, after, import_type = row
        last = await note_some(connection, import_type, import_id, after, SCAN_ROWS)
        if last is None:
            await connection.execute(_SQL["scan_done"], {"import_id": import_id})
        else:
            await connection.execute(_SQL["scanned"], {"import_id": import_id, "after": last})
        await connection.execute(_SQL["mark_imports"], {"ids": [import_id]})
        return True

    async def _send_requests(self, connection: Connection) -> bool:
        noted = await _rows(connection, "unsent")
        if not noted:
            return False
        await asyncio.gather(*map(self._send_request, noted))
        await connection.execute(_SQL["sent"], {"ids": [row["id"] for row in noted]})
        imports = {row["import_id"] for row in noted if row["import_id"] is not None}
        await connection.execute(_SQL["mark_imports"], {"ids": sorted(imports)})
        return True

    async def _send_request(self, row: dict[str, Any]) -> None:
        value = {
            **row,
            "id": str(row["id"]),
            "entity": str(row["entity_id"]),
            "import_id": row["import_id"] and str(row["import_id"]),
        }
        del value["entity_id"]
        key = str(row["entity_id"]).encode()
        await self._send(self._requests_topic, key, self._requests.encode(value), [])

    async def _send_removals(self, connection: Connection) -> bool:
        """Publishes tombstones of answers about what must not be kept."""
        removed = await _rows(connection, "removed_unsent")
        await asyncio.gather(
            *(
                self._send_answer(row["prompt_hash"], None)
                for row in removed
                if not row["is_answered"]
            )
        )
        return bool(removed)

    async def _send_results(self, connection: Connection) -> bool:
        answers = await _rows(connection, "results_unsent")
        if not answers:
            return False
        await asyncio.gather(*map(self._send_result, answers))
        hashes = [row["prompt_hash"] for row in answers]
        await connection.execute(_SQL["results_sent"], {"hashes": hashes})
        return True

    async def _send_result(self, row: dict[str, Any]) -> None:
        content = row["content"]
        value = {
            **row,
            "content": None if content is None else json.dumps(content, ensure_ascii=False),
            "cost": str(row["cost"]),
        }
        await self._send_answer(row["prompt_hash"], self._results.encode(value))

    async def _send_answer(self, prompt_hash: str, value: bytes | None) -> None:
        """Publishes an answer, or the tombstone of one."""
        key = prompt_hash.encode()
        offset = await self._send(self._results_topic, key, value, [])
        self._published(murmur2(key, self._partitions), offset + 1)


async def _rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL[query])
        return await cursor.fetchall()

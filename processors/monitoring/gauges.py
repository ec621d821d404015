"""Gauges of unfinished imports and parked rows, from PostgreSQL.

Each worker reports the partitions assigned to it: together they report each import once.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog
from faust.types import TP

from processors import metrics
from processors.database.pool import Pool, connected
from processors.database.queries import load
from processors.rows.accounting.sqlstate import is_transient

log = structlog.get_logger(__name__)

_SQL = load("processors.monitoring", "gauges.sql")

LOOK_SECONDS = 15.0

Look = Callable[[], Awaitable[None]]


async def watch(look: Look) -> None:
    """Updates gauges until it is cancelled. A failure is logged."""
    while True:
        try:
            await look()
        except Exception as error:  # must not take the worker's own work with it
            if is_transient(error):
                log.warning("metrics are late", action="watch_late", reason=repr(error))
            else:
                log.exception("metrics are not known", action="watch_failed")
        await asyncio.sleep(LOOK_SECONDS)


async def look_at_imports(pool: Pool, assignment: Callable[[], Iterable[TP]]) -> None:
    """Sets the age of the oldest unfinished import, and the drift of accounting."""
    assigned = sorted({tp.partition for tp in assignment()})
    async with connected(pool) as connection:
        cursor = await connection.execute(_SQL["oldest"], {"partitions": assigned})
        (oldest,) = await cursor.fetchone() or (0.0,)
        cursor = await connection.execute(_SQL["drift"], {"partitions": assigned})
        (drift,) = await cursor.fetchone() or (0,)
    metrics.IMPORT_OLDEST.set(oldest)
    metrics.ACCOUNTING_DRIFT.set(drift)


async def look_at_parked(
    pool: Pool, assignment: Callable[[], Iterable[TP]], types: Mapping[str, str]
) -> None:
    """Sets the number of parked rows. `types` are the import types, by the names of their topics."""
    assigned = [tp for tp in assignment() if tp.topic in types]
    async with connected(pool) as connection:
        cursor = await connection.execute(
            _SQL["parked"],
            {
                "topics": [tp.topic for tp in assigned],
                "partitions": [tp.partition for tp in assigned],
            },
        )
        parked: dict[str, int] = dict(await cursor.fetchall())
    by_type: Counter[str] = Counter()
    for topic, import_type in types.items():
        by_type[import_type] += parked.get(topic, 0)
    for import_type, rows in by_type.items():
        metrics.ROWS_PARKED.labels(import_type).set(rows)

"""Connections to PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection, OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from processors.errors import UnreachableError

Connection = AsyncConnection[tuple[Any, ...]]
Pool = AsyncConnectionPool[Connection]

# Below Faust's session time-out (processors/app.py): a process that stops in the middle of a
# transaction must not hold the rows that its successor needs.
TRANSACTION_SECONDS = 8


@asynccontextmanager
async def open_pool(database_url: str, size: int) -> AsyncIterator[Pool]:
    """Up to `size` connections, opened when needed. Raises UnreachableError if none can be."""
    pool: Pool = AsyncConnectionPool(
        database_url,
        min_size=1,
        max_size=size,
        open=False,
        timeout=10,
        # pgBouncer in transaction mode keeps no prepared statements before its version 1.21.
        kwargs={"prepare_threshold": None},
    )
    try:
        await pool.open(wait=True, timeout=10)
    except PoolTimeout as error:
        await pool.close()
        raise UnreachableError(
            f"PostgreSQL cannot be reached: {await _reason(database_url)}"
        ) from error
    async with pool:
        yield pool


async def _reason(database_url: str) -> str:
    try:
        async with await AsyncConnection.connect(database_url, connect_timeout=5):
            return "it answers now, but took too long"
    except OperationalError as error:
        return str(error).strip().splitlines()[0]


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction that PostgreSQL itself ends after TRANSACTION_SECONDS.

    Before PostgreSQL 17 there is no limit for the whole transaction, only for a statement and for
    a pause between two.
    """
    limit = f"{TRANSACTION_SECONDS}s"
    async with pool.connection() as connection, connection.transaction():
        async with connection.pipeline():
            await connection.execute(
                """
                SELECT set_config('statement_timeout', %(limit)s, true),
                    set_config('idle_in_transaction_session_timeout', %(limit)s, true),
                    CASE WHEN current_setting('server_version_num')::int >= 170000
                        THEN set_config('transaction_timeout', %(limit)s, true) END
                """,
                {"limit": limit},
            )
        yield connection

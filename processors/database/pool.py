"""Connections to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Mapping
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

CONNECT_SECONDS = 5.0
"""Longest wait for a connection, then a try has failed (psycopg_pool.PoolTimeout)."""

OPTIONS: Mapping[str, Any] = {
    "connect_timeout": int(CONNECT_SECONDS),
    # pgBouncer in transaction mode keeps no prepared statements before its version 1.21.
    "prepare_threshold": None,
}
"""What every connection is opened with."""

SILENCE_SECONDS = TRANSACTION_SECONDS + 4
"""A transaction that takes longer than this has a server that does not answer any more."""


@asynccontextmanager
async def open_pool(database_url: str, size: int) -> AsyncIterator[Pool]:
    """Up to `size` connections, opened when needed. Raises UnreachableError if none can be."""
    pool: Pool = AsyncConnectionPool(
        database_url,
        min_size=1,
        max_size=size,
        open=False,
        timeout=CONNECT_SECONDS,
        # Else its pauses grow to minutes, and it would find a server that is back only after them.
        reconnect_timeout=CONNECT_SECONDS,
        kwargs={**OPTIONS, **_KEEPALIVE},
    )
    try:
        await pool.open(wait=True, timeout=10)
    except PoolTimeout as error:
        await pool.close()
        raise UnreachableError(
            f"PostgreSQL (FOX_DATABASE_URL): {await _reason(database_url)}"
        ) from error
    async with pool:
        yield pool


async def answers(database_url: str) -> None:
    """Returns where PostgreSQL lets a new connection in and answers it. Raises psycopg.Error.

    Not one of the pool's: those may all be busy, and an old one says nothing of new ones.
    """
    async with await AsyncConnection.connect(
        database_url, autocommit=True, **OPTIONS
    ) as connection:
        await connection.execute("SELECT 1")


def reason(error: OperationalError) -> str:
    """The first line of what PostgreSQL or its client says."""
    return str(error).strip().partition("\n")[0]


async def _reason(database_url: str) -> str:
    try:
        async with await AsyncConnection.connect(database_url, **OPTIONS):
            return "it answers now, but took too long"
    except OperationalError as error:
        return reason(error)


# A server that vanished without a word: the system's own limits are hours.
_KEEPALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


@asynccontextmanager
async def connected(pool: Pool, seconds: float = SILENCE_SECONDS) -> AsyncIterator[Connection]:
    """A connection for so long at most. Raises TimeoutError where the server falls silent."""
    # Around the pool's own block: leaving that one sends COMMIT.
    async with asyncio.timeout(seconds), pool.connection() as connection:
        yield connection


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction that PostgreSQL itself ends after TRANSACTION_SECONDS.

    Before PostgreSQL 17 there is no limit for the whole transaction, only for a statement and for
    a pause between two. Raises TimeoutError where the server falls silent.
    """
    limit = f"{TRANSACTION_SECONDS}s"
    async with connected(pool) as connection, connection.transaction():
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

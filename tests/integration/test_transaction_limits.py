"""A transaction ends at its limit, and says that it did: its batch is halved, not tried again."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest
from psycopg import errors

from deploy.local.stack import Stack
from processors.database.pool import Connection, Pool, open_pool, transaction
from processors.rows.accounting.sqlstate import Blame, blame

SESSION_SECONDS = 0.5


async def copy(connection: Connection) -> None:
    await connection.execute("CREATE TEMP TABLE lines (line text) ON COMMIT DROP")
    async with connection.cursor() as cursor, cursor.copy("COPY lines FROM STDIN") as lines:
        for _ in range(30):
            await lines.write("x\n" * 1000)
            await asyncio.sleep(0.05)


async def pipeline(connection: Connection) -> None:
    async with connection.pipeline():
        await connection.execute("SELECT 1")
        await connection.execute("SELECT pg_sleep(2)")


async def statement(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep(2)")


async def pause(connection: Connection) -> None:
    await connection.execute("SELECT 1")
    await asyncio.sleep(1)
    await connection.execute("SELECT 1")


@pytest.mark.parametrize("work", [copy, pipeline, statement, pause])
async def test_at_the_limit(stack: Stack, work: Callable[[Connection], Awaitable[None]]) -> None:
    """During COPY and in a pipeline the server's last words are lost with the connection."""
    url = stack.environment["FOX_DATABASE_URL"]
    async with open_pool(url, 1, SESSION_SECONDS) as pool:
        with pytest.raises(psycopg.Error) as caught:
            async with transaction(pool) as connection:
                await work(connection)

    assert blame(caught.value) is Blame.SIZE


async def test_a_connection_that_is_lost_earlier(stack: Stack) -> None:
    """Then the server went away, and the same batch is tried again."""
    url = stack.environment["FOX_DATABASE_URL"]
    async with open_pool(url, 1, 30.0) as pool, open_pool(url, 1) as other:
        with pytest.raises(errors.OperationalError) as caught:
            await killed(pool, other)

    assert blame(caught.value) is Blame.SERVER


async def killed(pool: Pool, other: Pool) -> None:
    """A transaction whose connection another one ends."""
    async with transaction(pool) as connection:
        pid = connection.info.backend_pid
        async with other.connection() as killer:
            await killer.execute("SELECT pg_terminate_backend(%s)", [pid])
        await pipeline(connection)

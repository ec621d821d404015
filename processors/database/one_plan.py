"""Statements that are executed many times in one transaction, and planned once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg.pq import TransactionStatus

from processors.database.pool import Connection


@asynccontextmanager
async def one_plan(connection: Connection) -> AsyncIterator[None]:
    """In this block, within a transaction, a statement is planned when it is executed first.

    Nothing of it remains on the server: behind pgBouncer in transaction mode, the next transaction of
    this connection may be on another one, and this one may be of another client.
    """
    await connection.execute("SELECT set_config('plan_cache_mode', 'force_generic_plan', true)")
    connection.prepare_threshold = 0
    try:
        # A savepoint: after an error as well, the statements are deallocated within the transaction.
        async with connection.transaction():
            yield
    finally:
        if connection.info.transaction_status is TransactionStatus.INTRANS:  # else it is lost
            await connection.execute("DEALLOCATE ALL", prepare=False)
        connection.prepare_threshold = None

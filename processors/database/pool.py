"""Connections to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from psycopg import AsyncConnection, OperationalError, ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import (
    InvalidSchemaName,
    NotNullViolation,
    ReadOnlySqlTransaction,
    SerializationFailure,
    TransactionTimeout,
    UndefinedColumn,
    UndefinedTable,
)
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from processors.database.site_tables import SiteTables, UnfilledColumnError
from processors.errors import DatabaseReplacedError, UnreachableError
from processors.settings import DEFAULT_SESSION_SECONDS


class Connection(AsyncConnection[tuple[Any, ...]]):
    """A connection of a pool; `site` completes the statements that insert into the site's tables."""

    site: SiteTables


TRANSACTION_SHARE = 0.8
"""Share of the session timeout, after which a worker is considered dead: a process that stops in the
middle of a transaction must not lock the rows that its successor needs."""

CONNECT_SECONDS = 5.0
"""Longest wait for a connection, after which psycopg_pool.PoolTimeout is raised."""

OPTIONS: Mapping[str, Any] = {
    "connect_timeout": int(CONNECT_SECONDS),
    # pgBouncer in transaction mode keeps no prepared statements before its version 1.21.
    "prepare_threshold": None,
    # Of several hosts the one that takes writes, and of a single one nothing that a standby has.
    "target_session_attrs": "read-write",
}
"""Options of every connection."""

AWAY = (OperationalError, PoolTimeout)
"""Errors of a server that cannot be reached."""

NOT_MIGRATED = (InvalidSchemaName, UndefinedColumn, UndefinedTable)
"""Errors of a database that lacks what the migrations create."""


class Pool(AsyncConnectionPool[Connection]):
    """Connections for transactions of at most `transaction_seconds`.

    `replaced` is set if the database is not the one of the first connection: a dump was restored into it,
    or into another one of its name. No transaction begins any more.
    """

    transaction_seconds: float
    site: SiteTables
    replaced: DatabaseReplacedError | None = None
    _known: tuple[int | None, int | None] | None = None

    def check_database(self, positions: int | None, server: int | None = None) -> None:
        """Compares the OID of ingest.positions, and the system identifier of the server of a new connection.

        A standby that is promoted and a backup of the data directory have both; a dump creates tables
        anew. Raises OperationalError if one differs.
        """
        self._known = known_server, known = self._known or (server, positions)
        if positions != known or (server is not None and server != known_server):
            self.replaced = DatabaseReplacedError(
                "the database is not the one that this worker started with: a dump was restored. Nothing is "
                "written any more. See docs/operations.md, 'The database was restored'"
            )
            raise OperationalError(str(self.replaced))

    @property
    def silence_seconds(self) -> float:
        """If a transaction takes longer than this, the server does not respond any more."""
        return self.transaction_seconds + 4


@asynccontextmanager
async def open_pool(
    database_url: str, size: int, session_seconds: float = DEFAULT_SESSION_SECONDS
) -> AsyncIterator[Pool]:
    """Up to `size` connections, opened when needed. Raises UnreachableError if none can be.

    `session_seconds` is the session timeout of the worker that they belong to.
    """
    site = SiteTables()

    async def configure(connection: Connection) -> None:
        connection.site = site
        cursor = await connection.execute(_DATABASE)
        found = await cursor.fetchone()
        await connection.rollback()
        pool.check_database(*found or (None, None))

    pool = Pool(
        database_url,
        min_size=1,
        max_size=size,
        open=False,
        connection_class=Connection,
        configure=configure,
        check=_check_primary,
        timeout=CONNECT_SECONDS,
        # Else its pauses grow to minutes, which delays reconnecting to a server that is back.
        reconnect_timeout=CONNECT_SECONDS,
        kwargs={**OPTIONS, **_KEEPALIVE},
    )
    pool.transaction_seconds = TRANSACTION_SHARE * session_seconds
    pool.site = site
    try:
        await pool.open(wait=True, timeout=10)
    except PoolTimeout as error:
        await pool.close()
        raise UnreachableError(
            f"PostgreSQL (FOX_DATABASE_URL): {await _reason(database_url)}"
        ) from error
    async with pool:
        yield pool


_DATABASE = """
    SELECT to_regclass('ingest.positions')::oid::bigint, system_identifier FROM pg_control_system()
    """


async def answers(database_url: str) -> None:
    """Returns if PostgreSQL accepts a new connection and responds. Raises psycopg.Error.

    Not a connection of the pool: all may be busy, and an old one proves nothing about new ones.
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


# For a server that vanished without closing connections: the system's own limits are hours.
_KEEPALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


@asynccontextmanager
async def connected(pool: Pool, seconds: float | None = None) -> AsyncIterator[Connection]:
    """A connection for `seconds` at most, by default for as long as a transaction may take.

    Raises TimeoutError if the server falls silent.
    """
    limit = pool.silence_seconds if seconds is None else seconds
    # Around the pool's own block: leaving that one sends COMMIT.
    async with asyncio.timeout(limit), pool.connection() as connection:
        try:
            yield connection
        except ReadOnlySqlTransaction:
            # The pool opens another, to the server that is the primary now.
            await connection.close()
            raise


async def _check_primary(connection: Connection) -> None:
    """Raises OperationalError for a connection to a server that has become a standby or read-only.

    PostgreSQL reports that with the response to the connection's latest command.
    """
    for name in ("in_hot_standby", "default_transaction_read_only"):
        if connection.info.parameter_status(name) == "on":
            await connection.close()  # else the pool would offer it again
            raise OperationalError(f"the server takes no writes any more: {name} is on")


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction that PostgreSQL itself ends after the pool's `transaction_seconds`.

    Before PostgreSQL 17 there is no limit for the whole transaction, only for a statement and for
    a pause between two. Raises TimeoutError if the server falls silent, and TransactionTimeout if
    the connection was lost at the limit: during COPY and in a pipeline psycopg loses its SQLSTATE.

    JIT compilation is off: once the estimated costs of a merge reach its threshold, PostgreSQL 15 with
    its defaults compiles for seconds to merge one row. Constraints are not deferred: Django defers
    foreign keys, and an error at COMMIT would name no row. Raises SerializationFailure if a column
    that the site has just added must have a value.
    """
    limit = f"{pool.transaction_seconds * 1000:.0f}ms"
    started = monotonic()
    try:
        async with connected(pool) as connection, connection.transaction():
            async with connection.pipeline():
                begun = await connection.execute(
                    """
                    SELECT to_regclass('ingest.positions')::oid::bigint, set_config('jit', 'off', true),
                        set_config('statement_timeout', %(limit)s, true),
                        set_config('idle_in_transaction_session_timeout', %(limit)s, true),
                        CASE WHEN current_setting('server_version_num')::int >= 170000
                            THEN set_config('transaction_timeout', %(limit)s, true) END
                    """,
                    {"limit": limit},
                )
                await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            pool.check_database((await begun.fetchall())[0][0])
            if not pool.site.is_current:
                await pool.site.look(connection)
            yield connection
    except NotNullViolation as error:
        if not pool.site.is_violated(error):
            raise
        table, column = error.diag.table_name, error.diag.column_name
        pool.site.is_current = False
        raise SerializationFailure(f"the site has added the column {table}.{column}") from error
    except (ProgrammingError, UnfilledColumnError):
        pool.site.is_current = False  # the site may have changed a table, or will
        raise
    except PoolTimeout:
        raise
    except OperationalError as error:
        if error.sqlstate is None and monotonic() - started >= pool.transaction_seconds:
            raise TransactionTimeout(
                "the connection was lost at the transaction's limit"
            ) from error
        raise


def address(database_url: str) -> tuple[str, int] | None:
    """Host and port of the server, of several the first; None for a socket of this machine."""
    known = conninfo_to_dict(database_url)
    host, port = (str(known.get(name) or "").split(",")[0] for name in ("host", "port"))
    return (host, int(port or 5432)) if host and not host.startswith("/") else None

"""Numbered migrations: database/migrations/NNNN_name.sql, each applied once, in order."""

from collections.abc import Callable
from importlib import resources
from typing import Any, LiteralString

from psycopg import Connection, DatabaseError, OperationalError

from processors.database import grants
from processors.database.connection import connect
from processors.database.site_tables import DEFAULTS
from processors.errors import ConfigurationError

_LOCK = 0x666F78  # any number, as long as every version of foxstream takes the same


def migrations() -> list[tuple[str, LiteralString]]:
    """Name and SQL of all migrations, in the order in which they apply."""
    folder = resources.files("processors.database") / "migrations"
    files = sorted((file for file in folder.iterdir()), key=lambda file: file.name)
    return [
        (file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in files
        if file.name.endswith(".sql")
    ]


def migrate(
    database_url: str, check: Callable[[Connection[Any]], object] = lambda _: None
) -> list[str]:
    """Applies what is missing, all or nothing; returns the names of what was applied.

    Two that run at the same time wait for each other.
    """
    with connect(database_url) as connection:
        _check_encoding(connection)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(
            """
            CREATE TABLE IF NOT EXISTS public.foxstream_migrations (
                name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        )
        done = {
            name for (name,) in connection.execute("SELECT name FROM public.foxstream_migrations")
        }
        missing = [(name, sql) for name, sql in migrations() if name not in done]
        for name, sql in missing:
            try:
                connection.execute(sql)
            except OperationalError:
                raise
            except DatabaseError as error:
                raise ConfigurationError(
                    f"{name} does not fit this database, and nothing was changed: {error}"
                ) from error
            connection.execute(
                "INSERT INTO public.foxstream_migrations (name) VALUES (%s)", (name,)
            )
        _check_keys(connection)
        check(connection)
        connection.execute(grants.statement())
        return [name for name, _ in missing]


def _check_encoding(connection: Connection[Any]) -> None:
    row = connection.execute("SELECT current_setting('server_encoding')").fetchone()
    if row is None or row[0] != "UTF8":
        raise ConfigurationError(
            f"the encoding of the database is {row and row[0]}; foxstream needs UTF8: "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )


def _check_keys(connection: Connection[Any]) -> None:
    """A restore makes keys after the rows, and those not at all that rows of running workers violate."""
    found = connection.execute(
        """
        SELECT string_agg(relname, ', ' ORDER BY relname)
        FROM pg_class c
        WHERE relkind = 'r'
            AND (
                (relnamespace = 'ingest'::regnamespace AND relname <> 'settled_early')
                OR (relnamespace = 'public'::regnamespace AND relname = ANY(%s))
            )
            AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.oid AND contype = 'p')
        """,
        (list(DEFAULTS),),
    ).fetchone()
    if found is not None and found[0] is not None:
        raise ConfigurationError(
            f"tables lack their primary keys: {found[0]}. A restore is not complete: stop all "
            "workers and restore again, see docs/operations.md, 'The database was restored'"
        )


def check_migrated(database_url: str) -> None:
    """Raises ConfigurationError if a migration or a primary key is missing, or texts are not UTF-8."""
    with connect(database_url) as connection:
        _check_encoding(connection)
        known = connection.execute(
            "SELECT to_regclass('public.foxstream_migrations') IS NOT NULL"
        ).fetchone()
        done = (
            {name for (name,) in connection.execute("SELECT name FROM public.foxstream_migrations")}
            if known and known[0]
            else set()
        )
        if known and known[0]:
            _check_keys(connection)
    missing = [name for name, _ in migrations() if name not in done]
    if missing:
        raise ConfigurationError(
            f"the database lacks the migrations {', '.join(missing)}: run 'foxstream-worker migrate'"
        )

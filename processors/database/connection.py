"""A connection to PostgreSQL for a command or a job, which has no pool."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.rows import RowFactory, dict_row, tuple_row
from pydantic import SecretStr

from processors.database.pool import OPTIONS, reason
from processors.errors import UnreachableError


@contextmanager
def connect(
    database_url: str, row_factory: RowFactory[Any] = tuple_row, *, autocommit: bool = False
) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose transaction is committed at the end of the block.

    Raises UnreachableError, wherever in the block the server cannot go on.
    """
    try:
        with psycopg.connect(
            database_url, row_factory=row_factory, autocommit=autocommit, **OPTIONS
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise UnreachableError(f"PostgreSQL (FOX_DATABASE_URL): {reason(error)}") from error


def query(
    database_url: SecretStr, statement: LiteralString, values: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """The rows of one statement, committed. Raises UnreachableError."""
    with connect(database_url.get_secret_value(), dict_row) as connection:
        return connection.execute(statement, values).fetchall()

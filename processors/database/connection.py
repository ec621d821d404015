"""A connection to PostgreSQL for a command or a job, which has no pool."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.rows import RowFactory, kwargs_row, tuple_row
from pydantic import SecretStr

from processors.database.pool import OPTIONS, reason
from processors.errors import ConfigurationError, UnreachableError

Row = TypeVar("Row")


@contextmanager
def connect(
    database_url: str, row_factory: RowFactory[Any] = tuple_row, *, autocommit: bool = False
) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose transaction is committed at the end of the block.

    Raises UnreachableError if the connection fails at any point of the block, ConfigurationError if
    it leads to a pgBouncer that takes no transactions.
    """
    try:
        with psycopg.connect(
            database_url, row_factory=row_factory, autocommit=autocommit, **OPTIONS
        ) as connection:
            yield connection
    except psycopg.errors.ProtocolViolation as error:
        raise ConfigurationError(
            f"PostgreSQL (FOX_DATABASE_URL): {reason(error)}: foxstream needs transactions, set "
            "pool_mode = transaction in pgBouncer"
        ) from error
    except psycopg.OperationalError as error:
        raise UnreachableError(f"PostgreSQL (FOX_DATABASE_URL): {reason(error)}") from error


def query(
    database_url: SecretStr,
    row: Callable[..., Row],
    statement: LiteralString,
    parameters: Mapping[str, object] | None = None,
) -> list[Row]:
    """The rows of one statement, which is committed; `row` is called with the columns by name.

    Raises UnreachableError.
    """
    with connect(database_url.get_secret_value(), kwargs_row(row)) as connection:
        return connection.execute(statement, parameters).fetchall()

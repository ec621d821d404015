"""One question to PostgreSQL by a command, which has no pool."""

from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr

from processors.errors import UnreachableError


def ask(
    database_url: SecretStr, query: LiteralString, values: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """The rows of a statement, committed. Raises UnreachableError."""
    url = database_url.get_secret_value()
    try:
        with psycopg.connect(
            url, connect_timeout=5, prepare_threshold=None, row_factory=dict_row
        ) as connection:
            return connection.execute(query, values).fetchall()
    except psycopg.OperationalError as error:
        raise UnreachableError(f"PostgreSQL cannot be reached: {error}") from error

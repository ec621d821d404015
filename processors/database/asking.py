"""One question to PostgreSQL by a command, which has no pool."""

from collections.abc import Mapping
from typing import Any, LiteralString

from psycopg.rows import dict_row
from pydantic import SecretStr

from processors.database.connecting import connect


def ask(
    database_url: SecretStr, query: LiteralString, values: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """The rows of a statement, committed. Raises UnreachableError."""
    with connect(database_url.get_secret_value(), dict_row) as connection:
        return connection.execute(query, values).fetchall()

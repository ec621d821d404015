"""Whether the site's tables fit: what fits, what foxstream fills in, and what blocks.

Each statement that inserts into a table of the site is planned, not run: PostgreSQL itself says
whether columns exist and types fit.
"""

from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from processors.database.site_tables import Column, inserts, inspect
from processors.errors import ConfigurationError
from processors.rows.merge.merge import staged_query


class _Parameters(dict[str, object]):
    """Of a statement that is planned and not run: NULL, but if the type matters."""

    def __missing__(self, name: str) -> object:
        return {"round": 0, "partition": 0, "topic": "", "released": False, "ids": []}.get(name)


class Fit(NamedTuple):
    """Of one table: the columns that are filled, and what blocks; both may be empty."""

    table: str
    filled: list[Column]
    blocks: list[str]

    def __str__(self) -> str:
        if self.blocks:
            return f"{self.table:<28} blocks: {'; '.join(self.blocks)}"
        names = ", ".join(f"{column.name} = {column.value}" for column in self.filled)
        return f"{self.table:<28} fits{names and f'; filled in: {names}'}"


def fits(connection: "psycopg.Connection[Any]") -> list[Fit]:
    """Of each table, in a transaction that changes nothing by itself."""
    required = inspect(connection)
    found = []
    for queries, insert in inserts():
        lacking = insert.lacking(required)
        blocks = [each.advice() for each in lacking if each.value is None]
        if reason := _refused(connection, insert.statement, queries.get("columns")):
            blocks.append(reason)
        found.append(
            Fit(insert.table, [each for each in lacking if each.value is not None], blocks)
        )
    return found


def check(connection: "psycopg.Connection[Any]") -> list[Fit]:
    """As `fits`. Raises ConfigurationError if a table blocks."""
    found = fits(connection)
    if any(fit.blocks for fit in found):
        raise ConfigurationError("\n".join(map(str, found)) + "\nNothing was changed.")
    return found


def _explained(statement: LiteralString, columns: LiteralString | None) -> sql.Composed:
    """The plan of a statement. A query stands for the staging table: a role that migrates may not be
    allowed to create temporary tables."""
    if columns is None:
        return sql.SQL("EXPLAIN {}").format(sql.SQL(statement))
    before, _, after = statement.partition("WITH ")
    return sql.SQL("EXPLAIN {}WITH staging AS ({}), {}").format(
        sql.SQL(before), staged_query(columns), sql.SQL(after)
    )


def _refused(
    connection: "psycopg.Connection[Any]",
    statement: LiteralString,
    columns: LiteralString | None,
) -> str | None:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(_explained(statement, columns), _Parameters())
    except psycopg.Error as error:
        return error.diag.message_primary or str(error)
    return None

"""What waits for something that is not there yet, as operators see it."""

from typing import LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from processors.database.queries import load
from processors.errors import UnreachableError
from processors.settings import Settings

_PAGES = load("processors.writing", "pages.sql")
_PARKING = load("processors.writing", "parking.sql")


def unresolved(settings: Settings, limit: int) -> list[dict[str, object]]:
    """Companies that have no page, by what it lacks."""
    return _listed(settings, _PAGES["unresolved"], {"limit": limit})


def parked(settings: Settings, import_id: UUID | None, limit: int) -> list[dict[str, object]]:
    """Rows that wait for the row that they belong to, of one import or of all and of upstream systems."""
    return _listed(settings, _PARKING["listed"], {"import_id": import_id, "limit": limit})


def _listed(
    settings: Settings, query: LiteralString, values: dict[str, object]
) -> list[dict[str, object]]:
    url = settings.database_url.get_secret_value()
    try:
        with psycopg.connect(url, connect_timeout=5, row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()
    except psycopg.OperationalError as error:
        raise UnreachableError(f"PostgreSQL cannot be reached: {error}") from error

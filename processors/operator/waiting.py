"""What waits for something that is not there yet, as operators see it."""

from uuid import UUID

from processors.database.connection import query
from processors.database.queries import load
from processors.settings import Settings

_PAGES = load("processors.rows.derived", "public_pages.sql")
_PARKING = load("processors.rows.parking", "parked_rows.sql")


def unresolved(settings: Settings, limit: int) -> list[dict[str, object]]:
    """Companies that have no page, by what it lacks."""
    return query(settings.database_url, _PAGES["unresolved"], {"limit": limit})


def parked(settings: Settings, import_id: UUID | None, limit: int) -> list[dict[str, object]]:
    """Rows that wait for the row that they belong to, of one import or of all and of upstream systems."""
    return query(
        settings.database_url, _PARKING["listed"], {"import_id": import_id, "limit": limit}
    )

"""Lists what waits for something that does not exist yet."""

from datetime import datetime
from typing import TypedDict
from uuid import UUID

from processors.database.connection import query
from processors.database.queries import load
from processors.settings import Settings

_PAGES = load("processors.rows.derived", "public_pages.sql")
_PARKING = load("processors.rows.parking", "parked_rows.sql")


class UnresolvedCompany(TypedDict):
    """A row of the statement `unresolved`."""

    siren: str
    nom: str
    reason: str
    naf_code: str
    code_postal: str
    ville_nom: str
    since: datetime


class WaitingRow(TypedDict):
    """A row of the statement `listed`. `import_id`, `line` and `sheet` are null for upstream rows."""

    import_id: str | None
    sheet: str | None
    line: int | None
    parent: str
    topic: str
    partition: int
    offset: int
    parked_at: datetime


def unresolved(settings: Settings, limit: int) -> list[UnresolvedCompany]:
    """Companies without a page, ordered by what the page lacks."""
    statement = _PAGES["unresolved"]
    return query(settings.database_url, UnresolvedCompany, statement, {"limit": limit})


def parked(settings: Settings, import_id: UUID | None, limit: int) -> list[WaitingRow]:
    """Parked rows of one import, or of all imports and of upstream systems."""
    parameters = {"import_id": import_id, "limit": limit}
    return query(settings.database_url, WaitingRow, _PARKING["listed"], parameters)

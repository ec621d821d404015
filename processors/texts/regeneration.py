"""Other texts on request: the model writes anew what it has written already."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from processors.database.connection import query
from processors.database.queries import load
from processors.settings import Settings

_SQL = load("processors.texts", "regeneration.sql")


class AskedAnew(NamedTuple):
    """`edited` rows have columns that people edited; they stay unless they are to be overwritten."""

    rows: int
    edited: int


def entities(settings: Settings, kind: str, keys: Sequence[str]) -> dict[str, list[UUID]]:
    """The rows that each key names: an id, a slug, or of companies a SIREN for all their pages."""
    found: dict[str, list[UUID]] = {key: [] for key in keys}
    values = {"kind": kind, "keys": list(found)}
    rows: list[dict[str, Any]] = query(settings.database_url, dict, _SQL["entities"], values)
    for row in rows:
        found[row["key"]].append(row["id"])
    return found


def regenerate(settings: Settings, kind: str, ids: Sequence[UUID], *, overwrite: bool) -> AskedAnew:
    """Requests another text for each row. Where the same request waits already, that one counts."""
    values = {
        "kind": kind,
        "ids": list(ids),
        "reason": "overwrite" if overwrite else "regenerate",
    }
    rows: list[dict[str, Any]] = query(settings.database_url, dict, _SQL["regenerate"], values)
    return AskedAnew(**rows[0])

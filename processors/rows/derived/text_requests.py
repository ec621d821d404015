"""Requests for texts, noted in the transaction that writes the rows they are about.

Only rows that an import created or changed, and only where it asked for texts: other imports cost
nothing. What is noted is published by the workers of processors/texts.
"""

from collections.abc import Iterable, Mapping
from typing import LiteralString
from uuid import UUID

from processors.database.pool import Connection
from processors.database.queries import load
from schemas.import_types import CATEGORIE, ENTREPRISE, SOUS_CATEGORIE, VILLE, ImportType

_SQL = load("processors.rows.derived", "text_requests.sql")

_TOUCHED: Mapping[ImportType, str] = {
    CATEGORIE: "categories",
    ENTREPRISE: "entreprises",
    SOUS_CATEGORIE: "sous_categories",
    VILLE: "villes",
}


async def note(
    connection: Connection, import_type: ImportType, imports: Iterable[str], keys: Iterable[str]
) -> None:
    """Notes the rows with these natural keys that this transaction created or changed.

    `imports` are those that ask for texts, or of which nobody knows yet whether they do.
    """
    touched = _TOUCHED.get(import_type)
    if touched is not None:
        values = {"imports": list(map(UUID, imports)), "keys": list(set(keys))}
        await connection.execute(_noting(_SQL[touched]), values)


async def asking(connection: Connection, imports: Iterable[str]) -> list[str]:
    """Which of these imports ask for texts."""
    cursor = await connection.execute(_SQL["asking"], {"ids": list(imports)})
    return [import_id for (import_id,) in await cursor.fetchall()]


async def note_pages(connection: Connection, ids: list[UUID]) -> None:
    """Notes the pages that this transaction made of these companies."""
    await connection.execute(_noting(_SQL["pages"]), {"ids": ids})


def _noting(touched: LiteralString) -> LiteralString:
    return "WITH touched AS (" + touched + "\n) " + _SQL["note"]


async def ask(connection: Connection, import_id: str) -> None:
    """Has the texts of an import asked for: see the query."""
    await connection.execute(_SQL["asked"], {"id": import_id})


async def moved(connection: Connection, partitions: list[int]) -> set[UUID]:
    """Imports of these partitions whose requests have come to something new."""
    cursor = await connection.execute(_SQL["moved"], {"partitions": partitions})
    return {import_id for (import_id,) in await cursor.fetchall()}


async def seen(connection: Connection, ids: Iterable[UUID]) -> None:
    """Notes that the requests of these imports are about to be counted."""
    await connection.execute(_SQL["seen"], {"ids": list(ids)})


async def note_some(
    connection: Connection, import_type: str, import_id: UUID, after: UUID, limit: int
) -> UUID | None:
    """Notes rows that an import created or changed and nobody has since, among the next of its table.

    The id up to which the table was looked at; None: to its end.
    """
    name = import_type.lower()
    if f"some_{name}" not in _SQL:
        return None
    cursor = await connection.execute(_SQL[f"some_{name}"], {"after": after, "limit": limit})
    ids: list[UUID] = [entity_id for (entity_id,) in await cursor.fetchall()]
    values = {"ids": ids, "import_id": import_id}
    await connection.execute(_noting(_SQL[f"of_{name}"]), values)
    return ids[-1] if len(ids) == limit else None

"""Text requests, stored in the transaction that writes their rows.

Only for rows that an import created or changed, and only if it requests texts: other imports cost
nothing. The workers of processors/texts publish the stored requests.
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
    """Stores requests for the rows with these natural keys that this transaction created or changed.

    `imports` are those that request texts, or of which it is not known yet.
    """
    touched = _TOUCHED.get(import_type)
    if touched is not None:
        values = {"imports": list(map(UUID, imports)), "keys": list(set(keys))}
        await connection.execute(_noting(_SQL[touched]), values)


async def imports_with_texts(connection: Connection, imports: Iterable[str]) -> list[str]:
    """The imports among these that request texts."""
    cursor = await connection.execute(_SQL["imports_with_texts"], {"ids": list(imports)})
    return [import_id for (import_id,) in await cursor.fetchall()]


async def note_pages(connection: Connection, ids: list[UUID]) -> None:
    """Stores requests for the pages that this transaction created for these companies."""
    await connection.execute(_noting(_SQL["pages"]), {"ids": ids})


def _noting(touched: LiteralString) -> LiteralString:
    return "WITH touched AS (" + touched + "\n) " + _SQL["note"]


async def request_again(connection: Connection, import_id: str) -> None:
    """Requests the texts of an import anew: see the statement."""
    await connection.execute(_SQL["request_again"], {"id": import_id})


async def moved(connection: Connection, partitions: list[int]) -> set[UUID]:
    """Imports of these partitions whose requests have changed their state."""
    cursor = await connection.execute(_SQL["moved"], {"partitions": partitions})
    return {import_id for (import_id,) in await cursor.fetchall()}


async def clear_moved(connection: Connection, ids: Iterable[UUID]) -> None:
    """Clears the change mark of these imports, whose requests are counted next."""
    await connection.execute(_SQL["clear_moved"], {"ids": list(ids)})


async def note_some(
    connection: Connection, import_type: str, import_id: UUID, after: UUID, limit: int
) -> UUID | None:
    """Stores requests for rows, among the next of the table, that this import changed last.

    Returns the id up to which the table was read; None: to its end.
    """
    name = import_type.lower()
    if f"some_{name}" not in _SQL:
        return None
    cursor = await connection.execute(_SQL[f"some_{name}"], {"after": after, "limit": limit})
    ids: list[UUID] = [entity_id for (entity_id,) in await cursor.fetchall()]
    values = {"ids": ids, "import_id": import_id}
    await connection.execute(_noting(_SQL[f"of_{name}"]), values)
    return ids[-1] if len(ids) == limit else None

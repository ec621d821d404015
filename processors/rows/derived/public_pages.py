"""Public pages (pro-localisations): one for each company whose trade and city are known.

They are created in the transaction that writes the companies. A company that cannot be resolved is
stored as such and never guessed (docs/import-guide.md); it is resolved again when a city, a
sub-category or the mapping arrives. So is one whose page a trigger or a constraint of the site refuses;
it is tried again when the company changes, and by the job `resolve-pages`. Resolution waits until
every transaction that did not see the arrival has ended, so that none is missed whatever their order.
"""

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, LiteralString, NamedTuple
from uuid import UUID

import psycopg
import structlog

from processors.database.pool import Connection, Pool, connected, transaction
from processors.database.queries import load
from processors.errors import BatchTooLargeError
from processors.rows.accounting.sqlstate import Blame, blame
from processors.rows.derived import text_requests
from processors.rows.merge.merge import NESTED_LOOPS

if TYPE_CHECKING:
    from processors.kafka.batch import Batch

log = structlog.get_logger(__name__)

_SQL = load("processors.rows.derived", "public_pages.sql")
_MAKE_OF_BATCH = _SQL["of_batch"] + _SQL["make"]
_IDS_OF_BATCH = _SQL["of_batch"] + _SQL["ids"]
_MAKE_CHOSEN = _SQL["chosen"] + _SQL["make"]

CHUNK = 1000

ISOLATING_SECONDS = 2.0
"""Longest search for refused pages in one transaction, which has other things to do."""

REASONS = ("naf", "sous-categorie", "ville", "refused")
"""What a page lacks: the mapping of the activity, the sub-category, a city that fits; or the consent of
the site's own triggers and constraints."""


class Made(NamedTuple):
    """Numbers of pages created and retired; of companies unresolved and no longer unresolved."""

    made: int
    retired: int
    unresolved: int
    resolved: int


async def of_batch(connection: Connection, batch: "Batch", sirens: Sequence[str]) -> None:
    """Creates the pages of companies that the batch wrote; `sirens` are those of its rows.

    Raises psycopg.Error, also if the site refuses one of the pages.
    """
    if await _is_resolvable(connection):
        statement = connection.site.complete(_MAKE_OF_BATCH)
        await connection.execute(statement, _of_batch(batch, sirens))


async def of_batch_isolating(connection: Connection, batch: "Batch", sirens: Sequence[str]) -> None:
    """Like `of_batch`, but creates all pages that the site does not refuse.

    Raises BatchTooLargeError if so many are refused that it takes too long.
    """
    if not await _is_resolvable(connection):
        return
    cursor = await connection.execute(_IDS_OF_BATCH, _of_batch(batch, sirens))
    ids = [entreprise_id for (entreprise_id,) in await cursor.fetchall()]
    if (await _make_isolating(connection, ids))[1] < len(ids):
        raise BatchTooLargeError


_WITHDRAWALS = (
    "withdraw_pages",
    "withdraw_owners",
    "unlink_syntheses",
    "withdraw_syntheses",
    "withdraw_texts",
)


async def withdraw(connection: Connection, sirens: Sequence[str]) -> None:
    """Removes what the site shows of companies among these that are partly disclosed.

    Of all of them their place on the map; of natural persons their pages, with the texts made from
    what is stored (code de commerce R123-232, A123-96). A row that discloses them again, and comes
    later, brings the pages back.
    """
    cursor = await connection.execute(_SQL["partly_disclosed"], {"sirens": list(sirens)})
    found: list[tuple[UUID, bool]] = await cursor.fetchall()
    if not found:
        return
    await connection.execute(
        _SQL["unplace"], {"ids": [entreprise_id for entreprise_id, _ in found]}
    )
    persons = [entreprise_id for entreprise_id, is_person in found if is_person]
    for name in _WITHDRAWALS if persons else ():
        await connection.execute(_SQL[name], {"ids": persons})


async def _is_resolvable(connection: Connection) -> bool:
    cursor = await connection.execute(_SQL["resolvable"])
    return await cursor.fetchone() == (True,)


def _of_batch(batch: "Batch", sirens: Sequence[str]) -> dict[str, object]:
    return {
        # As one text: psycopg writes the items of an array one by one.
        "sirens": " ".join(set(sirens)),
        "partition": batch.partition,
        "start": batch.start,
        # A row's change may be followed by a later row of the company that changed nothing.
        "unchanged": len(set(sirens)) < len(sirens),
    }


async def _make_isolating(connection: Connection, ids: Sequence[UUID]) -> tuple[Made, int]:
    """Creates the pages of companies, by halves if the site refuses some, and notes which it refuses.

    Returns what was made, and how many of `ids`, from the first on, it is of: all unless that took too
    long, and never none.
    """
    statement = connection.site.complete(_MAKE_CHOSEN)
    until = monotonic() + ISOLATING_SECONDS
    total, looked_at = Made(0, 0, 0, 0), 0
    parts = [ids] if ids else []
    while parts and (looked_at == 0 or monotonic() < until):
        part = parts.pop()
        try:
            async with connection.transaction():
                cursor = await connection.execute(statement, {"ids": list(part)})
                made = Made(*(await cursor.fetchone() or total))
        except psycopg.Error as error:
            if blame(error) is not Blame.ROWS or connection.site.is_violated(error):
                raise
            if len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
                continue
            reason = error.diag.message_primary
            log.warning("the site refuses a page", action="page_refused", reason=reason)
            await connection.execute(_SQL["refuse"], {"id": part[0]})
            made = Made(0, 0, 1, 0)
        total = Made(*map(sum, zip(total, made, strict=True)))
        looked_at += len(part)
    return total, looked_at


async def arrived(connection: Connection, reason: str, keys: Sequence[str | None]) -> None:
    """Notes the arrival of something that pages may lack; `keys` are those of places or activities."""
    await connection.execute(_SQL["arrived"], {"reason": reason, "keys": list(keys)})


async def resolve_some(pool: Pool) -> Made | None:
    """Resolves pages of some arrivals, in one transaction; returns None if no arrival is due."""
    async with transaction(pool) as connection:
        # By then every transaction that began before the arrival was committed has ended.
        grace = f"{2 * pool.silence_seconds + 6} seconds"
        cursor = await connection.execute(_SQL["due"], {"grace": grace})
        due: list[tuple[int, str, str | None, UUID | None]] = await cursor.fetchall()
        if not due:
            return None
        numbers, keys = [number for number, *_ in due], [key for _, _, key, _ in due]
        _, reason, _, after = due[0]
        made, last = await _resolve(
            connection,
            _SQL["of_activities" if reason == "naf" else "waiting"],
            {"reason": reason, "keys": None if None in keys else keys, "after": after},
        )
        if last is None:
            await connection.execute(_SQL["done"], {"ids": numbers})
        else:
            await connection.execute(_SQL["looked"], {"ids": numbers, "after": last})
    return made


async def resolve_all(pool: Pool, after: UUID | None) -> tuple[Made, UUID | None]:
    """Resolves some companies, whether something arrived or not.

    Returns the id to go on after; None if no company is left. Arrivals stay due: a transaction that
    has not seen them may be writing a company.
    """
    async with transaction(pool) as connection:
        return await _resolve(connection, _SQL["of_activities"], {"keys": None, "after": after})


async def _resolve(
    connection: Connection, query: LiteralString, arguments: dict[str, object]
) -> tuple[Made, UUID | None]:
    cursor = await connection.execute(query, {**arguments, "limit": CHUNK})
    ids = [entreprise_id for (entreprise_id,) in await cursor.fetchall()]
    if not ids:
        return Made(0, 0, 0, 0), None
    await connection.execute(NESTED_LOOPS)
    # Waits for a company that is being changed; the next statement reads its current values.
    await connection.execute(_SQL["lock"], {"ids": ids})
    made, looked_at = await _make_isolating(connection, ids)
    await text_requests.note_pages(connection, ids[:looked_at])
    return made, ids[looked_at - 1] if looked_at < len(ids) or len(ids) == CHUNK else None


async def counted(pool: Pool) -> dict[str, int]:
    """Unresolved pages by reason."""
    async with connected(pool) as connection:
        cursor = await connection.execute(_SQL["counted"])
        return dict(await cursor.fetchall())

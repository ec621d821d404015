"""Requests and answers in PostgreSQL: their leases, their results, and the columns that texts fill.

A text is stored in one transaction with everything that it changes: the site's row, the record of
the text, the request, the answer by its hash, the call and its cost.
"""

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from processors.database.pool import Connection
from processors.database.queries import load
from processors.texts.kinds import KINDS, Content, Kind
from processors.texts.model import prompts
from processors.texts.model.prompts import Input, Prompt
from schemas.values.stored import without_nul

_SQL = load("processors.texts.requests", "store.sql")


ALWAYS_OURS = "texte_description_ia"
"""The column of the site that only a model writes."""

Caught = Callable[[Connection], Awaitable[bool]]
"""Whether PostgreSQL holds every answer that Kafka is known to hold. The model is not called before."""


class Request(NamedTuple):
    """A request leased by this worker."""

    id: UUID
    kind: str
    entity_id: UUID
    import_id: UUID | None
    reason: str
    tries: int
    lease: UUID

    @property
    def what(self) -> Kind:
        return KINDS[self.kind]


class Rejected(NamedTuple):
    """An answer that was paid but not accepted."""

    answer: str
    reason: str
    tokens_in: int
    tokens_out: int
    cost: Decimal


class Known(NamedTuple):
    """The result of a prompt. `state`: asking, done or failed."""

    state: str
    content: Content | None
    code: str | None
    message: str | None
    tokens_in: int
    tokens_out: int
    cost: Decimal


class Claimed(NamedTuple):
    """The prompt is claimed by this worker; `rejected` are earlier answers that were not accepted."""

    rejected: Sequence[Rejected]


async def lease(
    connection: Connection, token: UUID, seconds: float, import_seconds: float, *, batched: bool
) -> Request | None:
    """The most urgent request without a lease; not one of the night's if those go in batches."""
    values = {
        "lease": token,
        "seconds": seconds,
        "import_seconds": import_seconds,
        "batched": batched,
    }
    async with connection.cursor(row_factory=class_row(Request)) as cursor:
        await cursor.execute(_SQL["lease"], values)
        return await cursor.fetchone()


async def keep(connection: Connection, request: Request, seconds: float) -> bool | None:
    """Renews the lease. True if the time of the import is over; None if the lease is lost."""
    cursor = await connection.execute(
        _SQL["keep"], {"id": request.id, "lease": request.lease, "seconds": seconds}
    )
    row = await cursor.fetchone()
    return None if row is None else bool(row[0])


async def again(
    connection: Connection,
    request: Request,
    seconds: float,
    *,
    tries: int,
    why: tuple[str, str] | None = None,
) -> bool:
    """Returns a request, to be leased after `seconds`. False if the lease is lost."""
    code, message = why or (None, None)
    cursor = await connection.execute(
        _SQL["again"],
        {
            "id": request.id,
            "lease": request.lease,
            "tries": tries,
            "seconds": seconds,
            "code": code,
            "message": message,
        },
    )
    return cursor.rowcount > 0


async def over(
    connection: Connection,
    request: Request,
    state: str,
    prompt_hash: str | None,
    why: tuple[str, str] | None = None,
) -> bool:
    """Finishes a request: done, failed or left. False if the lease is lost."""
    code, message = why or (None, None)
    cursor = await connection.execute(
        _SQL["over"],
        {
            "id": request.id,
            "lease": request.lease,
            "state": state,
            "prompt_hash": prompt_hash,
            "code": code,
            "message": message,
        },
    )
    row = await cursor.fetchone()
    if row is not None and row[0] is not None:
        await connection.execute(_SQL["mark_imports"], {"ids": [row[0]]})
    return row is not None


async def rest(connection: Connection, request: Request, scope: str, seconds: float) -> None:
    """Postpones the requests of an import if its budget is used up. If a daily or monthly budget is used
    up, stops the time limits of all imports."""
    if scope == "import":
        values = {"import_id": request.import_id, "seconds": seconds}
        await connection.execute(_SQL["rest"], values)
    else:
        await connection.execute(_SQL["stop_clocks"])


async def prompt_input(connection: Connection, request: Request) -> Input | None:
    """The prompt's input about the entity; None if it is gone or has nothing to write about."""
    cursor = await connection.execute(_SQL[request.what.input], {"id": request.entity_id})
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def claim(
    connection: Connection, request: Request, prompt: Prompt, seconds: float
) -> Known | Claimed:
    """Claims a prompt, or returns its result. A user who requests it again gets a new answer."""
    values = {
        "hash": prompt.hash,
        "kind": request.kind,
        "model": prompt.body["model"],
        "version": prompt.version,
        "input_hash": prompt.input_hash,
        "lease": request.lease,
        "seconds": seconds,
        "again": request.reason == "asked",
    }
    cursor = await connection.execute(_SQL["claim"], values)
    if cursor.rowcount:
        return Claimed(await rejected(connection, prompt))
    known = await _known(connection, prompt)
    assert known is not None  # noqa: S101 - the claim found it
    return known


async def rejected(connection: Connection, prompt: Prompt) -> Sequence[Rejected]:
    """The answers to a prompt that were not accepted since it was claimed, in order."""
    async with connection.cursor(row_factory=class_row(Rejected)) as cursor:
        await cursor.execute(_SQL["rejected"], {"hash": prompt.hash})
        return await cursor.fetchall()


async def _known(connection: Connection, prompt: Prompt) -> Known | None:
    async with connection.cursor(row_factory=class_row(Known)) as cursor:
        await cursor.execute(_SQL["known"], {"hash": prompt.hash})
        return await cursor.fetchone()


async def unclaim(connection: Connection, request: Request, prompt: Prompt) -> None:
    """Releases the claim of a prompt."""
    await connection.execute(_SQL["unclaim"], {"hash": prompt.hash, "lease": request.lease})


async def reject(
    connection: Connection, request: Request, prompt: Prompt, answer: Rejected
) -> None:
    """Stores an answer that is not accepted, apart from those that are."""
    await connection.execute(
        _SQL["reject"],
        {
            **answer._asdict(),
            "answer": without_nul(answer.answer),
            "hash": prompt.hash,
            "kind": request.kind,
            "entity_id": request.entity_id,
        },
    )


async def answer(connection: Connection, prompt: Prompt, known: Known) -> Known:
    """Stores the result of a prompt for the same prompt later. An earlier result stays, and is returned."""
    content = None if known.content is None else Jsonb(known.content)
    cursor = await connection.execute(
        _SQL["answered"], {**known._asdict(), "content": content, "hash": prompt.hash}
    )
    return known if cursor.rowcount else await _known(connection, prompt) or known


async def store(connection: Connection, request: Request, prompt: Prompt, known: Known) -> bool:
    """Writes a text into its columns. False if the entity has changed since the request, or is gone.

    The entity's row is locked first: the text must be about its current values.
    """
    kind, model = request.what, str(prompt.body["model"])
    lock = sql.SQL("SELECT FROM {} WHERE id = %s FOR NO KEY UPDATE").format(
        sql.Identifier(kind.table)
    )
    await connection.execute(lock, [request.entity_id])
    now = await prompt_input(connection, request)
    if now is None or prompts.input_hash(now) != prompt.input_hash:
        return False
    content = known.content or {}
    if kind.columns:
        await _fill(connection, request, kind.filled(content))
    else:
        await _synthesis(connection, request, content)
    await connection.execute(
        _SQL["text"],
        {
            "entity_id": request.entity_id,
            "kind": request.kind,
            "hash": prompt.hash,
            "version": prompt.version,
            "model": model,
            "input_hash": prompt.input_hash,
            "content": Jsonb(kind.filled(content) or content),
            "tokens_in": known.tokens_in,
            "tokens_out": known.tokens_out,
            "cost": known.cost,
        },
    )
    return True


async def _fill(connection: Connection, request: Request, texts: dict[str, str]) -> None:
    """Writes columns that are empty or have a text of the model: what people wrote stays.

    Unless the request is about a text of low quality.
    """
    cursor = await connection.execute(
        _SQL["last_text"], {"entity_id": request.entity_id, "kind": request.kind}
    )
    row = await cursor.fetchone()
    before: dict[str, str] = {} if row is None else row[0]
    table = sql.Identifier(request.what.table)
    names = [sql.Identifier(column) for column in texts]
    async with connection.cursor(row_factory=dict_row) as read:
        query = sql.SQL("SELECT {} FROM {} WHERE id = %s")
        await read.execute(query.format(sql.SQL(", ").join(names), table), [request.entity_id])
        stored: dict[str, Any] = await read.fetchone() or {}
    mine = {
        column: text
        for column, text in texts.items()
        if stored[column] != text
        and (
            column == ALWAYS_OURS
            or stored[column] in ("", before.get(column))
            or (request.reason == "low-quality" and request.what.is_poor(stored[column]))
        )
    }
    sets: list[sql.Composable] = [
        sql.SQL("{} = %s").format(sql.Identifier(column)) for column in mine
    ]
    if request.kind == "PROLOCALISATION":
        sets.append(sql.SQL("date_derniere_generation_ia = now()"))
    if sets:
        change = sql.SQL("UPDATE {} SET {}, updated_at = now() WHERE id = %s")
        await connection.execute(
            change.format(table, sql.SQL(", ").join(sets)), [*mine.values(), request.entity_id]
        )


async def _synthesis(connection: Connection, request: Request, content: Content) -> None:
    """Writes the synthesis of a page's public reviews, and what they come to, on its page."""
    cursor = await connection.execute(
        connection.site.complete(_SQL["synthesis"]),
        {
            "entity_id": request.entity_id,
            "job_id": str(request.id),
            "payload": Jsonb(content),
            "texte": content["texte"],
            "points": "\n".join(content["points_forts"]),
            "tendance": content["tendance"],
            "bilan": content["bilan"],
        },
    )
    row = await cursor.fetchone()
    if row is not None:
        rating, reviews = row
        await connection.execute(
            _SQL["rating"],
            {"entity_id": request.entity_id, "rating": rating, "reviews": reviews},
        )

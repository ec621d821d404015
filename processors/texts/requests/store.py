"""Requests and answers in PostgreSQL: their leases and their results.

A text is stored in one transaction with everything that it changes: the site's row and the record of
the text (processors/texts/requests/writing.py), the request, the answer by its hash, the call and its
cost.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from processors.database.pool import Connection
from processors.database.queries import load
from processors.texts.content.prompts import Input, Prompt
from processors.texts.kinds import KINDS, Content, Kind
from schemas.values.stored import without_nul

_SQL = load("processors.texts.requests", "store.sql")


Caught = Callable[[Connection], Awaitable[bool]]
"""Whether PostgreSQL holds every answer that Kafka is known to hold. The model is not called before."""


ANEW = ("regenerate", "overwrite")
"""Reasons of requests for another text than the row has; the second also replaces what people edited."""


class Request(NamedTuple):
    """A request leased by this worker. `generation`: how often the row was given another text."""

    id: UUID
    kind: str
    entity_id: UUID
    import_id: UUID | None
    reason: str
    tries: int
    lease: UUID
    generation: int
    code: str | None = None  # why it is back, if it is

    @property
    def what(self) -> Kind:
        return KINDS[self.kind]

    @property
    def by_a_person(self) -> bool:
        """Whether what failed before is to be tried again."""
        return self.reason in ("asked", *ANEW)


class Rejected(NamedTuple):
    """An answer that was paid but not accepted."""

    answer: str
    reason: str
    tokens_in: int
    tokens_out: int
    cost: Decimal


class Known(NamedTuple):
    """The result of a prompt. `state`: asking, done or failed.

    `reported_model` and `request_id` are what the provider said. `answered_at` None: at this moment.
    """

    state: str
    content: Content | None
    code: str | None
    message: str | None
    tokens_in: int
    tokens_out: int
    cost: Decimal
    reported_model: str | None = None
    request_id: str | None = None
    answered_at: datetime | None = None


class Claimed(NamedTuple):
    """The prompt is claimed by this worker; `rejected` are earlier answers that were not accepted."""

    rejected: Sequence[Rejected]


FAILURE_SECONDS = 3 * 86_400.0
"""How long a failure answers for its prompt. Less than the week after which the nightly plan asks for
what failed: the provider and its filters change."""


async def lease(
    connection: Connection,
    token: UUID,
    seconds: float,
    import_seconds: float,
    import_budget: Decimal | None,
    *,
    batched: bool,
) -> Request | None:
    """The most urgent request without a lease; not one of the night's if those go in batches, and none
    of an import that has no room in its budget (US dollars)."""
    values = {
        "import_budget": import_budget,
        "lease": token,
        "seconds": seconds,
        "import_seconds": import_seconds,
        "batched": batched,
    }
    async with connection.cursor(row_factory=class_row(Request)) as cursor:
        await cursor.execute(_SQL["lease"], values)
        return await cursor.fetchone()


class Waiting(NamedTuple):
    """A request that waits, and its place in the queue."""

    id: UUID
    kind: str
    entity_id: UUID
    import_id: UUID | None
    reason: str
    tries: int
    generation: int
    priority: int
    turn: int
    asked_at: datetime

    @property
    def request(self) -> Request:
        """The request without a lease: nothing that is done with it is written."""
        return Request(*self[:6], UUID(int=0), self.generation)


async def waiting(
    connection: Connection,
    after: Waiting | None,
    limit: int,
    imports: Sequence[UUID] | None = None,
) -> Sequence[Waiting]:
    """The next requests that wait, of these imports if any are named. None of them is leased."""
    place = (
        (-1, 0, datetime.min.replace(tzinfo=UTC), UUID(int=0))
        if after is None
        else (*after[7:], after.id)
    )
    values = dict(zip(("priority", "turn", "asked_at", "id"), place, strict=True))
    async with connection.cursor(row_factory=class_row(Waiting)) as cursor:
        await cursor.execute(
            _SQL["waiting"], {**values, "limit": limit, "imports": imports and list(imports)}
        )
        return await cursor.fetchall()


async def unpaid_imports(connection: Connection, budget: Decimal | None) -> Sequence[UUID]:
    """The imports whose budget (US dollars) was too small for their latest request."""
    cursor = await connection.execute(_SQL["unpaid_imports"], {"import_budget": budget})
    return [import_id for (import_id,) in await cursor.fetchall()]


async def lease_one(
    connection: Connection, request_id: UUID, token: UUID, seconds: float
) -> Request | None:
    """This request, if nobody has it."""
    values = {"id": request_id, "lease": token, "seconds": seconds}
    async with connection.cursor(row_factory=class_row(Request)) as cursor:
        await cursor.execute(_SQL["lease_one"], values)
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


async def stop_clocks(connection: Connection, request: Request, scope: str) -> None:
    """Stops the time limit of an import if its budget is used up; of all imports if a daily or monthly
    budget is."""
    if scope == "import":
        await connection.execute(_SQL["stop_clock"], {"import_id": request.import_id})
    else:
        await connection.execute(_SQL["stop_clocks"])


async def prompt_input(connection: Connection, request: Request) -> Input | None:
    """The prompt's input about the entity; None if it is gone or has nothing to write about."""
    cursor = await connection.execute(_SQL[request.what.input], {"id": request.entity_id})
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def claim(
    connection: Connection, request: Request, prompt: Prompt, seconds: float, settings: str
) -> Known | Claimed:
    """Claims a prompt, or returns its result. A user who requests it again gets a new answer.

    `settings`: a hash; with others than these, or after FAILURE_SECONDS, what failed is asked again.
    """
    values = {
        "hash": prompt.hash,
        "kind": request.kind,
        "model": prompt.body["model"],
        "version": prompt.version,
        "input_hash": prompt.input_hash,
        "lease": request.lease,
        "seconds": seconds,
        "again": request.by_a_person,
        "settings": settings,
        "failure_seconds": FAILURE_SECONDS,
    }
    cursor = await connection.execute(_SQL["claim"], values)
    if cursor.rowcount:
        return Claimed(await rejected(connection, prompt))
    known = await result(connection, prompt)
    assert known is not None  # noqa: S101 - the claim found it
    return known


async def rejected(connection: Connection, prompt: Prompt) -> Sequence[Rejected]:
    """The answers to a prompt that were not accepted since it was claimed, in order."""
    async with connection.cursor(row_factory=class_row(Rejected)) as cursor:
        await cursor.execute(_SQL["rejected"], {"hash": prompt.hash})
        return await cursor.fetchall()


async def result(connection: Connection, prompt: Prompt) -> Known | None:
    """The result of a prompt, or that it is asked."""
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
    return known if cursor.rowcount else await result(connection, prompt) or known

"""Uses answers that are known already while the model may not be asked: they cost nothing.

What waits for money, for an operator or for the provider is not leased (model_caller.py): each request
would be written again and again. Here the queue is read, and only what has an answer is written.
"""

from collections.abc import Sequence
from time import monotonic
from uuid import UUID, uuid4

from processors.database.pool import Connection, Pool
from processors.texts.content.prompts import Prompt
from processors.texts.model import call_limits
from processors.texts.model.answer_handling import AnswerHandling, Terms, handling
from processors.texts.requests import store
from processors.texts.requests.store import Known, Request, Waiting

CHUNK = 50
"""Requests that are looked at in one step."""

PAUSE_SECONDS = 60.0
"""Between two looks at all that waits."""

LEASE_SECONDS = 20.0


class KnownAnswers:
    """One in each process."""

    def __init__(self, pool: Pool, terms: Terms) -> None:
        self._pool = pool
        self._terms = terms
        self._last: Waiting | None = None
        self._pause_until = 0.0

    async def step(self) -> None:
        """Looks at the next requests that wait."""
        if monotonic() < self._pause_until:
            return
        async with handling(self._pool, self._terms) as handle:
            waiting = await self._waiting(handle.connection)
            known = [each for each in waiting if await _answer(handle, each.request)]
        for each in known:
            await self._use(each.id)
        if len(waiting) < CHUNK:
            self._last, self._pause_until = None, monotonic() + PAUSE_SECONDS
        else:
            self._last = waiting[-1]

    async def _waiting(self, connection: Connection) -> Sequence[Waiting]:
        limits = self._terms.limits
        standing = await call_limits.standing(connection, limits.model)
        if standing["shut"] or await call_limits.is_used_up(connection, limits):
            return await store.waiting(connection, self._last, CHUNK)
        imports = await store.unpaid_imports(connection, limits.budgets.get("import"))
        return await store.waiting(connection, self._last, CHUNK, imports) if imports else []

    async def _use(self, request_id: UUID) -> None:
        async with handling(self._pool, self._terms) as handle:
            request = await store.lease_one(handle.connection, request_id, uuid4(), LEASE_SECONDS)
            if request is None:
                return
            found = await _answer(handle, request)
            if found is None:  # the row has changed meanwhile
                await store.again(handle.connection, request, 0, tries=request.tries)
            else:
                await handle.use(request, *found)


async def _answer(handle: AnswerHandling, request: Request) -> tuple[Prompt, Known] | None:
    """The text that is known for a request."""
    prompt = await handle.prompt(request)
    found = prompt and await store.result(handle.connection, prompt)
    return (prompt, found) if prompt and found and found.state == "done" else None

"""The night's texts by OpenAI's Batch API (FOX_AI_BATCH): half the price, within a day.

A batch is written down with its requests, what is sent and what is reserved for it before anything
goes to the provider, and carries our id there: whoever finds it after a kill goes on where it was, and
no batch is made twice. Its requests are leased to it, not to a process. What it does not answer waits
for the next one.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import structlog
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from processors import metrics
from processors.database.pool import Connection, Pool, transaction
from processors.database.queries import load
from processors.texts.content.prompts import Input, Prompt
from processors.texts.kinds import KINDS
from processors.texts.model import call_limits, halts
from processors.texts.model.answer_handling import ZERO, AnswerHandling, Asked, Terms, handling
from processors.texts.model.call_limits import Denial, Permit, Used
from processors.texts.requests import store
from processors.texts.requests.store import Caught, Claimed, Request
from processors.texts.server import batch_lines
from processors.texts.server.batch_lines import LOST, TOO_LARGE, BatchState, state_of
from processors.texts.server.failures import CallError, Trouble
from processors.texts.server.provider import Provider
from processors.texts.server.replies import Reply

log = structlog.get_logger(__name__)

_SQL = load("processors.texts.model", "batch_api.sql")

CHUNK = 50
"""Requests that one transaction adds to a batch."""

MOST_REQUESTS = 2000
"""In one batch: each is in memory once when they are sent, and once when they are answered."""

REQUEST_SECONDS = 26 * 3600.0
"""How long a batch holds its requests: the provider's day, and time to read what it answered."""

LEASE_SECONDS = 300.0
"""Of a batch that a process works on."""

AGAIN_SECONDS = 60.0
"""How long until a request is tried again whose prompt is already claimed."""


class ProviderBatch(NamedTuple):
    """A batch leased by this process. `provider_id` is None if it was not sent, or that is unknown."""

    id: UUID
    provider_id: str | None


class _Item(NamedTuple):
    request_id: UUID
    call_id: int
    prompt_hash: str
    input_hash: str
    body: Input


class Batcher:
    """One in each process; the lease of a batch decides whose it is. `terms` are those of batches."""

    def __init__(self, pool: Pool, provider: Provider, terms: Terms, caught_up: Caught) -> None:
        self._pool = pool
        self._provider = provider
        self._terms = terms
        self._model = terms.limits.model
        self._caught_up = caught_up

    async def step(self) -> None:
        """One look at an open batch, or a new one of what waits; none is made where that is off."""
        lease = uuid4()
        async with transaction(self._pool) as connection:
            await connection.execute(_SQL["unfilled"])
            standing = await call_limits.standing(connection, self._model)
            if standing["shut"]:
                return
            calls = await call_limits.standing(connection, self._terms.asked_model)
            batch = await self._lease(connection, lease)
        good = not calls["halted"] and self._terms.limits.proof in calls["proven"]
        if batch is None and self._terms.batched and good:
            # While it is open because of bad answers, a few show whether they are better.
            most = call_limits.LAST_ANSWERS if standing["open"] else MOST_REQUESTS
            batch = await self._make(lease, most)
        if batch is not None:
            await self._see_to(batch, lease)
        await self._tidy()

    async def _see_to(self, batch: ProviderBatch, lease: UUID) -> None:
        try:
            await self._advance(batch, lease)
        except CallError as error:
            log.warning("a batch waits", action="ai_batch_waits", code=error.code)
            async with transaction(self._pool) as connection:
                if error.trouble is Trouble.REFUSED:
                    await halts.halt(connection, self._model, error, again=True)
                else:
                    await call_limits.failed(connection, self._terms.limits, error)
        finally:
            async with transaction(self._pool) as connection:
                await connection.execute(_SQL["release"], {"lease": lease})

    async def _lease(self, connection: Connection, lease: UUID) -> ProviderBatch | None:
        values = {"lease": lease, "seconds": LEASE_SECONDS, "model": self._model}
        async with connection.cursor(row_factory=class_row(ProviderBatch)) as cursor:
            await cursor.execute(_SQL["lease"], values)
            return await cursor.fetchone()

    async def _make(self, lease: UUID, most: int) -> ProviderBatch | None:
        """A new batch of what waits, of so many requests at most; None where nothing does."""
        batch = ProviderBatch(uuid4(), None)
        values: dict[str, Any] = {
            "id": batch.id, "model": self._model, "lease": lease, "seconds": LEASE_SECONDS,
        }  # fmt: skip
        size, more = 0, True
        most = min(most, await self._room())
        while more and size < most:
            values["limit"] = min(CHUNK, most - size)
            async with handling(self._pool, self._terms) as handle:
                if not await self._caught_up(handle.connection):
                    break
                if await call_limits.is_used_up(handle.connection, self._terms.limits):
                    break
                await handle.connection.execute(_SQL["make"], values)
                added, more = await self._add(handle, batch, values["limit"])
                size += added
        async with transaction(self._pool) as connection:
            await connection.execute(_SQL["filled" if size else "drop"], values)
        return batch if size else None

    async def _room(self) -> int:
        """How many requests a batch may have: all, or half of one that was too large for the account;
        then none is sent beside another."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(
                _SQL["room"], {"model": self._model, "too_large": TOO_LARGE}
            )
            most, is_open = await cursor.fetchone() or (None, False)
        if most is None:
            return MOST_REQUESTS
        return 0 if is_open else max(most, 1)

    async def _add(
        self, handle: AnswerHandling, batch: ProviderBatch, limit: int
    ) -> tuple[int, bool]:
        """Adds some requests; how many, and whether there may be more."""
        values = {"lease": batch.id, "seconds": REQUEST_SECONDS, "limit": limit}
        async with handle.connection.cursor(row_factory=class_row(Request)) as cursor:
            await cursor.execute(_SQL["requests"], values)
            requests = await cursor.fetchall()
        added = 0
        for number, request in enumerate(requests):
            found = await self._add_one(handle, batch, request)
            if isinstance(found, Denial):
                for left in requests[number:]:
                    await handle.rest(left, found)
                return added, False
            added += found
        return added, len(requests) == limit

    async def _add_one(
        self, handle: AnswerHandling, batch: ProviderBatch, request: Request
    ) -> int | Denial:
        """1 where the request is in the batch now, 0 where it is over or somebody asks the same."""
        connection = handle.connection
        prompt = await handle.prompt(request)
        if prompt is None:
            return 0
        cursor = await connection.execute(_SQL["asked"], {"hash": prompt.hash})
        if await cursor.fetchone():  # a batch asks the very same
            await store.again(connection, request, AGAIN_SECONDS, tries=request.tries)
            return 0
        claim = await store.claim(
            connection, request, prompt, REQUEST_SECONDS, self._terms.limits.settings
        )
        if isinstance(claim, Claimed):
            denial = await self._reserve(handle, batch, request, prompt, claim)
            if denial is not None:
                await store.unclaim(connection, request, prompt)
            return denial or 1
        if claim.state == "asking":  # a caller, at this moment
            await store.again(connection, request, AGAIN_SECONDS, tries=request.tries)
        else:
            await handle.use(request, prompt, claim)
        return 0

    async def _reserve(
        self,
        handle: AnswerHandling,
        batch: ProviderBatch,
        request: Request,
        prompt: Prompt,
        claim: Claimed,
    ) -> Denial | None:
        wanted, call = handle.call(request, prompt, claim.rejected)
        body = self._provider.spoken(wanted)
        got = await call_limits.reserve(
            handle.connection, self._terms.limits, call, REQUEST_SECONDS
        )
        if isinstance(got, Denial):
            return got
        await handle.connection.execute(
            _SQL["add"],
            {
                "batch": batch.id,
                "request": request.id,
                "call": got.id,
                "hash": prompt.hash,
                "input_hash": prompt.input_hash,
                "body": Jsonb(body),
            },
        )
        return None

    async def _advance(self, batch: ProviderBatch, lease: UUID) -> None:
        """Sends a batch that was not, reads one that is answered."""
        provider_id = batch.provider_id or await self._send(batch, lease)
        found = await self._state(batch, provider_id)
        by_request = {
            str(line.get("custom_id")): line
            for name in (found.answers if found.over else ())
            for line in batch_lines.lines_of(await self._provider.content(name))
        }
        # Before the lines are read: what they say of the account holds.
        async with transaction(self._pool) as connection:
            await call_limits.works(connection, self._model)
            await halts.resume(connection, self._model)
        if found.failure is not None:
            size = await self._dissolve(batch, lease, found.failure, found.files)
            if found.failure.code != TOO_LARGE or size <= 1:
                raise found.failure
        elif found.over:
            log.info("a batch is answered", action="ai_batch_over", status=found.status)
            await self._finish(batch, lease, by_request, found)

    async def _state(self, batch: ProviderBatch, provider_id: str) -> BatchState:
        """How a batch stands; LOST if the provider can be asked and has no such batch."""
        try:
            return state_of(await self._provider.batch(provider_id))
        except CallError as error:
            if error.code != "http-404" or await self._provider.find_batch(str(batch.id)):
                raise
            return LOST

    async def _finish(
        self, batch: ProviderBatch, lease: UUID, by_request: Mapping[str, Any], found: BatchState
    ) -> None:
        """Accounts for all calls of the batch, answered or not."""
        while items := await self._items(batch, lease):
            for item in items:
                async with handling(self._pool, self._terms) as handle:
                    line = by_request.get(str(item.request_id))
                    came = batch_lines.came(line, lost=found is LOST)
                    await self._finish_call(handle, batch, item, came)
        await self._over(batch, found.status, None, found.files)

    async def _dissolve(
        self, batch: ProviderBatch, lease: UUID, error: CallError, files: Sequence[str] = ()
    ) -> int:
        """Returns the requests of a batch that was refused as a whole; how many. None was answered."""
        log.warning(
            "a batch is refused", action="ai_batch_refused", code=error.code, reason=str(error)
        )
        size = 0
        while items := await self._items(batch, lease):
            for item in items:
                async with handling(self._pool, self._terms) as handle:
                    await self._return(handle, batch, item, error)
            size += len(items)
        await self._over(batch, error.code, error, files, size)
        return size

    async def _return(
        self, handle: AnswerHandling, batch: ProviderBatch, item: _Item, error: CallError
    ) -> None:
        """Returns one request, which loses no try."""
        unsent = Used("void", 0, ZERO, error.code)
        await call_limits.account(handle.connection, self._model, Permit(item.call_id, inf), unsent)
        request = await self._taken_out(handle.connection, batch, item)
        if request is not None:
            why = (error.code, str(error))
            await store.again(
                handle.connection, request, AGAIN_SECONDS, tries=request.tries, why=why
            )
            await store.unclaim(handle.connection, request, _prompt(request, item))

    async def _over(
        self,
        batch: ProviderBatch,
        outcome: str,
        error: CallError | None,
        files: Sequence[str],
        size: int | None = None,
    ) -> None:
        values = {
            "id": batch.id,
            "outcome": outcome,
            "reason": error and str(error),
            "files": list(files),
            "requests": size,
        }
        async with transaction(self._pool) as connection:
            await connection.execute(_SQL["over"], values)

    async def _tidy(self) -> None:
        """Deletes a batch's files at the provider, once they were read; what fails is tried again."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(_SQL["untidy"], {"model": self._model})
            row: tuple[UUID, list[str]] | None = await cursor.fetchone()
        for file_id in row[1] if row else ():
            try:
                await self._provider.delete(file_id)
            except CallError as error:
                log.warning(
                    "a file stays at the provider",
                    action="ai_file_stays",
                    code=error.code,
                    reason=str(error),
                )
                # If it is refused, the provider has no such file, or does not delete files.
                if error.trouble is not Trouble.REFUSED:
                    return
            async with transaction(self._pool) as connection:
                values = {"id": row and row[0], "file": file_id}
                await connection.execute(_SQL["tidied"], values)

    async def _send(self, batch: ProviderBatch, lease: UUID) -> str:
        """The provider's id of the batch. It may have it already: the answer did not come."""
        provider_id = await self._provider.find_batch(str(batch.id))
        if provider_id is None:
            lines = await self._lines(batch)
            try:
                provider_id = await self._provider.send_batch(b"".join(lines), str(batch.id))
            except CallError as error:
                if error.code in ("http-413", TOO_LARGE):  # the file is too large
                    error = CallError(Trouble.REFUSED, TOO_LARGE, str(error))
                if error.trouble is Trouble.REFUSED:
                    await self._dissolve(batch, lease, error)
                raise error from None
        async with transaction(self._pool) as connection:
            values = {"id": batch.id, "provider_id": provider_id}
            cursor = await connection.execute(_SQL["sent"], values)
            calls: tuple[int] = await cursor.fetchone() or (0,)
        for outcome in ("made", "batched"):
            metrics.AI_CALLS.labels(outcome).inc(calls[0])
        return provider_id

    async def _lines(self, batch: ProviderBatch) -> list[bytes]:
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(_SQL["bodies"], {"id": batch.id})
            return [batch_lines.line(one, body) for one, body in await cursor.fetchall()]

    async def _items(self, batch: ProviderBatch, lease: UUID) -> list[_Item]:
        """Some calls that are not accounted for, with a renewed lease."""
        async with transaction(self._pool) as connection:
            values = {"id": batch.id, "lease": lease, "seconds": LEASE_SECONDS, "limit": CHUNK}
            await connection.execute(_SQL["keep"], values)
            async with connection.cursor(row_factory=class_row(_Item)) as cursor:
                await cursor.execute(_SQL["items"], values)
                return await cursor.fetchall()

    async def _finish_call(
        self, handle: AnswerHandling, batch: ProviderBatch, item: _Item, came: Reply | CallError
    ) -> None:
        """Accounts for one call, in one transaction with its removal from the batch."""
        connection = handle.connection
        request = await self._taken_out(connection, batch, item)
        if request is None:
            return
        prompt = _prompt(request, item)
        if isinstance(came, CallError):
            came = self._provider.judged(came, item.body)
        if await handle.finish(Asked(request, prompt, Permit(item.call_id, inf)), came):
            # In the next batch.
            await store.again(connection, request, 0, tries=request.tries)
            await store.unclaim(connection, request, prompt)

    async def _taken_out(
        self, connection: Connection, batch: ProviderBatch, item: _Item
    ) -> Request | None:
        """The request of an item, which is removed from the batch; None if there is none any more."""
        values = {"batch": batch.id, "request": item.request_id}
        await connection.execute(_SQL["leave"], values)
        async with connection.cursor(row_factory=class_row(Request)) as cursor:
            await cursor.execute(_SQL["request"], values)
            return await cursor.fetchone()


def _prompt(request: Request, item: _Item) -> Prompt:
    return Prompt(KINDS[request.kind], item.body, item.prompt_hash, item.input_hash)

"""The night's texts by OpenAI's Batch API (FOX_AI_BATCH): half the price, within a day.

A batch is written down with its requests, what is sent and what is reserved for it before anything
goes to the provider, and carries our id there: whoever finds it after a kill goes on where it was, and
no batch is made twice. Its requests are leased to it, not to a process. What it does not answer waits
for the next one.
"""

import json
from collections.abc import Iterator, Mapping
from math import inf
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import structlog
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from processors import metrics
from processors.database.pool import Connection, Pool, transaction
from processors.database.queries import load
from processors.texts.kinds import KINDS
from processors.texts.model import call_limits
from processors.texts.model.answer_handling import AnswerHandling, Asked, Terms, handling
from processors.texts.model.call_limits import Denial, Permit
from processors.texts.model.prompts import Input, Prompt
from processors.texts.model.provider import CallError, Provider, Reply, Trouble, of_status, reply_of
from processors.texts.requests import store
from processors.texts.requests.store import Caught, Claimed, Request

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
            if (await call_limits.standing(connection, self._model))["shut"]:
                return
            batch = await self._lease(connection, lease)
        if batch is None and self._terms.batched:
            batch = await self._make(lease)
        if batch is None:
            return
        try:
            await self._advance(batch, lease)
        except CallError as error:
            log.warning("a batch waits", action="ai_batch_waits", code=error.code)
            async with transaction(self._pool) as connection:
                await call_limits.failed(connection, self._terms.limits, error)
            if error.trouble is Trouble.PROMPT:  # the batch itself is refused
                await self._finish(batch, lease, {}, error.code)
        finally:
            async with transaction(self._pool) as connection:
                await connection.execute(_SQL["release"], {"lease": lease})

    async def _lease(self, connection: Connection, lease: UUID) -> ProviderBatch | None:
        values = {"lease": lease, "seconds": LEASE_SECONDS, "model": self._model}
        async with connection.cursor(row_factory=class_row(ProviderBatch)) as cursor:
            await cursor.execute(_SQL["lease"], values)
            return await cursor.fetchone()

    async def _make(self, lease: UUID) -> ProviderBatch | None:
        """A new batch of what waits; None where nothing does."""
        batch = ProviderBatch(uuid4(), None)
        values = {
            "id": batch.id, "model": self._model, "lease": lease, "seconds": LEASE_SECONDS,
        }  # fmt: skip
        size, more = 0, True
        while more and size < MOST_REQUESTS:
            async with handling(self._pool, self._terms) as handle:
                if not await self._caught_up(handle.connection):
                    break
                await handle.connection.execute(_SQL["make"], values)
                added, more = await self._add(handle, batch)
                size += added
        async with transaction(self._pool) as connection:
            await connection.execute(_SQL["filled" if size else "drop"], values)
        return batch if size else None

    async def _add(self, handle: AnswerHandling, batch: ProviderBatch) -> tuple[int, bool]:
        """Adds some requests; how many, and whether there may be more."""
        values = {"lease": batch.id, "seconds": REQUEST_SECONDS, "limit": CHUNK}
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
        return added, len(requests) == CHUNK

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
        claim = await store.claim(connection, request, prompt, REQUEST_SECONDS)
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
        provider_id = batch.provider_id or await self._send(batch)
        found = await self._provider.batch(provider_id)
        by_request = {
            str(line.get("custom_id")): line
            for name in (found.files if found.over else ())
            for line in lines_of(await self._provider.content(name))
        }
        # Before the lines are read: what they say of the account holds.
        async with transaction(self._pool) as connection:
            await call_limits.works(connection, self._model)
        if found.over:
            log.info("a batch is answered", action="ai_batch_over", status=found.status)
            await self._finish(batch, lease, by_request, found.status)

    async def _finish(
        self, batch: ProviderBatch, lease: UUID, by_request: Mapping[str, Any], outcome: str
    ) -> None:
        """Accounts for all calls of the batch, answered or not."""
        while items := await self._items(batch, lease):
            for item in items:
                async with handling(self._pool, self._terms) as handle:
                    line = by_request.get(str(item.request_id))
                    await self._finish_call(handle, batch, item, _came(line))
        async with transaction(self._pool) as connection:
            await connection.execute(_SQL["over"], {"id": batch.id, "outcome": outcome})

    async def _send(self, batch: ProviderBatch) -> str:
        """The provider's id of the batch. It may have it already: the answer did not come."""
        provider_id = await self._provider.find_batch(str(batch.id))
        if provider_id is None:
            lines = await self._lines(batch)
            provider_id = await self._provider.send_batch(b"".join(lines), str(batch.id))
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
            return [_line(request_id, body) for request_id, body in await cursor.fetchall()]

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
        values = {"batch": batch.id, "request": item.request_id}
        await connection.execute(_SQL["leave"], values)
        async with connection.cursor(row_factory=class_row(Request)) as cursor:
            await cursor.execute(_SQL["request"], values)
            request = await cursor.fetchone()
        if request is None:
            return
        prompt = _prompt(request, item)
        if isinstance(came, CallError):
            came = self._provider.judged(came, item.body)
        if await handle.finish(Asked(request, prompt, Permit(item.call_id, inf)), came):
            # In the next batch.
            await store.again(connection, request, 0, tries=request.tries)
            await store.unclaim(connection, request, prompt)


def _prompt(request: Request, item: _Item) -> Prompt:
    return Prompt(KINDS[request.kind], item.body, item.prompt_hash, item.input_hash)


def _line(request_id: UUID, body: Any) -> bytes:
    asked = {
        "custom_id": str(request_id),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }
    return json.dumps(asked, ensure_ascii=False).encode() + b"\n"


def _came(line: Mapping[str, Any] | None) -> Reply | CallError:
    """What a line of the answer says. Whether the provider can be asked now it does not say."""
    try:
        return reply_of(_answer(line))
    except CallError as error:
        if error.trouble is not Trouble.TRANSIENT:
            return error
        return CallError(Trouble.TRANSIENT_IN_BATCH, error.code, str(error), unsure=error.unsure)


def _answer(line: Mapping[str, Any] | None) -> Any:
    """The body of an answer. Raises CallError for what is none, or never came."""
    if line is None:
        raise CallError(Trouble.TRANSIENT, "batch", "the batch ended before it was asked")
    response, error = _object(line.get("response")), line.get("error")
    status, body = response.get("status_code"), _object(response.get("body"))
    if not isinstance(status, int):
        raise CallError(Trouble.TRANSIENT, "batch", of_status(0, error, {}).args[0])
    if status != 200:
        raise of_status(status, body.get("error"), {})
    return body


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def lines_of(content: bytes) -> Iterator[dict[str, Any]]:
    """The answers of a file of the provider's; what is no JSON object is no answer."""
    for text in content.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line

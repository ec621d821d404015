"""The workers that ask the model: from a request to a text, with the one retry loop there is.

A worker leases a request, looks whether its prompt was answered before, waits for a permit, and asks.
Waiting holds nothing but the lease. A worker that is killed leaves its request to the others; of a
call that was under way nobody knows whether it is paid: it is noted as lost and made again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import NamedTuple
from uuid import uuid4

import structlog
from pydantic import ValidationError

from processors import metrics
from processors.database.pool import Connection, Pool, transaction
from processors.enrichment import limits, prompts, storing
from processors.enrichment.answers import told
from processors.enrichment.limits import Call, Limits, Permit, Refusal, Used
from processors.enrichment.prompts import Prompt
from processors.enrichment.provider import CallError, Provider, Reply, Trouble
from processors.enrichment.storing import Claimed, Known, Rejected, Request
from processors.writing.sqlstate import passes
from schemas.prices import Price

log = structlog.get_logger(__name__)

IDLE_SECONDS = 1.0
LEASE_SECONDS = 20.0
"""Of a request that waits; renewed with each look. One that is asked is leased for as long as a call
may take."""

WAIT_SECONDS = 5.0
"""Longest between two looks at what a worker waits for."""

MOST_ASKS = 3
"""A prompt, and twice again with what was wrong with the answer."""

STOP_SECONDS = 5.0
"""Longest wait of a worker that is stopped for the answer to a call that may be paid already."""

ZERO = Decimal(0)

Caught = Callable[[Connection], Awaitable[bool]]
"""Whether PostgreSQL holds every answer that is known to stand on the topic of results."""


@dataclass(frozen=True)
class Terms:
    """How requests are dealt with. Seconds; `retries` of a call that failed for what passes.

    `batched`: the night's requests are left to batches (processors/enrichment/batching.py).
    """

    asked_model: str
    limits: Limits
    price: Price
    retry_seconds: float
    retries: int
    import_seconds: float
    batched: bool


class _Stop(Exception):  # noqa: N818 - no error: this request is over, or somebody else's
    """Nothing more is to be done with the request."""


class _Judged(NamedTuple):
    """What a reply is worth: an answer; or why not, `final` where asking again is no use."""

    known: Known | None
    code: str = ""
    reason: str = ""
    final: bool = False


class Worker:
    """One of several in a process; they share nothing but the database."""

    def __init__(self, pool: Pool, provider: Provider, terms: Terms, caught_up: Caught) -> None:
        self._pool = pool
        self._provider = provider
        self._terms = terms
        self._limits = terms.limits
        self._caught_up = caught_up

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            work = asyncio.create_task(self._next())
            try:
                worked = await asyncio.shield(work)
            except asyncio.CancelledError:
                await _finish(work)
                raise
            except Exception as error:  # the request is taken up again when its lease ends
                worked = False
                if passes(error):
                    log.warning("texts are late", action="texts_late", reason=repr(error))
                else:
                    log.exception("a text failed", action="text_failed")
            if not worked:
                await asyncio.sleep(IDLE_SECONDS)

    async def _next(self) -> bool:
        """Deals with one request; False where there is none."""
        async with transaction(self._pool) as connection:
            standing = await limits.standing(connection, self._limits.model)
            # Else it would claim an answer that is still being read from the topic, and pay for it.
            if standing["halted"] or not await self._caught_up(connection):
                return False
            request = await storing.lease(
                connection,
                uuid4(),
                LEASE_SECONDS,
                self._terms.import_seconds,
                batched=self._terms.batched,
            )
            if request is None:
                return False
            given = await storing.given(connection, request)
            if given is None:
                why = ("no-input", "the row is gone, or has no public review to speak of")
                await self._end(connection, request, "failed", None, why)
                return True
            prompt = prompts.prompt(request.what, given, self._terms.asked_model)
            found = await storing.claim(connection, request, prompt, LEASE_SECONDS)
            if isinstance(found, Known):
                await self._take_known(connection, request, prompt, found)
                return True
        with suppress(_Stop):
            await self._ask(request, prompt, found)
        return True

    async def _take_known(
        self, connection: Connection, request: Request, prompt: Prompt, known: Known
    ) -> None:
        """Uses what was answered before; nothing is paid."""
        if known.state == "asking":  # by somebody else, at this moment
            await storing.again(connection, request, IDLE_SECONDS, tries=request.tries)
        elif known.state == "failed":
            why = (known.code or "", known.message or "")
            await self._end(connection, request, "failed", prompt.hash, why)
        else:
            await self._store(connection, request, prompt, known, "cached")

    async def _ask(self, request: Request, prompt: Prompt, claimed: Claimed) -> None:
        """Asks until there is an answer, or none can be hoped for."""
        rejected = list(claimed.rejected)
        while len(rejected) < MOST_ASKS:
            body = prompt.again([(r.answer, r.reason) for r in rejected])
            permit = await self._permit(request, prompt, body, len(rejected))
            try:
                reply = await self._provider.ask(body)
            except CallError as error:
                await self._failed(request, prompt, permit, error)
                raise _Stop from error
            if reply.wait is not None:
                await self._persist(
                    partial(limits.block, model=self._limits.model, seconds=reply.wait)
                )
            judged = judge(request, reply, self._terms.price)
            if judged.known is not None:
                await self._answered(request, prompt, permit, judged.known, rejected)
                return
            refused = bad(reply, judged.reason, self._terms.price)
            rejected.append(refused)
            final = judged.final or len(rejected) == MOST_ASKS
            await self._refused(request, prompt, permit, refused, judged.code if final else None)
            if final:
                return

    async def _permit(
        self, request: Request, prompt: Prompt, body: prompts.Input, ask: int
    ) -> Permit:
        """Waits for a permit. Raises _Stop where the request is not to be waited with."""
        reserve = prompts.tokens(body)
        out = prompts.longest(body)
        cost = self._terms.price.cost(reserve - out, out)
        call = Call(request.id, prompt.hash, ask, request.import_id, reserve, cost)
        while True:
            async with transaction(self._pool) as connection:
                got = await self._take(connection, request, prompt, call)
            if got is None:
                raise _Stop
            if isinstance(got, Refusal):
                pause = min(max(got.seconds, 0.01), WAIT_SECONDS)
                await asyncio.sleep(pause * random.uniform(1, 1.1))  # noqa: S311 - no secret
            elif got.expired:
                async with transaction(self._pool) as connection:
                    await limits.settle(connection, self._limits.model, got, Used("void", 0, ZERO))
            else:
                metrics.AI_CALLS.labels("made").inc()
                return got

    async def _take(
        self, connection: Connection, request: Request, prompt: Prompt, call: Call
    ) -> Permit | Refusal | None:
        """A permit or why there is none; None where the request is not to be waited with."""
        if not await self._hold(connection, request, prompt):
            return None
        if not await self._caught_up(connection):
            return Refusal("results", IDLE_SECONDS)
        got = await limits.take(connection, self._limits, call)
        if isinstance(got, Permit):
            await storing.keep(connection, request, self._limits.call_seconds)
            await storing.claim(connection, request, prompt, self._limits.call_seconds)
        elif got.why in ("budget", "halted"):
            await self._rest(connection, request, prompt, got)
            return None
        return got

    async def _hold(self, connection: Connection, request: Request, prompt: Prompt) -> bool:
        """Renews both leases. False where they are lost or the import's time is over."""
        late = await storing.keep(connection, request, LEASE_SECONDS)
        if late is None:
            return False
        if late:
            why = ("time", "the time of its import was over")
            await self._end(connection, request, "left", prompt.hash, why)
            await storing.unclaim(connection, request, prompt)
            return False
        if isinstance(await storing.claim(connection, request, prompt, LEASE_SECONDS), Known):
            # Somebody else has it, or the topic had the answer.
            await storing.again(connection, request, 0, tries=request.tries)
            return False
        return True

    async def _rest(
        self, connection: Connection, request: Request, prompt: Prompt, refusal: Refusal
    ) -> None:
        """Gives a request back that no money is there for: it goes on when there is."""
        await storing.again(
            connection, request, WAIT_SECONDS, tries=request.tries,
            why=(refusal.why, f"{refusal.why} {refusal.scope or ''}".strip()),
        )  # fmt: skip
        await storing.unclaim(connection, request, prompt)
        if refusal.why == "budget":
            await storing.rest(connection, request, refusal.scope or "", WAIT_SECONDS)

    async def _failed(
        self, request: Request, prompt: Prompt, permit: Permit, error: CallError
    ) -> None:
        log.info("call failed", action="ai_call_failed", code=error.code, kind=request.kind)
        metrics.AI_CALLS.labels("failed").inc()

        async def write(connection: Connection) -> None:
            if error.unsure:
                await limits.leave_reserved(connection, permit, error.code)
            else:
                used = Used("failed", 0, ZERO, error.code)
                await limits.settle(connection, self._limits.model, permit, used)
            blamed = await limits.failed(connection, self._limits, error)
            tries = request.tries + blamed
            why = (error.code, str(error))
            if error.trouble is Trouble.PROMPT:
                await storing.answer(connection, prompt, failed_answer(*why))
                await self._end(connection, request, "failed", prompt.hash, why)
            elif tries > self._terms.retries:
                await self._end(connection, request, "failed", prompt.hash, why)
                await storing.unclaim(connection, request, prompt)
            else:
                await storing.again(connection, request, self._pause(tries), tries=tries, why=why)
                await storing.unclaim(connection, request, prompt)
                metrics.ENRICHMENT_REQUESTS.labels("retried").inc()

        await self._persist(write)

    async def _persist(self, write: Callable[[Connection], Awaitable[None]]) -> None:
        """Writes what a call has come to, for as long as it takes: it may have been paid."""
        pause = IDLE_SECONDS
        while True:
            try:
                async with transaction(self._pool) as connection:
                    return await write(connection)
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("an answer waits", action="answer_waits", reason=repr(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, WAIT_SECONDS)

    def _pause(self, tries: int) -> float:
        """Full jitter, over a time that doubles with each try."""
        return random.uniform(0, self._terms.retry_seconds * 2 ** max(tries - 1, 0))  # noqa: S311

    async def _answered(
        self,
        request: Request,
        prompt: Prompt,
        permit: Permit,
        known: Known,
        rejected: list[Rejected],
    ) -> None:
        """Stores an answer with all that it has cost, re-asks included."""
        self._count(known.tokens_in, known.tokens_out, known.cost)
        all_of_it = whole(known, rejected)

        async def write(connection: Connection) -> None:
            used = Used("answered", known.tokens_in + known.tokens_out, known.cost)
            await limits.settle(connection, self._limits.model, permit, used)
            await limits.works(connection, self._limits.model)
            await storing.answer(connection, prompt, all_of_it)
            await self._store(connection, request, prompt, all_of_it, "done")

        await self._persist(write)

    async def _refused(
        self, request: Request, prompt: Prompt, permit: Permit, refused: Rejected, code: str | None
    ) -> None:
        """Keeps an answer that is not taken; `code` where it was the last."""
        self._count(refused.tokens_in, refused.tokens_out, refused.cost)
        metrics.AI_REJECTED.labels(code or "asked-again").inc()

        async def write(connection: Connection) -> None:
            used = Used("answered", refused.tokens_in + refused.tokens_out, refused.cost, code)
            await limits.settle(connection, self._limits.model, permit, used)
            await limits.works(connection, self._limits.model)
            await storing.reject(connection, request, prompt, refused)
            if code is not None:
                await storing.answer(connection, prompt, failed_answer(code, refused.reason))
                await self._end(connection, request, "failed", prompt.hash, (code, refused.reason))

        await self._persist(write)

    async def _store(
        self, connection: Connection, request: Request, prompt: Prompt, known: Known, how: str
    ) -> None:
        if await storing.store(connection, request, prompt, known):
            await self._end(connection, request, "done", prompt.hash, outcome=how)
        else:  # asked anew, of what the row is now
            await storing.again(connection, request, 0, tries=request.tries)
            metrics.ENRICHMENT_REQUESTS.labels("changed").inc()

    async def _end(
        self,
        connection: Connection,
        request: Request,
        state: str,
        prompt_hash: str | None,
        why: tuple[str, str] | None = None,
        outcome: str | None = None,
    ) -> None:
        if await storing.over(connection, request, state, prompt_hash, why):
            metrics.ENRICHMENT_REQUESTS.labels(outcome or state).inc()

    def _count(self, tokens_in: int, tokens_out: int, cost: Decimal) -> None:
        metrics.AI_TOKENS.labels("in", self._limits.model).inc(tokens_in)
        metrics.AI_TOKENS.labels("out", self._limits.model).inc(tokens_out)
        metrics.AI_COST.labels(self._limits.model).inc(float(cost))


def failed_answer(code: str, message: str) -> Known:
    """That there is none, and why."""
    return Known("failed", None, code, message[:500], 0, 0, ZERO)


def bad(reply: Reply, reason: str, price: Price) -> Rejected:
    """An answer that is not taken."""
    cost = price.cost(reply.tokens_in, reply.tokens_out)
    return Rejected(reply.refusal or reply.text, reason, reply.tokens_in, reply.tokens_out, cost)


def whole(known: Known, rejected: Sequence[Rejected]) -> Known:
    """An answer with all that it has cost, those before it included."""
    return known._replace(
        tokens_in=known.tokens_in + sum(r.tokens_in for r in rejected),
        tokens_out=known.tokens_out + sum(r.tokens_out for r in rejected),
        cost=known.cost + sum((r.cost for r in rejected), ZERO),
    )


def judge(request: Request, reply: Reply, price: Price) -> _Judged:
    """What a reply is worth: by its end, its schema, then its texts."""
    if reply.refusal is not None:
        return _Judged(None, "refusal", reply.refusal[:500], final=True)
    if reply.finish == "content_filter":
        return _Judged(None, "content-filter", "the provider's filter cut the answer", final=True)
    if reply.finish == "length":
        return _Judged(None, "length", "la réponse est trop longue et a été coupée")
    try:
        answer = request.what.answer.model_validate_json(reply.text)
    except ValidationError as error:
        return _Judged(None, "schema", told(error)[:1000])
    content = answer.model_dump()
    if faults := request.what.faults(content):
        return _Judged(None, "quality", "; ".join(faults)[:1000])
    cost = price.cost(reply.tokens_in, reply.tokens_out)
    return _Judged(Known("done", content, None, None, reply.tokens_in, reply.tokens_out, cost))


async def _finish(work: asyncio.Task[bool]) -> None:
    """Waits a little for what may be paid already, then gives it up."""
    await asyncio.wait([work], timeout=STOP_SECONDS)
    work.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await work

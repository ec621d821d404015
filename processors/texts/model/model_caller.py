"""The coroutines of a worker that call the model; each handles one request at a time.

A caller leases a request, looks up whether its prompt was answered before, waits for a permit, and
calls the model. While it waits it holds only the lease. When a worker is killed, the callers of other
workers take over its requests. Nobody knows whether a call that was under way is paid: it is recorded
as lost and made again.
"""

import asyncio
import random
from contextlib import suppress
from time import monotonic
from uuid import uuid4

import structlog

from processors import metrics
from processors.database.pool import Connection, Pool, transaction
from processors.rows.accounting.sqlstate import is_transient
from processors.texts.content.prompts import Input, Prompt
from processors.texts.model import call_limits
from processors.texts.model.answer_handling import ZERO, AnswerHandling, Asked, Terms, handling
from processors.texts.model.call_limits import Denial, Permit, Used
from processors.texts.requests import store
from processors.texts.requests.store import Caught, Claimed, Known, Request
from processors.texts.server.failures import CallError, Trouble
from processors.texts.server.provider import Provider
from processors.texts.server.replies import Reply

log = structlog.get_logger(__name__)

IDLE_SECONDS = 1.0
LEASE_SECONDS = 20.0
"""How long a waiting request is leased; each look renews the lease. While the model is called it lasts
for the longest call."""

WAIT_SECONDS = 5.0
"""The longest time between two looks at what a caller waits for."""

STOP_SECONDS = 5.0
"""How long a caller that is stopped waits for the answer to a call that may be paid already."""


class _Stop(Exception):  # noqa: N818 - no error: this request is over, or somebody else's
    """The request is finished, or another caller holds it."""


class Turn:
    """Whose turn it is in a process to lease a request and to wait for its permit.

    Of a thousand callers that have nothing to do, one looks at the database; and of the requests that
    wait for a permit, each process leases one, so that none more urgent comes behind them.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[object] | None = None

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        self._holder = asyncio.current_task()

    async def __aexit__(self, *_: object) -> None:
        self.over()

    def over(self) -> None:
        """The next caller's turn, if this was ours."""
        if self._holder is asyncio.current_task():
            self._holder = None
            self._lock.release()


class ModelCaller:
    """One of several in a process; they share the database, and take turns."""

    def __init__(
        self,
        pool: Pool,
        provider: Provider,
        terms: Terms,
        caught_up: Caught,
        turn: Turn | None = None,
    ) -> None:
        self._turn = turn or Turn()
        self._waits = False
        self._pool = pool
        self._provider = provider
        self._terms = terms
        self._limits = terms.limits
        self._caught_up = caught_up

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            work = asyncio.create_task(self._in_turn())
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                await _finish(work, 0 if self._waits else STOP_SECONDS)
                raise
            except Exception as error:  # the request is taken up again when its lease ends
                if is_transient(error):
                    log.warning("texts are late", action="texts_late", reason=repr(error))
                else:
                    log.exception("a text failed", action="text_failed")
                await asyncio.sleep(IDLE_SECONDS)

    async def _in_turn(self) -> None:
        """Handles one request; waits where there is none, so that the others do not look either."""
        self._waits = True
        async with self._turn:
            self._waits = False
            self._waits = not await self._next()
            if self._waits:
                await asyncio.sleep(IDLE_SECONDS)

    async def _next(self) -> bool:
        """Handles one request; False if there is none."""
        async with handling(self._pool, self._terms) as handle:
            connection = handle.connection
            if not await self._may_ask(connection):
                return False
            request = await store.lease(
                connection,
                uuid4(),
                LEASE_SECONDS,
                self._terms.import_seconds,
                self._limits.budgets.get("import"),
                batched=self._terms.batched,
            )
            if request is None:
                return False
            prompt = await handle.prompt(request)
            if prompt is None:
                return True
            found = await store.claim(
                connection, request, prompt, LEASE_SECONDS, self._limits.settings
            )
            if isinstance(found, Known):
                await self._take_known(handle, request, prompt, found)
                return True
        with suppress(_Stop):
            while await self._ask(request, prompt):
                pass
        return True

    async def _may_ask(self, connection: Connection) -> bool:
        """Whether a call may follow if a request is leased: what has to wait is left where it is."""
        standing = await call_limits.standing(connection, self._limits.model)
        if standing["halted"] or self._limits.proof not in standing["proven"]:
            return False
        if await call_limits.is_used_up(connection, self._limits):
            return False
        # Else it would claim an answer that is still being read from the topic, and pay for it.
        return await self._caught_up(connection)

    async def _take_known(
        self, handle: AnswerHandling, request: Request, prompt: Prompt, known: Known
    ) -> None:
        """Uses an earlier answer; nothing is paid."""
        if known.state == "asking":  # by another caller, at this moment
            await store.again(handle.connection, request, IDLE_SECONDS, tries=request.tries)
        else:
            await handle.use(request, prompt, known)

    async def _ask(self, request: Request, prompt: Prompt) -> bool:
        """Calls the model once; returns whether to call it again, with the faults of the answer."""
        with metrics.AI_PERMIT_SECONDS.time():
            permit, body = await self._permit(request, prompt)
        self._turn.over()
        came = await self._call(body)
        return await self._finish_call(Asked(request, prompt, permit), came)

    async def _call(self, body: Input) -> Reply | CallError:
        begun = monotonic()
        came: Reply | CallError
        with metrics.AI_CALLS_IN_FLIGHT.track_inprogress():
            try:
                came = await self._provider.ask(body)
            except CallError as error:
                came = error
        outcome = "failed" if isinstance(came, CallError) else "answered"
        metrics.AI_CALL_SECONDS.labels(outcome).observe(monotonic() - begun)
        return came

    async def _permit(self, request: Request, prompt: Prompt) -> tuple[Permit, Input]:
        """Waits for a permit; returns it with the body. Raises _Stop if the request is not to wait."""
        while True:
            async with handling(self._pool, self._terms) as handle:
                got = await self._take(handle, request, prompt)
            if got is None:
                raise _Stop
            if isinstance(got, Denial):
                pause = min(max(got.seconds, 0.01), WAIT_SECONDS)
                await asyncio.sleep(pause * random.uniform(1, 1.1))  # noqa: S311 - no secret
            elif got[0].expired:
                unsent = Used("void", 0, ZERO)
                async with transaction(self._pool) as connection:
                    await call_limits.account(connection, self._limits.model, got[0], unsent)
            else:
                metrics.AI_CALLS.labels("made").inc()
                return got

    async def _take(
        self, handle: AnswerHandling, request: Request, prompt: Prompt
    ) -> tuple[Permit, Input] | Denial | None:
        """A permit or why there is none; None if the request is not to wait."""
        connection = handle.connection
        claimed = await self._hold(handle, request, prompt)
        if claimed is None or not await handle.still_holds(request, prompt):
            return None
        if not await self._caught_up(connection):
            return Denial("results", IDLE_SECONDS)
        body, call = handle.call(request, prompt, claimed.rejected)
        got = await call_limits.take(connection, self._limits, call)
        if isinstance(got, Permit):
            await store.keep(connection, request, self._limits.call_seconds)
            await store.claim(
                connection, request, prompt, self._limits.call_seconds, self._limits.settings
            )
            return got, body
        if got.why in ("budget", "halted", "unproven"):
            await handle.rest(request, got)
            await store.unclaim(connection, request, prompt)
            return None
        return got

    async def _hold(
        self, handle: AnswerHandling, request: Request, prompt: Prompt
    ) -> Claimed | None:
        """Renews both leases. None if they are lost or the import's time is over."""
        connection = handle.connection
        late = await store.keep(connection, request, LEASE_SECONDS)
        if late is None:
            return None
        if late:
            why = ("time", "the time of its import was over")
            await handle.end(request, "left", prompt.hash, why)
            await store.unclaim(connection, request, prompt)
            return None
        found = await store.claim(connection, request, prompt, LEASE_SECONDS, self._limits.settings)
        if isinstance(found, Known):
            # Another caller has it, or the topic had the answer.
            await store.again(connection, request, 0, tries=request.tries)
            return None
        return found

    async def _finish_call(self, asked: Asked, came: Reply | CallError) -> bool:
        """Writes the result of a call, for as long as it takes: it may have been paid.

        An answer that cannot be written fails its prompt: asked again, it would be paid for again.
        """
        pause = IDLE_SECONDS
        while True:
            try:
                async with handling(self._pool, self._terms) as handle:
                    return await handle.finish(asked, came)
            except Exception as error:
                if not is_transient(error):
                    if isinstance(came, CallError):
                        raise
                    log.exception("an answer cannot be written", action="answer_unwritable")
                    reason = repr(error)[:500]
                    came = CallError(Trouble.PROMPT, "unwritable", reason, unsure=True)
                    continue
                log.warning("an answer waits", action="answer_waits", reason=repr(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, WAIT_SECONDS)


async def _finish(work: asyncio.Task[None], seconds: float) -> None:
    """Waits so long for a call that may be paid already, then gives it up."""
    await asyncio.wait([work], timeout=seconds)
    work.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await work

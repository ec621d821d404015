"""The probe: one small call that shows whether the settings are good, before requests depend on it.

It is asked when a worker has settings that were never answered, and when the stage is halted: each time
later, ten minutes at most. PostgreSQL records what was proven: other workers and restarts do not pay
for it again. It keeps to rates, budgets and the breaker as every call.
"""

from uuid import UUID, uuid4

import structlog

from processors import metrics
from processors.database.pool import Connection, Pool, transaction
from processors.texts.content import prompts
from processors.texts.model import call_limits, halts
from processors.texts.model.answer_handling import Terms, unanswered
from processors.texts.model.budgets import has_limit
from processors.texts.model.call_limits import Call, Permit, Used
from processors.texts.server.failures import BAD_JSON, CallError, Trouble
from processors.texts.server.provider import Provider
from processors.texts.server.replies import Reply

log = structlog.get_logger(__name__)

SLACK_TOKENS = 16
"""An answer may have so many more than its limit: some servers count what ends it."""

LONG_TOKEN = 8
"""Characters: more than a token of French has on average, where a server does not count tokens."""


class Probe:
    """One in each process; `terms` are those of single calls."""

    def __init__(self, pool: Pool, provider: Provider, terms: Terms) -> None:
        self._pool = pool
        self._provider = provider
        self._terms = terms
        self._limits = terms.limits
        self._body = prompts.trial(terms.asked_model, terms.options)

    async def step(self) -> None:
        """Asks the probe if it is due and a call may be made."""
        async with transaction(self._pool) as connection:
            permit = await self._permit(connection)
        if permit is None:
            return
        metrics.AI_CALLS.labels("made").inc()
        came: Reply | CallError
        try:
            came = await self._provider.ask(self._body)
        except CallError as error:
            came = error
        async with transaction(self._pool) as connection:
            if not await self._account(connection, permit, came):
                return
            if isinstance(came, CallError):
                await self._failed(connection, came)
            else:
                await self._answered(connection, came)

    async def _permit(self, connection: Connection) -> Permit | None:
        limits = self._limits
        if await call_limits.is_used_up(connection, limits):
            return None
        if not await halts.is_due(connection, limits.model, limits.proof):
            return None
        most_in, most_out = self._terms.most_tokens(self._body)
        cost = self._terms.price.cost(most_in, most_out)
        # A hash of its own each time: no two probes are one prompt that was paid for twice.
        call = Call(UUID(int=0), f"probe {uuid4()}", 0, None, most_in + most_out, cost)
        got = await call_limits.take(connection, limits, call, probing=True)
        return got if isinstance(got, Permit) else None

    async def _account(
        self, connection: Connection, permit: Permit, came: Reply | CallError
    ) -> bool:
        """Accounts for the call; False if that was done before."""
        if isinstance(came, CallError):
            used = unanswered(came)
            metrics.AI_CALLS.labels("failed").inc()
        else:
            tokens = (
                (came.tokens_in, came.tokens_out)
                if came.metered
                else self._terms.most_tokens(self._body)
            )
            cost = self._terms.price.cost(*tokens)
            used = Used("answered", sum(tokens), cost)
            for direction, count in zip(("in", "out"), tokens, strict=True):
                metrics.AI_TOKENS.labels(direction, self._limits.model).inc(count)
            metrics.AI_COST.labels(self._limits.model, "PROBE").inc(float(cost))
        return await call_limits.account(connection, self._limits.model, permit, used)

    async def _failed(self, connection: Connection, error: CallError) -> None:
        model = self._limits.model
        if error.trouble in (Trouble.REFUSED, Trouble.OPERATOR):
            await halts.halt(connection, model, error, again=True)
            return
        await call_limits.failed(connection, self._limits, error)
        if error.trouble is Trouble.DIALECT:
            await halts.ask_again(connection, model)
        if error.trouble is Trouble.PROMPT or error.code == BAD_JSON:
            # A filter, or an answer that was cut: the provider takes requests of this shape.
            await halts.prove(connection, model, self._limits.proof)

    async def _answered(self, connection: Connection, reply: Reply) -> None:
        model = self._limits.model
        await call_limits.works(connection, model)
        if reply.wait is not None:
            await call_limits.block(connection, model, reply.wait)
        unlimited = max(reply.tokens_out, len(reply.text) // LONG_TOKEN) > (
            prompts.TRIAL_TOKENS + SLACK_TOKENS
        )
        if not unlimited:
            await halts.prove(connection, model, self._limits.proof)
            log.info("the model answers", action="ai_proven", model=model)
        elif has_limit(self._limits.budgets):
            await halts.halt_for_good(connection, model, _UNLIMITED)
        else:
            log.warning("answers have no limit", action="ai_unlimited", reason=str(_UNLIMITED))
            await halts.prove(connection, model, self._limits.proof, unlimited=True)


_UNLIMITED = CallError(
    Trouble.OPERATOR,
    "unlimited",
    "the server ignores max_completion_tokens, so no budget can hold: have it limit answers, or unset "
    "FOX_AI_BUDGET_IMPORT, FOX_AI_BUDGET_DAY and FOX_AI_BUDGET_MONTH",
)

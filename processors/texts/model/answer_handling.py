"""Decides what follows from an answer or a failed call, made at once or in a batch of the provider.

A caller and the batcher differ in who calls, when, and by which account; an answer is checked,
stored, rejected, asked again, retried and counted here, in one transaction with its call.
"""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

import structlog
from prometheus_client import Counter
from pydantic import ValidationError

from processors import metrics
from processors.database.pool import Connection, Pool, transaction
from processors.texts.content import prompts
from processors.texts.content.answers import explained, read
from processors.texts.content.disclosure import EVERYTHING, Disclosure
from processors.texts.content.prompts import PLAIN, Input, Options, Prompt
from processors.texts.content.vocabulary import Count
from processors.texts.model import call_limits, halts
from processors.texts.model.call_limits import Call, Denial, Limits, Permit, Used
from processors.texts.model.halts import Verdict
from processors.texts.requests import store, writing
from processors.texts.requests.store import Known, Rejected, Request
from processors.texts.server.failures import CallError, Trouble
from processors.texts.server.replies import Reply
from schemas.values.text_prices import Price

log = structlog.get_logger(__name__)

MOST_ASKS = 3
"""A prompt, and twice more with the faults of the answer."""

ZERO = Decimal(0)


@dataclass(frozen=True)
class Terms:
    """How requests are handled. Times in seconds; `retries` of a call that failed transiently.

    `batched`: the night's requests are left to batches (processors/texts/model/batch_api.py).
    `count`: tokens of a text, if the model's vocabulary is known.
    """

    asked_model: str
    limits: Limits
    price: Price
    retry_seconds: float
    retries: int
    import_seconds: float
    batched: bool
    disclosure: Disclosure = EVERYTHING
    options: Options = PLAIN
    count: Count | None = None

    def most_tokens(self, body: Input) -> tuple[int, int]:
        """The most tokens that a call may use for what is sent and for its answer."""
        return prompts.most_tokens(body, self.count)


class Asked(NamedTuple):
    """A finished call and its request."""

    request: Request
    prompt: Prompt
    permit: Permit


class _Checked(NamedTuple):
    """A checked reply: an answer, or why it is not accepted; `final` if asking again is useless."""

    known: Known | None
    code: str = ""
    reason: str = ""
    final: bool = False


@asynccontextmanager
async def handling(pool: Pool, terms: Terms) -> AsyncIterator["AnswerHandling"]:
    """A transaction whose counts are added to the metrics once it has committed."""
    async with transaction(pool) as connection:
        handle = AnswerHandling(connection, terms)
        yield handle
    handle.count()


class AnswerHandling:
    """The steps of one transaction."""

    def __init__(self, connection: Connection, terms: Terms) -> None:
        self.connection = connection
        self._terms = terms
        self._model = terms.limits.model
        self._counted: list[tuple[Counter, float]] = []

    def count(self) -> None:
        for counter, amount in self._counted:
            counter.inc(amount)

    async def prompt(self, request: Request) -> Prompt | None:
        """The prompt; None if there is nothing to write about, which finishes the request."""
        if request.kind not in self._terms.disclosure.kinds:
            await self.end(request, "left", None, ("switched-off", "FOX_AI_KINDS leaves it out"))
            return None
        prompt_input = await store.prompt_input(self.connection, request)
        if prompt_input is None:
            why = ("no-input", "the row is gone, or has no public review to speak of")
            await self.end(request, "failed", None, why)
            return None
        terms = self._terms
        sent = terms.disclosure.sent(request.kind, prompt_input)
        return prompts.prompt(
            request.what, sent, terms.asked_model, terms.options, request.generation
        )

    async def still_holds(self, request: Request, prompt: Prompt) -> bool:
        """Whether the prompt says what the row has now. If not, the request is finished or asked anew.

        It may have waited for long: a company that was masked meanwhile is not sent.
        """
        now = await self.prompt(request)
        if now is not None and now.hash != prompt.hash:
            if await store.again(self.connection, request, 0, tries=request.tries):
                self._add(metrics.ENRICHMENT_REQUESTS.labels("changed"))
        elif now is not None:
            return True
        await store.unclaim(self.connection, request, prompt)
        return False

    def call(
        self, request: Request, prompt: Prompt, rejected: Sequence[Rejected]
    ) -> tuple[Input, Call]:
        """The body to send after these answers, and the most that the call may use."""
        body = _body(prompt, rejected)
        most_in, most_out = self._terms.most_tokens(body)
        cost = self._terms.price.cost(most_in, most_out)
        tokens = most_in + most_out
        return body, Call(request.id, prompt.hash, len(rejected), request.import_id, tokens, cost)

    async def rest(self, request: Request, denial: Denial) -> None:
        """Returns a request that was denied a call: it goes on when there is room."""
        why = (denial.why, f"{denial.why} {denial.scope or ''}".strip())
        await store.again(self.connection, request, denial.seconds, tries=request.tries, why=why)
        if denial.why == "budget":
            await store.stop_clocks(self.connection, request, denial.scope or "")

    async def finish(self, asked: Asked, came: Reply | CallError) -> bool:
        """Accounts for a call and uses its answer; returns whether to ask its prompt once more.

        Does nothing for a call that is accounted for: it comes a second time if the response to a
        COMMIT was lost, or if another process has read the same line of a batch.
        """
        if isinstance(came, CallError):
            await self._failed(asked, came)
            return False
        return await self._answered(asked, came)

    async def _failed(self, asked: Asked, error: CallError) -> None:
        request, prompt, permit = asked
        used = unanswered(error)
        if not await call_limits.account(self.connection, self._model, permit, used):
            return
        log.info("call failed", action="ai_call_failed", code=error.code, kind=request.kind)
        self._add(metrics.AI_CALLS.labels("failed"))
        self._add(metrics.AI_FAILURES.labels(error.code))
        tries = request.tries + await call_limits.failed(self.connection, self._terms.limits, error)
        why = (error.code, str(error))
        pause = 0.0 if error.trouble is Trouble.DIALECT else self._pause(tries)
        if error.trouble is Trouble.REFUSED:
            await self._refused(request, prompt, error)
        elif error.trouble is Trouble.PROMPT:
            await call_limits.useless(self.connection, self._terms.limits, *why)
            await self._conclude(request, prompt, _failed_answer(*why))
        elif tries > self._terms.retries:
            await self.end(request, "failed", prompt.hash, why)
        elif await store.again(self.connection, request, pause, tries=tries, why=why):
            self._add(metrics.ENRICHMENT_REQUESTS.labels("retried"))
        await store.unclaim(self.connection, request, prompt)

    async def _refused(self, request: Request, prompt: Prompt, error: CallError) -> None:
        """Fails the request if its prompt is to blame; if the settings may be, it is asked again."""
        why = (error.code, str(error))
        before = request.code == error.code
        verdict = await halts.judge(
            self.connection, self._model, prompt.hash, error, answered_since=before
        )
        pause = halts.ASIDE_SECONDS + self._pause(1)
        if verdict in (Verdict.SETTINGS, Verdict.HALTED):
            why, pause = ("halted", halts.reason(error)), halts.BEHIND_SECONDS
        # Halted again and again for the same prompts, though the probe was answered in between.
        elif verdict is Verdict.PROMPT or request.tries > self._terms.retries:
            await self._conclude(request, prompt, _failed_answer(*why))
            return
        tries = request.tries + (verdict is Verdict.SETTINGS)
        if await store.again(self.connection, request, pause, tries=tries, why=why):
            self._add(metrics.ENRICHMENT_REQUESTS.labels("retried"))

    def _pause(self, tries: int) -> float:
        """Full jitter, over a time that doubles with each try."""
        return random.uniform(0, self._terms.retry_seconds * 2 ** max(tries - 1, 0))  # noqa: S311

    async def _answered(self, asked: Asked, reply: Reply) -> bool:
        request, prompt, _ = asked
        rejected = await store.rejected(self.connection, prompt)
        if not reply.metered:  # it may have used all that was reserved
            most_in, most_out = self._terms.most_tokens(_body(prompt, rejected))
            reply = replace(reply, tokens_in=most_in, tokens_out=most_out)
        checked = check(request, reply, self._terms.price)
        last = checked.final or len(rejected) + 1 >= MOST_ASKS
        if not await self._works(asked, reply, checked):
            return False
        if checked.known is not None:
            await self._conclude(request, prompt, _whole(checked.known, rejected))
            return False
        self._add(metrics.AI_REJECTED.labels(checked.code if last else "asked-again"))
        answer = _rejected(reply, checked.reason, self._terms.price)
        await store.reject(self.connection, request, prompt, answer)
        if last:
            await self._conclude(request, prompt, _failed_answer(checked.code, checked.reason))
        return not last

    async def _works(self, asked: Asked, reply: Reply, checked: _Checked) -> bool:
        """Accounts for a call that was answered; False if it is already accounted for."""
        cost = self._terms.price.cost(reply.tokens_in, reply.tokens_out)
        used = Used("answered", reply.tokens_in + reply.tokens_out, cost, checked.code or None)
        if not await call_limits.account(self.connection, self._model, asked.permit, used):
            return False
        if checked.known is None:
            await call_limits.useless(
                self.connection, self._terms.limits, checked.code, checked.reason
            )
        else:
            await call_limits.works(self.connection, self._model)
        await halts.answered(self.connection, self._model)
        if reply.wait is not None:
            await call_limits.block(self.connection, self._model, reply.wait)
        self._add(metrics.AI_TOKENS.labels("in", self._model), reply.tokens_in)
        self._add(metrics.AI_TOKENS.labels("out", self._model), reply.tokens_out)
        self._add(metrics.AI_COST.labels(self._model, asked.request.kind), float(cost))
        return True

    async def _conclude(self, request: Request, prompt: Prompt, known: Known) -> None:
        """Stores the result of a prompt and uses it. The first result counts."""
        stands = await store.answer(self.connection, prompt, known)
        await self.use(request, prompt, stands, "done" if stands is known else "cached")

    async def use(
        self, request: Request, prompt: Prompt, known: Known, outcome: str = "cached"
    ) -> None:
        """Finishes a request with the result of its prompt; `outcome` is that of a text."""
        if known.state == "failed":
            why = (known.code or "", known.message or "")
            await self.end(request, "failed", prompt.hash, why)
        elif await self._write(request, prompt, known):
            await self.end(request, "done", prompt.hash, outcome=outcome)
        elif await store.again(self.connection, request, 0, tries=request.tries):
            # Requested anew, with the current values of the row.
            self._add(metrics.ENRICHMENT_REQUESTS.labels("changed"))

    async def _write(self, request: Request, prompt: Prompt, known: Known) -> bool:
        disclosure = self._terms.disclosure
        return await writing.write(self.connection, request, prompt, known, disclosure)

    async def end(
        self,
        request: Request,
        state: str,
        prompt_hash: str | None,
        why: tuple[str, str] | None = None,
        outcome: str | None = None,
    ) -> None:
        """Finishes a request if its lease is not lost; it counts as `outcome`, else as its state."""
        if await store.over(self.connection, request, state, prompt_hash, why):
            self._add(metrics.ENRICHMENT_REQUESTS.labels(outcome or state))

    def _add(self, counter: Counter, amount: float = 1) -> None:
        self._counted.append((counter, amount))


def unanswered(error: CallError) -> Used:
    """What a call used that failed."""
    if error.unsure:
        return Used("lost", None, None, error.code)
    return Used("failed", 0, ZERO, error.code)


def _body(prompt: Prompt, rejected: Sequence[Rejected]) -> Input:
    """What is sent after these answers."""
    return prompt.again([(r.answer, r.reason) for r in rejected])


def _failed_answer(code: str, message: str) -> Known:
    """A failed result, and why."""
    return Known("failed", None, code, message, 0, 0, ZERO)


def _rejected(reply: Reply, reason: str, price: Price) -> Rejected:
    """An answer that is not accepted."""
    cost = price.cost(reply.tokens_in, reply.tokens_out)
    return Rejected(reply.refusal or reply.text, reason, reply.tokens_in, reply.tokens_out, cost)


def _whole(known: Known, rejected: Sequence[Rejected]) -> Known:
    """An answer with its total cost, earlier answers included."""
    return known._replace(
        tokens_in=known.tokens_in + sum(r.tokens_in for r in rejected),
        tokens_out=known.tokens_out + sum(r.tokens_out for r in rejected),
        cost=known.cost + sum((r.cost for r in rejected), ZERO),
    )


def check(request: Request, reply: Reply, price: Price) -> _Checked:
    """Checks a reply: its end, its schema, then its texts."""
    if reply.refusal is not None:
        return _Checked(None, "refusal", reply.refusal[:500], final=True)
    if reply.finish == "content_filter":
        return _Checked(None, "content-filter", "the provider's filter cut the answer", final=True)
    if reply.finish == "length":
        # Without a word of it everything was thought, and the same is to be expected again.
        cut = "la réponse est trop longue et a été coupée"
        return _Checked(None, "length", cut, final=not reply.text.strip())
    try:
        answer = read(reply.text, request.what.answer)
    except ValidationError as error:
        return _Checked(None, "schema", explained(error)[:1000])
    content = answer.model_dump()
    if faults := request.what.faults(content):
        return _Checked(None, "quality", "; ".join(faults)[:1000])
    cost = price.cost(reply.tokens_in, reply.tokens_out)
    used = (reply.tokens_in, reply.tokens_out, cost)
    return _Checked(Known("done", content, None, None, *used, reply.model, reply.request_id))

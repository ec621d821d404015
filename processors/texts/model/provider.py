"""One call to the model, and what a failed one means: who waits, who tries again, who has to act.

Any server that speaks OpenAI's chat completions will do (OPENAI_BASE_URL). The client's own retries
are off: what failed is tried again by processors/texts/model/answer_handling.py alone.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from ssl import SSLContext
from typing import Any

import structlog

from processors.texts.server.dialect import Body, Dialect
from processors.texts.server.refusals import refused
from processors.texts.server.waits import exhausted, retry_after

log = structlog.get_logger(__name__)

LIST_SECONDS = 5.0
"""The longest wait for a list of models, which is nice to have."""


Key = Callable[[], str]


class Trouble(Enum):
    """What a failed call means."""

    TRANSIENT = "again"  # network, time-out, 408, 409, 424, 5xx, garbage: again after a while
    TRANSIENT_IN_BATCH = "passed"  # the same in a batch that is over: again, but nobody else waits
    RATE = "wait"  # 429: everybody waits
    QUOTA = "quota"  # 402: nothing more is paid for: the breaker opens at once
    PROMPT = "prompt"  # 400, 413, 422, 451, a content filter: this prompt never works
    DIALECT = "otherwise"  # a parameter is refused: again at once, without it
    OPERATOR = "people"  # 401, 403, 404: somebody has to change something


class CallError(Exception):
    """A call that has no answer. `code` is a word of docs/enrichment.md; the message has no secret.

    `unsure`: the model may have answered all the same, and the provider may ask for its price.
    `refused`: parameters that the server does not take, of dialect.NAMES.
    """

    def __init__(
        self,
        trouble: Trouble,
        code: str,
        message: str,
        wait: float | None = None,
        *,
        unsure: bool = False,
        refused: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.code = code
        self.wait = wait
        self.unsure = unsure
        self.refused = refused


@dataclass(frozen=True)
class Reply:
    """An answer as it came. `refusal` and `finish` say whether it is one.

    `wait`: seconds until the provider takes another call, None if it does not say. If it does not say
    how many tokens were used, `metered` is false and both are 0.
    """

    text: str
    refusal: str | None
    finish: str
    tokens_in: int
    tokens_out: int
    wait: float | None = None
    metered: bool = True


@dataclass(frozen=True)
class BatchState:
    """How a batch stands; `files` hold what was answered."""

    status: str
    files: Sequence[str]

    @property
    def over(self) -> bool:
        """Whether nothing more will be answered."""
        return self.status in ("completed", "expired", "cancelled", "failed")


_MARK = "foxstream"
"""In a batch's metadata: our id of it."""

_QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    }
)
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation"})
# 424, 498 and 499: the provider's own servers (Groq has no capacity, a proxy gave up).
_PASSING = frozenset({408, 409, 424, 425, 498, 499})
_PROMPT = frozenset({400, 413, 422, 451})
_REFUSING = frozenset({400, 422})
_UNPAID = 402
_TOO_MANY = 429
_SERVER = 500
_SECRET = re.compile(r"(?:sk|Bearer)[-_ ][\w*.-]+")


class Provider:
    """The client of one server. `timeout`: seconds that one call may take, from the first byte sent.

    `key` returns the key for the next call; "" is none. `tls` replaces the system's authorities.
    """

    def __init__(
        self,
        key: Key,
        base_url: str | None,
        timeout: float,
        tls: SSLContext | None = None,
    ) -> None:
        # A second of imports that no command but the worker needs.
        import openai

        self._openai = openai
        self._timeout = timeout
        # Of its own accord it opens 1,000 connections, as many as FOX_AI_CONCURRENCY may ask for.
        client = openai.DefaultAsyncHttpxClient(verify=tls or True)

        async def current() -> str:
            return key() or "none"

        self._client = openai.AsyncOpenAI(
            api_key=current, base_url=base_url, max_retries=0, timeout=timeout, http_client=client
        )
        self._dialect = Dialect()

    async def close(self) -> None:
        await self._client.close()

    async def ask(self, body: Mapping[str, Any]) -> Reply:
        """The model's reply. Raises CallError."""
        sent = self.spoken(body)
        try:
            return await self._ask(sent)
        except CallError as error:
            raise self.judged(error, sent) from None

    async def _ask(self, sent: Body) -> Reply:
        others = {name: value for name, value in sent.items() if name not in ("model", "messages")}
        async with self._told():
            raw = await self._client.chat.completions.with_raw_response.create(
                model=sent["model"], messages=sent["messages"], extra_body=others
            )
            found = json.loads(raw.text)
        return replace(reply_of(found), wait=exhausted(raw.headers))

    def spoken(self, body: Body) -> Body:
        """A body as the server takes it, so far as that is known."""
        return self._dialect.spoken(body)

    def judged(self, error: CallError, sent: Body) -> CallError:
        """A failed call as it is to be judged: if the server has refused parameters that can be asked
        for otherwise, that is remembered, and the request is not to blame."""
        known = self._dialect.after(error.refused, sent)
        if known is None:
            return error
        if known != self._dialect:
            new = sorted(known.refused - self._dialect.refused)
            log.warning("parameters are refused", action="ai_refused", names=new, reason=str(error))
            self._dialect = known
        return CallError(Trouble.DIALECT, "parameter", str(error))

    async def models(self) -> Sequence[Mapping[str, Any]]:
        """The server's list of models. Raises CallError; of a server without one, too."""
        async with asyncio.timeout(LIST_SECONDS), self._told():
            raw = await self._client.models.with_raw_response.list(timeout=LIST_SECONDS)
            found = json.loads(raw.text)
        data = found.get("data") if isinstance(found, Mapping) else found
        return (
            [each for each in data if isinstance(each, Mapping)] if isinstance(data, list) else []
        )

    async def send_batch(self, content: bytes, mark: str) -> str:
        """Has the requests of a JSONL file answered within a day; the batch's id. Raises CallError."""
        async with self._told():
            file = await self._client.files.create(file=(f"{mark}.jsonl", content), purpose="batch")
            batch = await self._client.batches.create(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_MARK: mark},
            )
        return batch.id

    async def find_batch(self, mark: str) -> str | None:
        """The id of a batch that carries this mark, among the last hundred. Raises CallError."""
        async with self._told():
            page = await self._client.batches.list(limit=100)
        found = (b.id for b in page.data if (b.metadata or {}).get(_MARK) == mark)
        return next(found, None)

    async def batch(self, batch_id: str) -> BatchState:
        """How a batch stands. Raises CallError."""
        async with self._told():
            found = await self._client.batches.retrieve(batch_id)
        files = [name for name in (found.output_file_id, found.error_file_id) if name]
        return BatchState(found.status, files)

    async def content(self, file_id: str) -> bytes:
        """A file of the provider's. Raises CallError."""
        async with self._told():
            return (await self._client.files.content(file_id)).content

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """What fails in the block is a CallError."""
        openai = self._openai
        try:
            # httpx counts its time-out anew with each byte: a server that drips holds a call for ever.
            async with asyncio.timeout(self._timeout):
                yield
        except openai.APIStatusError as error:
            raise of_status(error.status_code, error.body, error.response.headers) from None
        except (openai.APITimeoutError, TimeoutError):
            raise _passing("timeout", "the model did not answer in time", unsure=True) from None
        except openai.APIConnectionError as error:
            cause = type(error.__cause__ or error).__name__
            raise _passing("network", cause, unsure=not cause.startswith("Connect")) from None
        except (openai.OpenAIError, ValueError) as error:
            raise _passing("garbage", type(error).__name__, unsure=True) from None


def _passing(code: str, message: str, *, unsure: bool) -> CallError:
    return CallError(Trouble.TRANSIENT, code, message, unsure=unsure)


def reply_of(found: Any) -> Reply:
    """The reply that a chat completion holds. Raises CallError for what is not one."""
    if isinstance(found, Mapping) and found.get("error"):  # with a status of 200: OpenRouter
        raise of_status(_status(found["error"]), found["error"], {})
    try:
        choice = found["choices"][0]
        message = choice["message"]
        used = _usage(found.get("usage"))
        return Reply(
            _text(message.get("content")),
            _text(message.get("refusal")) or None,
            choice.get("finish_reason") or "stop",
            *(used or (0, 0)),
            metered=used is not None,
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise _passing("garbage", "the answer is not a chat completion", unsure=True) from None


def _text(content: Any) -> str:
    """A text, or the texts of a list of blocks (Mistral, Gemini), as PostgreSQL can store it."""
    if isinstance(content, list):
        content = "".join(
            block if isinstance(block, str) else _text(block.get("text"))
            for block in content
            if isinstance(block, str) or block.get("type") in ("text", "output_text")
        )
    if not isinstance(content, str | None):
        raise TypeError(type(content).__name__)
    return storable(content or "")


def storable(text: str) -> str:
    """A text without the characters that PostgreSQL does not store: NUL, and halves of a pair."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode()


def _usage(usage: Any) -> tuple[int, int] | None:
    """Tokens of the prompt and of the answer; None if the provider does not say.

    What the total has beyond the prompt was thought (Gemini): it is paid for as the answer is.
    """
    try:
        given, answered = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        total = int(usage.get("total_tokens") or 0)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    answered = max(answered, total - given)
    known = 0 < given <= _MOST_TOKENS and 0 <= answered <= _MOST_TOKENS
    return (given, answered) if known else None


_MOST_TOKENS = 10_000_000
"""The most that one call is believed to have used."""


def _status(error: Any) -> int:
    """The HTTP status that an error stands for, 502 if it has none."""
    code = error.get("code") if isinstance(error, Mapping) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 502


def of_status(status: int, body: object, headers: Mapping[str, str]) -> CallError:
    """What an HTTP status means; by the error's own code first (OpenAI, "Error codes")."""
    fields = body if isinstance(body, Mapping) else {}
    message = _SECRET.sub("…", storable(_message(body)) or f"HTTP {status}")[:500]
    known = _by_code(fields, message)
    trouble, code = known or _by_status(status)
    names = refused(body) if known is None and status in _REFUSING else frozenset()
    wait = retry_after(headers, datetime.now(UTC))
    if trouble is Trouble.RATE:
        wait = wait or exhausted(headers)
    return CallError(trouble, code, message, wait, unsure=code == _BAD_JSON, refused=names)


def _by_code(fields: Mapping[str, Any], message: str) -> tuple[Trouble, str] | None:
    codes = {str(fields.get("code")), str(fields.get("type"))}
    if codes & _QUOTA_CODES:
        return Trouble.QUOTA, "quota"
    if codes & _FILTER_CODES or _is_moderated(fields):
        return Trouble.PROMPT, "content-filter"
    if "json_validate_failed" in codes:  # Groq: the model's answer, not the request
        return Trouble.TRANSIENT, _BAD_JSON
    if "request too large" in message.lower():  # a 429 or 413 of this request alone
        return Trouble.PROMPT, "too-large"
    return None


_BAD_JSON = "bad-json"


def _by_status(status: int) -> tuple[Trouble, str]:
    if status == _UNPAID:
        return Trouble.QUOTA, "quota"
    if status == _TOO_MANY:
        return Trouble.RATE, "rate"
    if status in _PASSING or status >= _SERVER:
        return Trouble.TRANSIENT, f"http-{status}"
    return Trouble.PROMPT if status in _PROMPT else Trouble.OPERATOR, f"http-{status}"


def _is_moderated(fields: Mapping[str, Any]) -> bool:
    """Whether the provider refuses what is said, not who asks (OpenRouter: 403 with the reasons)."""
    metadata = fields.get("metadata")
    return isinstance(metadata, Mapping) and not metadata.keys().isdisjoint(
        ("flagged_input", "reasons")
    )


def _message(body: object) -> str:
    """The reason in an error of any shape: a text, a list, or an object that has one of those."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(filter(None, map(_message, body[:10])))
    if isinstance(body, Mapping):
        named = (body.get(name) for name in ("message", "detail", "msg", "error"))
        return next(filter(None, map(_message, named)), "")
    return ""

"""One call to the model, and what a failed one means: who waits, who tries again, who has to act.

Any server that speaks OpenAI's chat completions will do (OPENAI_BASE_URL). The client's own retries
are off: what failed is tried again by processors/texts/model/answer_handling.py alone.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

LONGEST_WAIT_SECONDS = 3600.0
"""The longest wait that a provider can ask for. A longer one is a mistake or an exhausted budget, which
the breaker handles."""


class Trouble(Enum):
    """What a failed call means."""

    TRANSIENT = "again"  # network, time-out, 408, 409, 424, 5xx, garbage: again after a while
    TRANSIENT_IN_BATCH = "passed"  # the same in a batch that is over: again, but nobody else waits
    RATE = "wait"  # 429: everybody waits
    QUOTA = "quota"  # 402: nothing more is paid for: the breaker opens at once
    PROMPT = "prompt"  # 413, 451, a content filter: this prompt never works
    REFUSED = "refused"  # 400, 403, 404, 422: this prompt, or the settings: see halts.py
    OPERATOR = "people"  # 401: somebody has to change something


class CallError(Exception):
    """A call that has no answer. `code` is a word of docs/enrichment.md; the message has no secret.

    `unsure`: the model may have answered all the same, and the provider may ask for its price.
    """

    def __init__(
        self,
        trouble: Trouble,
        code: str,
        message: str,
        wait: float | None = None,
        *,
        unsure: bool = False,
    ) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.code = code
        self.wait = wait
        self.unsure = unsure


@dataclass(frozen=True)
class Reply:
    """An answer as it came. `refusal` and `finish` say whether it is one.

    `wait`: seconds until the provider takes another call, None if it does not say. If it does not say
    how many tokens were used, `metered` is false and both are 0. `model` and `request_id` are the
    provider's own words.
    """

    text: str
    refusal: str | None
    finish: str
    tokens_in: int
    tokens_out: int
    wait: float | None = None
    metered: bool = True
    model: str | None = None
    request_id: str | None = None


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
        "budget_exceeded",  # LiteLLM's proxy
    }
)
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation"})
# 424, 498 and 499: the provider's own servers (Groq has no capacity, a proxy gave up).
_PASSING = frozenset({408, 409, 424, 425, 498, 499})
_PROMPT = frozenset({413, 451})
_UNKNOWN_KEY = 401
_UNPAID = 402
_TOO_MANY = 429
_SERVER = 500
_SECRET = re.compile(r"(?:sk|Bearer)[-_ ][\w*.-]+")


class Provider:
    """The client of one server. `timeout`: seconds that one call may take, from the first byte sent."""

    def __init__(self, key: str, base_url: str | None, timeout: float) -> None:
        # A second of imports that no command but the worker needs.
        import openai

        from processors.texts.model.bounded import bound

        self._openai = openai
        self._timeout = timeout
        self._unkept = unkept(base_url)
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=base_url,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(
                timeout=timeout,
                follow_redirects=False,  # what is asked goes to the address that was set
                event_hooks={"response": [bound]},
            ),
        )

    async def close(self) -> None:
        await self._client.close()

    def complete(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body with what this provider needs besides: that it keeps no answer, if it could."""
        return {**body, **self._unkept}

    async def ask(self, body: Mapping[str, Any]) -> Reply:
        """The model's reply. Raises CallError."""
        async with self._told():
            whole = self.complete(body)
            raw = await self._client.chat.completions.with_raw_response.create(**whole)
            found = json_of(raw.http_response.content)
        reply = reply_of(found)
        request_id = _word(raw.headers.get("x-request-id")) or reply.request_id
        return replace(reply, wait=exhausted(raw.headers), request_id=request_id)

    async def send_batch(self, content: bytes, mark: str) -> str:
        """Has the requests of a JSONL file answered within a day; the batch's id. Raises CallError."""
        async with self._told():
            file = await self._client.files.create(file=(f"{mark}.jsonl", content), purpose="batch")
        try:
            return await self._make_batch(file.id, mark)
        except CallError as error:
            if error.trouble is Trouble.REFUSED:  # else there may be a batch all the same
                with suppress(CallError):
                    await self.delete(file.id)
            raise

    async def _make_batch(self, file_id: str, mark: str) -> str:
        async with self._told():
            batch = await self._client.batches.create(
                input_file_id=file_id,
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

    async def batch(self, batch_id: str) -> Mapping[str, Any]:
        """A batch as the provider describes it. Raises CallError."""
        async with self._told():
            return (await self._client.batches.retrieve(batch_id)).model_dump()

    async def content(self, file_id: str) -> bytes:
        """A file of the provider's. Raises CallError."""
        async with self._told():
            return (await self._client.files.content(file_id)).content

    async def delete(self, file_id: str) -> None:
        """Deletes a file of the provider's. Raises CallError."""
        async with self._told():
            await self._client.files.delete(file_id)

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
            if cause in _UNREADABLE:
                raise _passing("garbage", cause, unsure=True) from None
            raise _passing("network", cause, unsure=not cause.startswith("Connect")) from None
        except (openai.OpenAIError, ValueError, RecursionError) as error:
            raise _passing("garbage", type(error).__name__, unsure=True) from None


_UNREADABLE = ("DecodingError", "TooLargeError")
"""What is wrong with an answer that came."""


def json_of(content: bytes) -> Any:
    """The JSON of an answer, after what providers send while the model works: white space, and lines
    that begin with a colon (OpenRouter). Raises ValueError, or RecursionError for what is too deep."""
    text = content.decode("utf-8-sig").lstrip()
    while text.startswith(":"):
        text = text.partition("\n")[2].lstrip()
    return json.loads(text)


def unkept(base_url: str | None) -> Mapping[str, Any]:
    """What keeps the provider from storing answers: OpenAI alone takes `store`."""
    host = "api.openai.com" if base_url is None else urlsplit(base_url).hostname or ""
    return {"store": False} if host == "openai.com" or host.endswith(".openai.com") else {}


def _passing(code: str, message: str, *, unsure: bool) -> CallError:
    return CallError(Trouble.TRANSIENT, code, message, unsure=unsure)


def reply_of(found: Any) -> Reply:
    """The reply that a chat completion holds. Raises CallError for what is not one."""
    if isinstance(found, Mapping) and found.get("error"):  # with a status of 200: OpenRouter
        raise _broken_off(found["error"], found)
    try:
        choice = found["choices"][0]
        message = choice["message"]
        finish = _finish(choice.get("finish_reason"))
        used = _usage(found.get("usage"))
        reply = Reply(
            _text(message.get("content")),
            _text(message.get("refusal")) or None,
            finish,
            *(used or (0, 0)),
            metered=used is not None,
            model=_word(found.get("model")),
            request_id=_word(found.get("id")),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise _passing("garbage", "the answer is not a chat completion", unsure=True) from None
    if finish == "error":
        raise _broken_off(choice.get("error"), found)
    return reply


def _broken_off(error: Any, found: Mapping[str, Any]) -> CallError:
    """The failure that an answer with status 200 holds; paid for if the model had begun or was counted."""
    failed = of_status(_status(error), error or "the model did not finish", {})
    failed.unsure = failed.unsure or bool(found.get("usage") or found.get("choices"))
    return failed


_FINISHES = {
    "max_tokens": "length",  # Gemini's and Anthropic's own words
    "model_length": "length",  # Mistral
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "sensitive": "content_filter",  # Z.ai
    "insufficient_system_resource": "error",  # DeepSeek
    "network_error": "error",  # Z.ai
    "abort": "error",  # vLLM
}
"""Other words for OpenAI's reasons, in small letters."""


def _finish(reason: Any) -> str:
    """Why the model ended, in OpenAI's words."""
    said = str(reason or "stop").lower()
    return _FINISHES.get(said, said)


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


def _word(value: Any) -> str | None:
    """A name or id, as short as one is."""
    return storable(value)[:200] or None if isinstance(value, str) else None


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
    trouble, code = _by_code(fields, message) or _by_status(status)
    wait = retry_after(headers, datetime.now(UTC))
    if trouble is Trouble.RATE:
        wait = wait or exhausted(headers)
    return CallError(trouble, code, message, wait, unsure=code in _MAYBE_PAID)


def _by_code(fields: Mapping[str, Any], message: str) -> tuple[Trouble, str] | None:
    codes = {str(fields.get("code")), str(fields.get("type"))}
    if codes & _QUOTA_CODES:
        return Trouble.QUOTA, "quota"
    if codes & _FILTER_CODES or _is_moderated(fields):
        return Trouble.PROMPT, "content-filter"
    if "json_validate_failed" in codes:  # Groq: the model's answer, not the request
        return Trouble.TRANSIENT, BAD_JSON
    said = message.lower()
    if "model output limit was reached" in said:  # OpenAI: all of it was thought
        return Trouble.PROMPT, "length"
    if "request too large" in said:  # a 429 or 413 of this request alone
        return Trouble.PROMPT, "too-large"
    if "content management policy" in said or "contentpolicyviolation" in said:  # LiteLLM's words
        return Trouble.PROMPT, "content-filter"
    return None


BAD_JSON = "bad-json"
"""The model's own answer is refused, for what it says."""
_MAYBE_PAID = frozenset({BAD_JSON, "http-408", "http-499", "http-504", "http-524"})
"""A proxy did not wait for the model, or its answer was refused: it has answered all the same."""


def _by_status(status: int) -> tuple[Trouble, str]:
    if status == _UNPAID:
        return Trouble.QUOTA, "quota"
    if status == _TOO_MANY:
        return Trouble.RATE, "rate"
    if status in _PASSING or status >= _SERVER:
        return Trouble.TRANSIENT, f"http-{status}"
    if status == _UNKNOWN_KEY:
        return Trouble.OPERATOR, f"http-{status}"
    return Trouble.PROMPT if status in _PROMPT else Trouble.REFUSED, f"http-{status}"


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


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the provider wants to be left alone: Retry-After-Ms, or Retry-After in seconds
    or as a date (RFC 9110, 10.2.3). None: it does not say, or nothing that makes sense."""
    seconds = _number(headers.get("retry-after-ms"))
    if seconds is not None:
        seconds /= 1000
    else:  # LiteLLM's proxy renames what its provider sent
        retry_after = headers.get("retry-after") or headers.get("llm_provider-retry-after")
        seconds = _number(retry_after)
        if seconds is None and retry_after is not None:
            seconds = _until(retry_after, now)
    if seconds is None or not seconds > 0:
        return None
    return min(seconds, LONGEST_WAIT_SECONDS)


def exhausted(headers: Mapping[str, str]) -> float | None:
    """Seconds until there is room again, where x-ratelimit-remaining-requests or -tokens is 0.

    x-ratelimit-reset-* is the time until all of the limit is there again (OpenAI, "Rate limits"): the
    first of it comes sooner, but nobody says when. None: there is room, or the provider does not say.
    """
    waits = [
        seconds
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}") == "0"
        and (seconds := _duration(headers.get(f"x-ratelimit-reset-{what}") or ""))
    ]
    return min(max(waits), LONGEST_WAIT_SECONDS) if waits else None


_UNITS = {
    "d": 86_400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_PART = r"([0-9]+(?:\.[0-9]+)?)(d|h|ms|m|us|µs|ns|s)"


def _duration(text: str) -> float | None:
    """Seconds of a time as OpenAI writes it, 6m0s or 12ms; a number alone is seconds (Azure)."""
    if re.fullmatch(f"(?:{_PART})+", text):
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    seconds = _number(text)
    return seconds if seconds is not None and isfinite(seconds) else None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _until(text: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()

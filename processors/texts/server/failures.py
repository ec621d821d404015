"""What a failed call means: who waits, who tries again, who has to act."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from processors.texts.server.refusals import refused
from processors.texts.server.waits import exhausted, retry_after
from schemas.values.stored import storable


class Trouble(Enum):
    """What a failed call means."""

    TRANSIENT = "again"  # network, time-out, 408, 409, 424, 5xx, garbage: again after a while
    TRANSIENT_IN_BATCH = "passed"  # the same in a batch that is over: again, but nobody else waits
    RATE = "wait"  # 429: everybody waits
    QUOTA = "quota"  # 402: nothing more is paid for: the breaker opens at once
    PROMPT = "prompt"  # 413, 451, a content filter: this prompt never works
    REFUSED = "refused"  # 400, 403, 404, 422: this prompt, or the settings: see halts.py
    DIALECT = "otherwise"  # a parameter is refused: again at once, without it
    OPERATOR = "people"  # 401: somebody has to change something


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
_REFUSING = frozenset({400, 422})
_UNKNOWN_KEY = 401
_UNPAID = 402
_TOO_MANY = 429
_SERVER = 500
_SECRET = re.compile(r"(?:sk|Bearer)[-_ ][\w*.-]+")


def passing(code: str, message: str, *, unsure: bool) -> CallError:
    return CallError(Trouble.TRANSIENT, code, message, unsure=unsure)


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
    return CallError(trouble, code, message, wait, unsure=code in _MAYBE_PAID, refused=names)


def _by_code(fields: Mapping[str, Any], message: str) -> tuple[Trouble, str] | None:
    codes = {str(fields.get("code")), str(fields.get("type"))}
    if codes & _QUOTA_CODES:
        return Trouble.QUOTA, "quota"
    if codes & _FILTER_CODES or _is_moderated(fields):
        return Trouble.PROMPT, "content-filter"
    if "json_validate_failed" in codes:  # Groq: the model's answer, not the request
        return Trouble.TRANSIENT, BAD_JSON
    said = message.lower()
    return next((known for words, known in _SAID.items() if words in said), None)


_SAID = {
    "model output limit was reached": (Trouble.PROMPT, "length"),  # OpenAI: all of it was thought
    "request too large": (Trouble.PROMPT, "too-large"),  # a 429 or 413 of this request alone
    # LiteLLM's words:
    "content management policy": (Trouble.PROMPT, "content-filter"),
    "contentpolicyviolation": (Trouble.PROMPT, "content-filter"),
}


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

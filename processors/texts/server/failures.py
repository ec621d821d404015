"""What a failed call means: who waits, who tries again, who has to act."""

import json
import re
from collections.abc import Iterator, Mapping
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
    QUOTA = "quota"  # the account pays for nothing more: the breaker opens at once
    PROMPT = "prompt"  # a content filter, a request that is too large: this prompt never works
    REFUSED = "refused"  # 400, 402, 403, 404, 422: this prompt, or the settings: see halts.py
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
        "billing_not_active",
        "budget_exceeded",  # LiteLLM's proxy
        "exceeded_current_quota_error",  # Moonshot
        "insufficient_user_quota",  # new-api
        "arrearage",  # DashScope
    }
)
_FILTER_CODES = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "invalid_prompt",  # OpenAI's models that reason
        "responsibleaipolicyviolation",  # Azure
        "data_inspection_failed",  # DashScope
        "datainspectionfailed",
    }
)
_BAD_JSON_CODES = frozenset({"json_validate_failed", "output_parse_failed"})  # Groq
_RATE_CODES = frozenset(
    {"rate_limit_exceeded", "rate_limit_error", "rate_limited", "resource_exhausted"}
)
_KEY_CODES = frozenset({"invalid_api_key", "authentication_error"})
# 424, 498 and 499: the provider's own servers (Groq has no capacity, a proxy gave up).
_PASSING = frozenset({408, 409, 424, 425, 498, 499})
_REFUSING = frozenset({400, 422, 500, 501})  # llama.cpp and vLLM of old did not know 400
_UNKNOWN_KEY = 401
_TOO_MANY = 429
_SERVER = 500
_BAD_GATEWAY = 502
_SECRET = re.compile(r"(?:sk|Bearer)[-_ ][\w*.-]+")


def passing(code: str, message: str, *, unsure: bool) -> CallError:
    return CallError(Trouble.TRANSIENT, code, message, unsure=unsure)


def of_status(status: int, body: object, headers: Mapping[str, str]) -> CallError:
    """What an HTTP status means; by the error's own code first (OpenAI, "Error codes")."""
    body = _unpacked(body)
    message = _SECRET.sub("…", storable(_message(body)) or f"HTTP {status}")[:500]
    known = _by_code(body, message)
    trouble, code = known or _by_status(status)
    names = refused(body) if known is None and status in _REFUSING else frozenset()
    wait = retry_after(headers, datetime.now(UTC))
    if trouble is Trouble.RATE:
        wait = wait or exhausted(headers)
    return CallError(trouble, code, message, wait, unsure=code in _MAYBE_PAID, refused=names)


def _by_code(body: object, message: str) -> tuple[Trouble, str] | None:
    codes = _codes(body)
    if codes & _QUOTA_CODES:
        return Trouble.QUOTA, "quota"
    if codes & _FILTER_CODES or any(map(_is_moderated, _objects(body))):
        return Trouble.PROMPT, "content-filter"
    if codes & _BAD_JSON_CODES:  # the model's answer, not the request
        return Trouble.TRANSIENT, BAD_JSON
    if (sizes := _SIZES.search(message)) and _number(sizes[1]) < _number(sizes[2]):
        return Trouble.PROMPT, "too-large"
    said = message.lower()
    return next((known for words, known in _SAID.items() if words in said), None)


_SIZES = re.compile(
    r"\blimit:? ([\d,]{1,12})\b.{0,80}?\brequested:? ([\d,]{1,12})\b", re.IGNORECASE
)
"""OpenAI's and Groq's words: no wait makes room for more than the limit."""


def _number(digits: str) -> int:
    return int(digits.replace(",", "") or 0)


def status_of(error: object) -> int:
    """The HTTP status of an error that came without one; 502 if the error does not name it."""
    error = _unpacked(error)
    for each in _objects(error):
        for name in ("code", "status", "status_code", "statusCode"):
            code = str(each.get(name))
            if re.fullmatch("[45][0-9][0-9]", code):
                return int(code)
    codes = _codes(error)
    if codes & _RATE_CODES:
        return _TOO_MANY
    return _UNKNOWN_KEY if codes & _KEY_CODES else _BAD_GATEWAY


_SAID = {
    "model output limit was reached": (Trouble.PROMPT, "length"),  # OpenAI: all of it was thought
    "request too large": (Trouble.PROMPT, "too-large"),  # a 429 or 413 of this request alone
    # LiteLLM's words:
    "content management policy": (Trouble.PROMPT, "content-filter"),
    "contentpolicyviolation": (Trouble.PROMPT, "content-filter"),
    # OpenAI's:
    "flagged as potentially violating": (Trouble.PROMPT, "content-filter"),
}


BAD_JSON = "bad-json"
"""The model's own answer is refused, for what it says."""


_MAYBE_PAID = frozenset({BAD_JSON, "http-408", "http-499", "http-504", "http-524"})
"""A proxy did not wait for the model, or its answer was refused: it has answered all the same."""


def _by_status(status: int) -> tuple[Trouble, str]:
    if status == _TOO_MANY:
        return Trouble.RATE, "rate"
    if status in _PASSING or status >= _SERVER:
        return Trouble.TRANSIENT, f"http-{status}"
    if status == _UNKNOWN_KEY:
        return Trouble.OPERATOR, f"http-{status}"
    return Trouble.REFUSED, f"http-{status}"


def _is_moderated(fields: Mapping[str, Any]) -> bool:
    """Whether the provider refuses what is said, not who asks (OpenRouter: 403 with the reasons)."""
    return not fields.keys().isdisjoint(("flagged_input", "reasons"))


def _codes(body: object) -> set[str]:
    """What an error calls itself, wherever it does."""
    named = (each.get(name) for each in _objects(body) for name in ("code", "type", "status"))
    return {name.lower() for name in named if isinstance(name, str)}


_MOST_PARTS = 100
_DEEPEST = 8


def _unpacked(body: object, depth: int = _DEEPEST) -> object:
    """An error with the JSON in its texts as values: a proxy repeats what its provider said as a text."""
    if not depth:
        return None
    if isinstance(body, str) and body.lstrip()[:1] in ("{", "["):
        try:
            return _unpacked(json.loads(body), depth - 1)
        except (ValueError, RecursionError):
            return body
    if isinstance(body, Mapping):
        return {name: _unpacked(value, depth - 1) for name, value in body.items()}
    if isinstance(body, list):
        return [_unpacked(value, depth - 1) for value in body[:_MOST_PARTS]]
    return body


def _objects(body: object) -> Iterator[Mapping[str, Any]]:
    """Every object in an error, the outer ones first."""
    if isinstance(body, Mapping):
        yield body
    values = body.values() if isinstance(body, Mapping) else body if isinstance(body, list) else ()
    for value in values:
        yield from _objects(value)


_REASONS = (
    "message", "detail", "msg", "error", "errors", "error_description", "title", "reason",
    "error_msg", "base_resp", "status_msg",
)  # fmt: skip


def _message(body: object) -> str:
    """The reason in an error of any shape: a text, a list, or an object that has one of those. Of a
    proxy's, that of its provider as well (OpenRouter: metadata.raw)."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(filter(None, map(_message, body[:10])))
    if isinstance(body, Mapping):
        said = next(filter(None, (_message(body.get(name)) for name in _REASONS)), "")
        metadata = body.get("metadata")
        behind = _message(metadata.get("raw")) if isinstance(metadata, Mapping) else ""
        return ": ".join(filter(None, (said, behind)))
    return ""

"""The replies of chat completions, in every form in which servers send them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from processors.texts.server.failures import CallError, of_status, passing, status_of
from schemas.values.stored import storable


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


def json_of(content: bytes) -> Any:
    """The JSON of an answer, after what providers send while the model works: white space, and lines
    that begin with a colon (OpenRouter). Raises ValueError, or RecursionError for what is too deep."""
    text = content.decode("utf-8-sig").lstrip()
    while text.startswith(":"):
        text = text.partition("\n")[2].lstrip()
    return json.loads(text)


def reply_of(found: Any) -> Reply:
    """The reply that a chat completion holds. Raises CallError for what is not one."""
    if isinstance(found, Mapping) and (error := _error(found)):
        raise _broken_off(error, found)
    try:
        choice = found["choices"][0]
        message = choice["message"]
        finish = _finish(choice.get("finish_reason"))
        used = _usage(found.get("usage"))
        reply = Reply(
            _text(message.get("content")),
            _refusal(message),
            finish,
            *(used or (0, 0)),
            # A text of no tokens was not counted.
            metered=used is not None and (used[1] > 0 or not message.get("content")),
            model=word(found.get("model")),
            request_id=word(found.get("id")),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise passing("garbage", "the answer is not a chat completion", unsure=True) from None
    if finish == "error":
        raise _broken_off(choice.get("error"), found)
    return reply


def _error(found: Mapping[str, Any]) -> Any:
    """The error that an answer with status 200 is, if it is one: OpenRouter's, or with the fields of one
    and no choice (vLLM, FastAPI)."""
    if found.get("error") or found.get("choices"):
        return found.get("error")
    says_so = found.get("object") == "error" or any(
        found.get(name) for name in ("message", "detail", "errors")
    )
    return found if says_so else None


def _broken_off(error: Any, found: Mapping[str, Any]) -> CallError:
    """The failure that an answer with status 200 holds; paid for if the model had begun or was counted."""
    failed = of_status(status_of(error), error or "the model did not finish", {})
    failed.unsure = failed.unsure or bool(found.get("usage") or found.get("choices"))
    return failed


_FINISHES = {
    "max_tokens": "length",  # Gemini's and Anthropic's own words
    "model_length": "length",  # Mistral
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "image_safety": "content_filter",
    "guardrail_intervened": "content_filter",  # Bedrock
    "error_toxic": "content_filter",  # Cohere
    "model_context_window_exceeded": "length",  # Anthropic
    "spii": "content_filter",
    "sensitive": "content_filter",  # Z.ai
    "insufficient_system_resource": "error",  # DeepSeek
    "network_error": "error",  # Z.ai
    "abort": "error",  # vLLM
}
"""Other words for OpenAI's reasons, in small letters."""


def _finish(reason: Any) -> str:
    """Why the model ended, in OpenAI's words; a colon precedes a provider's own word for it."""
    said = str(reason or "stop").lower().partition(":")[0].strip()
    return _FINISHES.get(said, said)


def _refusal(message: Mapping[str, Any]) -> str | None:
    """What the model refuses with: a text of its own, or a block of the content."""
    said, content = message.get("refusal"), message.get("content")
    if isinstance(said, str) and said:
        return storable(said)
    blocks = content if isinstance(content, list) else []
    refused = [b["refusal"] for b in blocks if isinstance(b, Mapping) and b.get("refusal")]
    return _text(refused) or None


def _text(content: Any) -> str:
    """A text, or the texts of a list of blocks (Mistral, Gemini), as PostgreSQL can store it. Where a
    server has read the JSON of the answer already, it is JSON again."""
    if isinstance(content, list):
        content = "".join(
            block if isinstance(block, str) else _text(block.get("text"))
            for block in content
            if isinstance(block, str) or block.get("type") in (None, "text", "output_text")
        )
    if isinstance(content, Mapping):
        content = json.dumps(content, ensure_ascii=False)
    if not isinstance(content, str | None):
        raise TypeError(type(content).__name__)
    return storable(content or "")


def word(value: Any) -> str | None:
    """A name or id, as short as one is."""
    return storable(value)[:200] or None if isinstance(value, str) else None


def _usage(usage: Any) -> tuple[int, int] | None:
    """Tokens of the prompt and of the answer; None if the provider does not say.

    What the total has beyond the prompt was thought (Gemini), and so were more tokens of reasoning than
    the answer has (Grok, without a total): it is paid for as the answer is.
    """
    try:
        given, answered = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        total = int(usage.get("total_tokens") or 0)
        thought = int((usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    answered = max(answered + (thought if thought > answered else 0), total - given)
    known = 0 < given <= _MOST_TOKENS and 0 <= answered <= _MOST_TOKENS
    return (given, answered) if known else None


_MOST_TOKENS = 10_000_000
"""The most that one call is believed to have used."""

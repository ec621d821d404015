"""The replies of chat completions, in every form in which servers send them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
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
        choice = _choice(found["choices"])
        message = choice["message"]
        finish = _finish(choice.get("finish_reason"))
        used = _usage(found.get("usage"))
        reply = Reply(
            _said(message, finish),
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


def _choice(choices: Any) -> Any:
    """The first choice that says something; else the first."""
    said = (each for each in choices[1:] if isinstance(each, Mapping) and each.get("message"))
    return next(
        (each for each in (choices[0], *said) if each["message"].get("content")), choices[0]
    )


def _said(message: Mapping[str, Any], finish: str) -> str:
    """The text of a message. Where the model calls a tool instead, what it passes to it; where the server
    takes a whole answer for thoughts (vLLM), those."""
    text = _text(message.get("content"))
    if text.strip() or finish == "length":
        return text
    calls = [each.get("function") for each in message.get("tool_calls") or ()]
    passed = [call.get("arguments") for call in (*calls, message.get("function_call")) if call]
    thoughts = [message.get(name) for name in ("reasoning_content", "reasoning")]
    others = map(_text, [*passed, *thoughts])
    return next((other for other in others if other.rstrip().endswith("}")), text)


_SAYS = ("message", "detail", "errors", "msg", "error_msg")


def _error(found: Mapping[str, Any]) -> Any:
    """The error that an answer with status 200 is, if it is one: OpenRouter's, or with the fields of one
    and no choice (vLLM, FastAPI, Baidu, MiniMax). Ollama's own answers have an object as `message`."""
    if found.get("error") or found.get("choices"):
        return found.get("error")
    said = [found.get(name) for name in _SAYS]
    says_so = any(isinstance(each, str | list) and each for each in said)
    return found if says_so or found.get("object") == "error" or "base_resp" in found else None


def _broken_off(error: Any, found: Mapping[str, Any]) -> CallError:
    """The failure that an answer with status 200 holds; paid for if the model had begun or was counted."""
    failed = of_status(status_of(error), error or "the model did not finish", {})
    failed.unsure = failed.unsure or bool(found.get("usage") or found.get("choices"))
    return failed


_FINISHES = {
    # A filter of the provider's, or the model's own refusal (Gemini, Bedrock, Cohere, Z.ai, Anthropic).
    "content_filter": r"content.?filter|\bfilter|safety|recitation|blocklist|prohibited|guardrail|toxic"
    r"|spii|sensitive|refus|moderat",
    # Gemini and Anthropic; Mistral: model_length.
    "length": r"length|\bmax|context|limit|trunc",
    # DeepSeek: insufficient_system_resource; Z.ai: network_error; vLLM: abort.
    "error": r"error|abort|cancel|time.?out|insufficient|interrupt|overload|^load$",
}
"""Words in other servers' reasons, in small letters, by OpenAI's reason; the first that fits counts."""


def _finish(reason: Any) -> str:
    """Why the model ended, in OpenAI's words; a colon precedes a provider's own word for it, a dot
    follows the name of its type."""
    said = str(reason or "stop").lower().partition(":")[0].rpartition(".")[2].strip()
    said = said.removeprefix("finish_reason_")
    return next((ends for ends, words in _FINISHES.items() if re.search(words, said)), said)


def _refusal(message: Mapping[str, Any]) -> str | None:
    """What the model refuses with: a text of its own, or a block of the content."""
    said, content = message.get("refusal"), message.get("content")
    if isinstance(said, str) and said:
        return storable(said)
    blocks = content if isinstance(content, list) else []
    refused = [b["refusal"] for b in blocks if isinstance(b, Mapping) and b.get("refusal")]
    return _text(refused) or None


def _text(content: Any) -> str:
    """A text, or the texts of blocks (Mistral, Gemini), as PostgreSQL can store it. Where a server has
    read the JSON of the answer already, it is JSON again."""
    if isinstance(content, list):
        content = "".join(map(_text, filter(_is_said, content)))
    if isinstance(content, Mapping):
        block = next((content[name] for name in ("text", "value") if name in content), None)
        content = json.dumps(content, ensure_ascii=False) if block is None else _text(block)
    if not isinstance(content, str | None):
        raise TypeError(type(content).__name__)
    return storable(content or "")


def _is_said(block: Any) -> bool:
    """Whether a block is of what the model says: no thought, no refusal."""
    return not isinstance(block, Mapping) or block.get("type") in (None, "text", "output_text")


def word(value: Any) -> str | None:
    """A name or id, as short as one is."""
    return storable(value)[:200] or None if isinstance(value, str) else None


def _usage(usage: Any) -> tuple[int, int] | None:
    """Tokens of the prompt and of the answer; None if the provider does not say.

    What the total has beyond the prompt was thought (Gemini), and so were more tokens of reasoning than
    the answer has (Grok, without a total): it is paid for as the answer is.
    """
    try:
        given = _tokens(usage.get("prompt_tokens", usage.get("input_tokens")))
        answered = _tokens(usage.get("completion_tokens", usage.get("output_tokens")))
        total = _tokens(usage.get("total_tokens") or 0)
        details = usage.get("completion_tokens_details") or {}
        thought = _tokens(details.get("reasoning_tokens") or 0)
    except (TypeError, ValueError, AttributeError, OverflowError):
        return None
    answered = max(answered + (thought if thought > answered else 0), total - given)
    known = 0 < given <= _MOST_TOKENS and 0 <= answered <= _MOST_TOKENS
    return (given, answered) if known else None


def _tokens(count: Any) -> int:
    """A number, also in a text or with a fraction, which is paid for as a whole one."""
    return ceil(float(count))


_MOST_TOKENS = 10_000_000
"""The most that one call is believed to have used."""

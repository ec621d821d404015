"""How long a provider wants to be left alone, by the headers of its answers."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_SECONDS = 3600.0
"""The longest wait that a provider can ask for. A longer one is a mistake or an exhausted budget, which
the breaker handles."""


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the provider wants to be left alone: Retry-After-Ms, or Retry-After in seconds
    or as a date (RFC 9110, 10.2.3), or in the words of some servers. None: it does not say, or nothing that makes sense."""
    seconds = _number(headers.get("retry-after-ms"))
    if seconds is not None:
        seconds /= 1000
    else:  # LiteLLM's proxy renames what its provider sent
        retry_after = headers.get("retry-after") or headers.get("llm_provider-retry-after")
        seconds = None if retry_after is None else _seconds(retry_after, now)
    if seconds is None or not seconds > 0:
        return None
    return min(seconds, LONGEST_WAIT_SECONDS)


def exhausted(headers: Mapping[str, str]) -> float | None:
    """Seconds until there is room again, where x-ratelimit-remaining-requests or -tokens is 0.

    x-ratelimit-reset-* is the time until all of the limit is there again (OpenAI, "Rate limits"): the
    first of it comes sooner, but nobody says when. None: there is room, or the provider does not say.
    """
    now = datetime.now(UTC)
    resets = [
        headers.get(f"x-ratelimit-reset-{what}")
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}") == "0"
    ]
    waits = [seconds for reset in resets if reset and (seconds := _seconds(reset, now) or 0) > 0]
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


def _seconds(text: str, now: datetime) -> float | None:
    """Seconds of a number, of a time as OpenAI writes it (6m0s, 12ms), or until a time: a date, or that
    of a clock which counts seconds or milliseconds since 1970 (OpenRouter)."""
    if re.fullmatch(f"(?:{_PART})+", text):
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    seconds = _number(text)
    if seconds is None:
        return _until(text, now)
    clocks = (at for at in (seconds, seconds / 1000) if 1e9 <= at < 1e10)
    return next((at - now.timestamp() for at in clocks), seconds)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _until(text: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(text) if "," in text else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()

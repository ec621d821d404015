"""Values in the forms that PostgreSQL stores."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID


def uuid_of(text: str) -> UUID | None:
    """The UUID that a text is in any form, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in its canonical form: lower case, with hyphens."""
    return str(uuid_of(text)) == text


def without_nul(text: str) -> str:
    """The text with NUL made visible: PostgreSQL's text and jsonb do not take it."""
    return text.replace("\0", "␀")


def storable(text: str) -> str:
    """A text without the characters that PostgreSQL does not store: NUL, and halves of a pair."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode()


def with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with each of its texts, names of members included, as `change` makes it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [with_texts(item, change) for item in value]
    if isinstance(value, dict):
        return {change(name): with_texts(item, change) for name, item in value.items()}
    return value


def moment(ms: int) -> datetime:
    """The time of a record's timestamp; the nearest of the calendar if a sender wrote any number."""
    return _EPOCH + timedelta(milliseconds=max(_FIRST_MS, min(ms, _LAST_MS)))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS, _LAST_MS = (
    (datetime(year, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1) for year in (1, 9999)
)


def headers_json(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """Headers of a record as JSON: pairs of a name and its value in base64 or null, in order."""
    return json.dumps(
        [[name, None if value is None else b64encode(value).decode()] for name, value in headers]
    )


def headers_of(stored: Iterable[tuple[str, str | None]]) -> list[tuple[str, bytes | None]]:
    """The headers that headers_json stored."""
    return [(name, None if value is None else b64decode(value)) for name, value in stored]

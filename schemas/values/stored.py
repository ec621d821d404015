"""Values in the forms that PostgreSQL stores."""

import json
from base64 import b64encode
from collections.abc import Iterable
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


def headers_json(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """Headers of a record as JSON: pairs of a name and its value in base64, in order."""
    return json.dumps([[name, b64encode(value or b"").decode()] for name, value in headers])

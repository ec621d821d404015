"""What the tracker takes from the topic of events, where anybody may publish."""

from datetime import UTC, datetime
from typing import Any

import pytest

from processors.imports.tracker import _checked

SUBMITTED = {
    "import_type": "VILLE",
    "file_name": "a\0b.csv",
    "file_sha256": "0" * 64,
    "uploaded_by": None,
    "generate_ai_content": False,
    "header": ["Vil\0les"],
    "options": {"sheet\0": "\0"},
}


def event(name: str, body: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "import_id": "6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e",
        "at": datetime.now(UTC),
        "event": (f"fr.foxreviews.foxstream.{name}", body),
        **changed,
    }


def test_texts_that_postgresql_cannot_store_are_repaired() -> None:
    """A NUL anywhere in an event shows as ␀ and keeps no import from being followed."""
    _, body = _checked(event("Submitted", SUBMITTED))["event"]

    assert (body["file_name"], body["header"], body["options"]) == (
        "a␀b.csv",
        ["Vil␀les"],
        {"sheet␀": "␀"},
    )


@pytest.mark.parametrize(
    "wrong",
    [
        event("Submitted", {**SUBMITTED, "import_type": "X" * 21}),
        event("Submitted", SUBMITTED, import_id="not a UUID"),
        event("ReadingFinished", {"total_rows": 2**31, "warnings_by_code": {}}),
        event("ReadingFinished", {"total_rows": -1, "warnings_by_code": {}}),
        event("ReadingFinished", {"total_rows": 1, "warnings_by_code": {"a": 2**40}}),
        event("ReadingFinished", {"total_rows": 1, "warnings_by_code": {}, "stopped_after": 2**31}),
        event("Submitted", {**SUBMITTED, "parent": "not a UUID"}),
        event("Submitted", {**SUBMITTED, "parent": "6F1D4A52-8A0E-5C3B-9A6E-0B8F7A1C2D3E"}),
    ],
)
def test_events_that_no_producer_sends_are_refused(wrong: dict[str, Any]) -> None:
    """An event that PostgreSQL could not store becomes a reject, and the others go on."""
    with pytest.raises(ValueError, match=r".+"):
        _checked(wrong)

"""Headers and times of records that are kept: what a sender gave comes back as it was."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from processors.kafka.records.append_time import APPENDED_AT
from processors.operator.upstream_rejects import ATTEMPT, StoredReject, _headers
from processors.rows.outbox import UnpublishedReject
from processors.rows.outbox import headers as published
from schemas.values.stored import headers_json, headers_of, moment

OWN = [("trace", b"1"), ("flag", None), ("empty", b""), ("flag", b"\0\xff"), ("flag", None)]
STORED: list[tuple[str, str | None]] = [tuple(each) for each in json.loads(headers_json(OWN))]
REJECT_ID = UUID(int=7)
MOMENT = datetime(2025, 3, 1, tzinfo=UTC)


def reject(headers: list[tuple[str, str | None]]) -> StoredReject:
    """An open one of an upstream system."""
    fields: dict[str, Any] = dict.fromkeys(StoredReject.__dataclass_fields__)
    return StoredReject(
        **fields | {"id": REJECT_ID, "topic": "t", "appended_at": MOMENT, "headers": headers}
    )


def test_stored_and_back() -> None:
    """A header without a value is not one with an empty value."""
    assert headers_of(STORED) == OWN


def test_a_reject_that_is_published() -> None:
    """The sender's headers come first, as they were."""
    row: Any = dict.fromkeys(UnpublishedReject.__annotations__)
    row |= {"headers": STORED, "faults": [{"code": "c", "message": "m"}], "appended_at": MOMENT}

    assert list(published(row))[: len(OWN)] == OWN


def test_a_reject_that_is_sent_again() -> None:
    """So they are on the record that is sent again; ours without a value are no count and no id."""
    again = reject([*STORED, (ATTEMPT, None), ("ingest.reject_id", None), (APPENDED_AT, None)])

    assert _headers(again)[: len(OWN)] == OWN
    assert again.attempt == 1
    assert again.predecessor is None


@pytest.mark.parametrize(
    ("ms", "kept"),
    [
        (1_740_787_200_123, datetime(2025, 3, 1, 0, 0, 0, 123000, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        (2**63 - 1, datetime(9999, 1, 1, tzinfo=UTC)),
        (-(2**63), datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_timestamps_of_senders(ms: int, kept: datetime) -> None:
    """Any number may stand where a sender writes a record's time: no reject ends a worker by it."""
    assert moment(ms) == kept

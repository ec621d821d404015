"""When Kafka first appended a record, which may have been sent again."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from schemas.codec.avro_reader import EPOCH

_MILLISECOND = timedelta(milliseconds=1)

EARLIEST_MS = (datetime(1973, 1, 1, tzinfo=UTC) - EPOCH) // _MILLISECOND
"""The beginning of the SIRENE register. Seconds that are taken for milliseconds lie before it, and so
does what a client writes for a time that it does not have: 0, -1, the year 1."""

APPENDED_AT = "ingest.appended_at"
"""Header of a record that was sent again: when Kafka first appended it, ISO 8601."""


def appended_ms(headers: Iterable[tuple[str, bytes | None]], timestamp: int) -> int:
    """When Kafka first appended a record, which may have been sent again with this `timestamp`.

    Anybody can write the header: only a time before the record's own is accepted.
    """
    for name, value in headers:
        if name == APPENDED_AT:
            try:
                first = (datetime.fromisoformat((value or b"").decode()) - EPOCH) // _MILLISECOND
            except (ValueError, TypeError):  # not a time, or without a time zone
                continue
            if EARLIEST_MS <= first <= timestamp:
                return first
    return timestamp

"""The open rejects of one import, and its rows that lack some of their values."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from itertools import chain
from time import monotonic
from typing import ClassVar, NamedTuple

from confluent_kafka import Message

from producers.kafka.log_reader import LogReader
from producers.settings import Settings
from schemas.records import ImportState
from schemas.topics import DROPPED_VALUES, REJECTS, Topic

_CLOCKS_APART = timedelta(minutes=1)
"""An import may seem younger than its first reject by so much: the submitter has another clock."""


class Reject(NamedTuple):
    """A line that was not written, or not with all its values. `errors` have column, code and message;
    `value` is its row."""

    line: int | None
    sheet: str | None
    errors: list[dict[str, str | None]]
    value: bytes | None


class RejectLog(LogReader):
    """The rejects of one import."""

    TOPIC: ClassVar[Topic] = REJECTS
    ID, ERRORS = "ingest.reject_id", "ingest.errors"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, self.TOPIC)

    def expected(self, state: ImportState) -> int:
        """How many there are of an import."""
        return state["rejected"] + state["cancelled"]

    def read(self, state: ImportState, patience_seconds: float) -> Iterator[Reject]:
        """The rejects of an import that no child import has resolved, each once.

        Workers publish them a moment after they count them: at the end of the topic this waits for
        as many as the state knows, until none comes for as long as there is patience. What lies
        before the import is read only if some are missing then: clocks may differ. Raises
        UnreachableError and NotReadyError.
        """
        expected = self.expected(state)
        since = state["created_at"] - _CLOCKS_APART
        begin = partial(self.start, key=state["id"])
        left_out = begin(since=since)
        found = self._found(state["id"].encode(), expected, patience_seconds)
        if left_out and len(found) < expected:
            begin()
            found = self._found(state["id"].encode(), expected, 0.0)
        yield from found.values()

    def _found(self, key: bytes, expected: int, patience_seconds: float) -> dict[bytes, Reject]:
        open_: dict[bytes, Reject] = {}
        resolved: set[bytes] = set()
        late = self._late(key, lambda: len(open_) == expected, patience_seconds)
        for message in chain(self.up_to_now(), late):
            if message.key() != key:
                continue
            headers = {
                name: value
                for name, value in dict(message.headers() or ()).items()
                if isinstance(value, bytes)
            }
            if "ingest.settles" in headers:
                resolved.add(headers["ingest.settles"])
                open_.pop(headers["ingest.settles"], None)
            elif headers[self.ID] not in resolved:
                open_.setdefault(headers[self.ID], self._reject(headers, message.value()))
        return open_

    def _late(
        self, key: bytes, complete: Callable[[], bool], patience_seconds: float
    ) -> Iterator[Message]:
        last_record = monotonic()
        while not complete() and monotonic() - last_record < patience_seconds:
            message = self.poll(0.1)
            if message is not None and message.key() == key:
                last_record = monotonic()
                yield message

    def _reject(self, headers: dict[str, bytes], value: bytes | None) -> Reject:
        line = headers.get("ingest.line", b"").decode()
        sheet = headers.get("ingest.sheet", b"").decode()
        errors = json.loads(headers[self.ERRORS])
        return Reject(int(line) if line else None, sheet or None, errors, value)


class DroppedLog(RejectLog):
    """The rows of one import that are written without some of their values: `errors` are these, and have
    the value too."""

    TOPIC = DROPPED_VALUES
    ID, ERRORS = "ingest.dropped_id", "ingest.dropped"

    def expected(self, state: ImportState) -> int:
        return state["dropped_rows"]


def dropped_rows(settings: Settings, state: ImportState, patience_seconds: float) -> list[Reject]:
    """As DroppedLog.read; the topic is read only if the import has such rows."""
    if not state["dropped_rows"]:
        return []
    with DroppedLog(settings) as log:
        return list(log.read(state, patience_seconds))

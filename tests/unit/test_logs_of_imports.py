"""What producers make of the records on the topics of imports, whoever published what in which order."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from confluent_kafka import Message

from producers.kafka.import_log import ImportLog
from producers.kafka.import_state import new_state
from producers.kafka.progress_log import ProgressLog
from producers.kafka.reject_log import DroppedLog, Reject, RejectLog
from schemas.codec.framing import NAMESPACE, Decoder, Encoder, load
from schemas.codec.schema import Schema
from schemas.records import ImportState

IMPORT = "6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e"


class Registered:
    """A registry that holds both schemas."""

    def schema(self, schema_id: int) -> Schema:
        return load({1: "import_event", 2: "import_state"}[schema_id])


@dataclass
class Record:
    """A record of a topic, as a consumer gives it."""

    record_key: bytes | None
    record_value: bytes | None
    record_headers: list[tuple[str, bytes]] = field(default_factory=list)

    def key(self) -> bytes | None:
        return self.record_key

    def value(self) -> bytes | None:
        return self.record_value

    def headers(self) -> list[tuple[str, bytes]]:
        return self.record_headers


class Topic:
    """In place of a consumer: what the topic holds, then what comes."""

    records: list[Record]

    def up_to_now(self) -> Iterator[Message]:
        while self.records:
            yield cast(Message, self.records.pop(0))

    def poll(self, timeout_seconds: float) -> Message | None:
        return cast(Message, self.records.pop(0)) if self.records else None


class States(Topic, ImportLog):
    """The log of imports."""

    def __init__(self, *records: Record) -> None:
        self.records = list(records)
        self._decoder = Decoder("import_state", Registered())
        self._states = {}


class Progress(Topic, ProgressLog):
    """The events of the import."""

    def __init__(self, *records: Record) -> None:
        self.records = list(records)
        self._decoder = Decoder("import_event", Registered())
        self._import_id = IMPORT
        self._accounted = {}
        self.cancelled = False
        self.paused = None


class Rejects(Topic, RejectLog):
    """The rejects of imports; how often it was read from its beginning."""

    def __init__(self, *records: Record, before: tuple[Record, ...] = ()) -> None:
        self._held, self._before = list(records), list(before)

    def start(self, **asked: Any) -> bool:
        young = asked.get("since") is not None
        self.records = self._held if young else [*self._before, *self._held]
        self._held = list(self.records)
        return young and bool(self._before)


class Dropped(Rejects, DroppedLog):
    """The same of rows that lack values."""


def state(version: int, **more: Any) -> ImportState:
    return new_state(
        id=IMPORT, version=version, import_type="VILLE", file_name="v.csv", file_sha256="a" * 64,
        created_at=datetime(2025, 3, 1, tzinfo=UTC), **more,
    )  # fmt: skip


def told(version: int) -> Record:
    return Record(IMPORT.encode(), Encoder("import_state", 2).encode(state(version)))


def happened(name: str, import_id: str = IMPORT, **body: Any) -> Record:
    event = {
        "import_id": import_id, "at": datetime.now(UTC), "event": (f"{NAMESPACE}.{name}", body),
    }  # fmt: skip
    return Record(import_id.encode(), Encoder("import_event", 1).encode(event))


def progress(partition: int, accounted: int, import_id: str = IMPORT) -> Record:
    return happened(
        "Progress", import_id, topic="t", partition=partition, revision=1, watermark=1,
        accounted=accounted,
    )  # fmt: skip


# States


@pytest.mark.parametrize(
    ("records", "version"),
    [
        ([told(7), told(8)], 8),
        ([told(8), told(7)], 8),
        ([told(8), Record(IMPORT.encode(), b"damaged")], 8),
        ([told(8), Record(None, b"damaged")], 8),
        ([told(8), Record(IMPORT.encode(), None), told(7)], 7),
        ([told(8), Record(IMPORT.encode(), None)], None),
    ],
)
def test_the_highest_version_holds(records: list[Record], version: int | None) -> None:
    """Whatever comes after it, but for a tombstone: the import may come back with a lower one."""
    found = States(*records).read()

    assert {name: each["version"] for name, each in found.items()} == (
        {} if version is None else {IMPORT: version}
    )


def test_those_that_are_wanted() -> None:
    """A file's own states are found by its content, whatever their ids."""
    assert States(told(8)).read({"other"}) == {}
    assert States(told(8)).read({"other"}, file_sha256="b" * 64) == {}
    assert States(told(8)).read({"other"}, file_sha256="a" * 64).keys() == {IMPORT}


# Progress


def test_progress_of_each_partition() -> None:
    """Absolute figures, of this import alone; what cannot be read is passed over."""
    records = [
        progress(0, 3), progress(1, 5), progress(0, 4), progress(2, 100, IMPORT.replace("6", "7")),
        Record(IMPORT.encode(), b"damaged"),
    ]  # fmt: skip

    assert Progress(*records).accounted(0.0) == 9


@pytest.mark.parametrize(
    ("records", "cancelled", "paused"),
    [
        ([], False, None),
        ([happened("Pause", by=None)], False, True),
        ([happened("Pause", by=None), happened("Resume", by=None)], False, False),
        ([happened("Cancel", by=None)], True, None),
        ([happened("Cancel", IMPORT.replace("6", "7"), by=None)], False, None),
    ],
)
def test_what_is_asked_for(records: list[Record], cancelled: bool, paused: bool | None) -> None:
    log = Progress(*records)
    log.accounted(0.0)

    assert (log.cancelled, log.paused) == (cancelled, paused)


# Rejects


def rejected(reject_id: str, import_id: str = IMPORT) -> Record:
    errors = json.dumps([{"column": None, "code": "x", "message": "x"}])
    headers = {"ingest.reject_id": reject_id, "ingest.line": reject_id, "ingest.errors": errors}
    return Record(import_id.encode(), b"row", [(n, v.encode()) for n, v in headers.items()])


def settled(reject_id: str) -> Record:
    return Record(IMPORT.encode(), None, [("ingest.settles", reject_id.encode())])


def lines(log: RejectLog, rejects: int = 0, cancelled: int = 0) -> list[int | None]:
    found: list[Reject] = list(log.read(state(8, rejected=rejects, cancelled=cancelled), 0.0))
    return [reject.line for reject in found]


@pytest.mark.parametrize(
    ("records", "open_"),
    [
        ([rejected("1"), rejected("2")], [1, 2]),
        ([rejected("1"), rejected("1")], [1]),
        ([rejected("1"), rejected("2"), settled("1")], [2]),
        ([settled("1"), rejected("1"), rejected("2")], [2]),
        ([rejected("1"), settled("1"), rejected("1"), rejected("2")], [2]),
        ([rejected("1"), rejected("2", IMPORT.replace("6", "7"))], [1]),
    ],
)
def test_rejects_that_are_open(records: list[Record], open_: list[int]) -> None:
    """Each once, and none that was settled: a worker that died publishes some a second time."""
    assert lines(Rejects(*records), len(open_)) == open_


@pytest.mark.parametrize(
    ("rejects", "cancelled", "open_"), [(1, 0, [1]), (2, 0, [2, 1]), (1, 1, [2, 1])]
)
def test_rejects_that_are_older_than_their_import(
    rejects: int, cancelled: int, open_: list[int]
) -> None:
    """Clocks differ: what lies before the import is read where some are missing, and only there."""
    log = Rejects(rejected("1"), before=(rejected("2"),))

    assert lines(log, rejects, cancelled) == open_


def test_rows_that_lack_values() -> None:
    """As rejects, under names of their own; a state counts them apart."""
    value: dict[str, str | None] = {
        "column": "email",
        "code": "malformed",
        "message": "x",
        "value": "x@",
    }

    def lacking(line: str) -> Record:
        headers = {"ingest.dropped_id": line, "ingest.line": line, "ingest.dropped": json.dumps([value])}  # fmt: skip
        return Record(IMPORT.encode(), b"row", [(n, v.encode()) for n, v in headers.items()])

    records = lacking("1"), lacking("2"), lacking("2"), lacking("3"), settled("1")
    log = Dropped(*records, before=(lacking("4"),))

    assert list(log.read(state(8, dropped_rows=2, rejected=9), 0.0)) == [
        Reject(line, None, [value], b"row") for line in (2, 3)
    ]
    assert [row.line for row in log.read(state(8, dropped_rows=3), 0.0)] == [4, 2, 3]

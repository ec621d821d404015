"""Whether the log still has what follows on a stored position."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from processors.kafka.batch import Batch
from processors.kafka.lost_positions import Position, find_lost
from processors.kafka.records.last_record import UNKNOWN_EPOCH, LastRecord
from processors.kafka.records.record_batches import DamagedRecord
from processors.operator.accepted_positions import PartitionLog, first_unread

TPS = TP("fox.rows.ville", 0), TP("fox.rows.ville", 1)


def record(offset: int = 9, value: bytes | None = b"value", **more: Any) -> ConsumerRecord:
    fields = {
        "topic": TPS[0].topic, "partition": 0, "offset": offset, "timestamp": 1_700_000_000_123,
        "timestamp_type": 1, "key": b"key", "value": value, "checksum": None,
        "serialized_key_size": 3, "serialized_value_size": 5, "headers": (), **more,
    }  # fmt: skip
    return ConsumerRecord(**fields)


def known(leader_epoch: int = 4, **more: Any) -> LastRecord:
    last = LastRecord.of(record(**more), leader_epoch)
    assert last is not None
    return last


@dataclass
class Kafka:
    """A log that ends at `end` and has `records` at the offsets that are asked for."""

    end: int
    records: Mapping[TP, LastRecord | None] = field(default_factory=dict)
    asked: Mapping[TP, int] = field(default_factory=dict)

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]:
        return dict.fromkeys(tps, self.end)

    async def records_at(self, offsets: Mapping[TP, int]) -> Mapping[TP, LastRecord | None]:
        self.asked = offsets
        return {tp: self.records[tp] for tp in offsets}


async def lost(log: Kafka, position: Position, beginning: int = 0) -> str | None:
    found = await find_lost(log, {TPS[0]: position}, {TPS[0]: beginning})
    return found.get(TPS[0])


async def test_the_same_record() -> None:
    """Reading goes on behind the record that was read, wherever the markers of its transaction end."""
    assert await lost(Kafka(11, {TPS[0]: known()}), Position(11, known())) is None


@pytest.mark.parametrize(
    "other",
    [
        known(value=b"other"),
        known(value=None),
        known(key=None),
        known(key=b"keyv", value=b"alue"),
        known(timestamp=1_700_000_000_124),
        known(leader_epoch=5),
    ],
)
async def test_another_record(other: LastRecord) -> None:
    """Another content, another time or another leader: the offset was used again. The sentence says what
    was read, what is there, and what to do."""
    reason = await lost(Kafka(20, {TPS[0]: other}), Position(10, known()))

    assert reason is not None
    assert reason.startswith("fox.rows.ville[0]: PostgreSQL's next offset is 10, ")
    assert f"Read was {known()}; Kafka has {other}" in reason
    assert "offset 9, leader epoch 4, 2023-11-14T22:13:20.123+00:00, SHA-256 " in reason
    assert reason.endswith("foxstream-worker positions accept fox.rows.ville 0")


@pytest.mark.parametrize(("beginning", "end"), [(0, 9), (11, 20)])
@pytest.mark.parametrize("last", [None, known()])
async def test_a_position_outside_of_the_log(
    beginning: int, end: int, last: LastRecord | None
) -> None:
    """A log that ends before the position, or begins behind it."""
    log = Kafka(end)

    reason = await lost(log, Position(10, last), beginning)

    assert f"Kafka holds {beginning} to {end}" in str(reason)
    assert log.asked == {}


async def test_a_record_that_retention_removed() -> None:
    """The log begins at the position: nothing that follows is lost, and nothing can be compared."""
    log = Kafka(20)

    assert await lost(log, Position(10, known()), 10) is None
    assert log.asked == {}


async def test_nothing_to_compare() -> None:
    """A position of an earlier release, and a record that was compacted away."""
    assert await lost(Kafka(20), Position(10)) is None
    assert await lost(Kafka(20, {TPS[0]: None}), Position(10, known())) is None


async def test_each_partition_by_itself() -> None:
    """Of two partitions that one seek sets, one is lost."""
    log = Kafka(20, {TPS[0]: known(), TPS[1]: known(value=b"other")})
    positions = dict.fromkeys(TPS, Position(10, known()))

    assert set(await find_lost(log, positions, dict.fromkeys(TPS, 0))) == {TPS[1]}


def test_an_epoch_that_is_not_known() -> None:
    """It is not compared: everything else is."""
    assert known(UNKNOWN_EPOCH).is_same(known())
    assert not known(UNKNOWN_EPOCH).is_same(known(value=b"other"))


def test_the_last_record_of_a_batch() -> None:
    """Also of two batches that are joined, and of halves, of which the first has no epoch."""
    first = Batch("t", 0, 8, 9, [record(8)], None, leader_epoch=3)
    both = first.joined(Batch("t", 0, 9, 11, [record(9)], None, leader_epoch=4))

    assert both.last_record == known(4)
    one, two = both.halves()
    assert (one.last_record, two.last_record) == (known(UNKNOWN_EPOCH, offset=8), known(4))


def test_a_damaged_record() -> None:
    """It has the time at which it was read: nothing is known of it."""
    damaged = DamagedRecord(*vars(record()).values(), damage="its headers have too many bytes")

    assert replace(Batch("t", 0, 9, 10, [damaged], None), leader_epoch=4).last_record is None


def test_a_batch_without_records() -> None:
    """Nothing is known of the record before its end."""
    assert Batch("t", 0, 3, 3, [], None).last_record is None


# Where a person lets it go on


@pytest.mark.parametrize(
    ("epochs", "last_epoch", "first"),
    [
        # Offsets 5 to 14; read was up to 12.
        ([3, 3, 3, 4, 4, 4, 6, 6, 6, 6], 4, 11),  # the log was truncated at 11
        ([3, 3, 3, 5, 5, 5, 6, 6, 6, 6], 4, 8),  # at 8, and the whole epoch is gone
        ([3, 3, 3, 4, 4], 4, 8),  # nothing was appended since: what the epoch holds may be new
        ([3, 3, 3, 4, 4, 4, 4, 4, 4, 4], 4, 8),  # its epoch was used again as well
        ([3, 3, 3, 4, 4, 4, 4, 4, 6, 6], 4, 8),  # and there is a later one behind
        ([3, 3, 3], 4, 8),
        ([], 4, 5),
        ([3, 3, 3, 4], UNKNOWN_EPOCH, 5),
    ],
)
def test_the_first_unread_record(epochs: list[int], last_epoch: int, first: int) -> None:
    """No record that was never read lies before it."""
    log = PartitionLog(5, 5 + len(epochs), lambda offset: epochs[offset - 5])

    assert first_unread(log, 12, last_epoch) == first

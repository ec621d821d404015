"""Records of one fetch, and their offsets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiokafka import ConsumerRecord
from faust.types import TP

from processors.kafka.records.last_record import UNKNOWN_EPOCH, LastRecord

BATCH_BYTES = 8 << 20
"""The most bytes of keys, values and headers in a batch that is made of several fetches. Writing it takes about
five times as much memory."""


def record_bytes(record: ConsumerRecord) -> int:
    """Bytes of a record's key, value and headers."""
    size = len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += _HEADER_BYTES + len(name) + len(value or b"")
    return size


_HEADER_BYTES = 100
"""What a header takes in memory beside its bytes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition: of one fetch, of several fetches, or half of those.

    `start` is the position from which they were fetched and `end` the position after them: offsets
    in between may be missing, if a transaction of an upstream system left its markers there.
    `assignment_token` is replaced by each seek of the partition: a batch with another token is
    outdated. `size` is that of its records in bytes, `leader_epoch` that of its last record.
    """

    topic: str
    partition: int
    start: int
    end: int
    records: Sequence[ConsumerRecord]
    assignment_token: object
    size: int = -1
    leader_epoch: int = UNKNOWN_EPOCH

    def __post_init__(self) -> None:
        if self.size < 0:
            object.__setattr__(self, "size", sum(map(record_bytes, self.records)))

    @property
    def tp(self) -> TP:
        return TP(self.topic, self.partition)

    @property
    def last_record(self) -> LastRecord | None:
        """What the position after this batch is stored with; None if it is damaged, or there is none."""
        return LastRecord.of(self.records[-1], self.leader_epoch) if self.records else None

    def precedes(self, other: "Batch") -> bool:
        """Whether `other` is the fetch after this one, without a seek between the two."""
        return self.assignment_token is other.assignment_token and self.end == other.start

    def joined(self, other: "Batch") -> "Batch":
        """This batch and the one that it precedes, as one."""
        return replace(
            self,
            end=other.end,
            records=[*self.records, *other.records],
            size=self.size + other.size,
            leader_epoch=other.leader_epoch,
        )

    def halves(self) -> "tuple[Batch, Batch]":
        """Two batches that replace this one, which has two records or more."""
        middle = len(self.records) // 2
        boundary = self.records[middle].offset
        first, second = self.records[:middle], self.records[middle:]
        return (
            replace(self, end=boundary, records=first, size=-1, leader_epoch=UNKNOWN_EPOCH),
            replace(self, start=boundary, records=second, size=-1),
        )

"""Records of one fetch, and their offsets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiokafka import ConsumerRecord
from faust.types import TP


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, as one fetch returned them.

    `start` is the position that they were fetched from and `end` the position after: offsets in
    between may be missing, where a transaction of an upstream system left its markers. `turn` is
    the seek that the fetch followed: a later seek of the partition makes the batch void.
    """

    topic: str
    partition: int
    start: int
    end: int
    records: Sequence[ConsumerRecord]
    turn: object

    @property
    def tp(self) -> TP:
        return TP(self.topic, self.partition)

    def precedes(self, other: "Batch") -> bool:
        """Whether `other` is the fetch after this one, with no seek between the two."""
        return self.turn is other.turn and self.end == other.start

    def joined(self, other: "Batch") -> "Batch":
        """This batch and the one that it precedes, as one."""
        return replace(self, end=other.end, records=[*self.records, *other.records])

    def halves(self) -> "tuple[Batch, Batch]":
        """Two batches in place of this one, which has two records or more."""
        middle = len(self.records) // 2
        boundary = self.records[middle].offset
        return (
            replace(self, end=boundary, records=self.records[:middle]),
            replace(self, start=boundary, records=self.records[middle:]),
        )
